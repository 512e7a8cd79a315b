"""What the fields of a camera_info message say about a camera, whoever read the message.

The nodes read messages with rclpy and the importer of bags without ROS; both end here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from tavid_core.camera import scale_intrinsics
from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics

__all__ = [
    "CameraInfoFields",
    "RegionFields",
    "fit_intrinsics",
    "is_rectified_topic",
    "read_distortion",
    "read_intrinsics",
]

_ASPECT_TOLERANCE = 0.01
_RECTIFIED = re.compile(r"(?:^|[/_])rect(?:ified)?(?:[/_]|$)")


class RegionFields(Protocol):
    """The fields of sensor_msgs/RegionOfInterest, pixels."""

    x_offset: int
    y_offset: int
    height: int
    width: int


class CameraInfoFields(Protocol):
    """The fields of sensor_msgs/CameraInfo that describe the camera; nothing in them is trusted."""

    height: int
    width: int
    distortion_model: str
    d: Sequence[float]
    k: Sequence[float]
    p: Sequence[float]
    binning_x: int
    binning_y: int
    roi: RegionFields


def is_rectified_topic(name: str) -> bool:
    """Tell whether a topic is named like the output of a rectifying node.

    A driver sends one camera_info for the raw and the rectified image, so that only the topic
    tells which one an image is.

    Args:
        name: Fully qualified, after remapping.

    Returns:
        True for /camera/image_rect, /camera/image_rect_color, /rect/image and their like.
    """
    return _RECTIFIED.search(name) is not None


def read_intrinsics(
    message: CameraInfoFields, *, is_rectified: bool = False
) -> CameraIntrinsics | None:
    """Read the pinhole intrinsics of the image that goes with a CameraInfo.

    K (of the raw image) and P (of the rectified one) speak of the full sensor; region of interest
    and binning are applied, in this order, as sensor_msgs/CameraInfo states them. The distortion is
    read by `read_distortion`.

    Args:
        message: As the camera driver sends it.
        is_rectified: Read P, if it is filled, instead of K.

    Returns:
        Intrinsics in the pixels of the image, or None for an uncalibrated camera (K all zero) and
        for a default-constructed message.

    Raises:
        InputError: If the numbers are unusable.
    """
    if message.width == 0 and message.height == 0:
        return None
    if not any(message.k):
        return None
    binning_x, binning_y = max(1, message.binning_x), max(1, message.binning_y)
    roi = message.roi
    width, height = roi.width or message.width, roi.height or message.height
    if roi.x_offset + width > message.width or roi.y_offset + height > message.height:
        raise InputError(
            f"camera_info.roi must lie in {message.width}x{message.height}, got {width}x{height} "
            f"at ({roi.x_offset}, {roi.y_offset}). Check the camera driver."
        )
    fx, fy, cx, cy = (float(message.k[index]) for index in (0, 4, 2, 5))
    if is_rectified and any(message.p):
        fx, fy, cx, cy = (float(message.p[index]) for index in (0, 5, 2, 6))
    return CameraIntrinsics(
        fx=fx / binning_x,
        fy=fy / binning_y,
        cx=(cx - roi.x_offset) / binning_x,
        cy=(cy - roi.y_offset) / binning_y,
        width=width // binning_x,
        height=height // binning_y,
    )


def fit_intrinsics(
    intrinsics: CameraIntrinsics, size_hw: tuple[int, int], name: str = "camera_info"
) -> CameraIntrinsics:
    """Scale intrinsics to the size of the image that they came with.

    Args:
        intrinsics: As `read_intrinsics` gave them.
        size_hw: Height and width of the image, pixels.
        name: What the sender calls them, for the message.

    Returns:
        Intrinsics of that size; the same ones if it is theirs.

    Raises:
        InputError: If the image has another aspect ratio, so that it was cropped and not resized.
    """
    height, width = size_hw
    if (intrinsics.height, intrinsics.width) == (height, width):
        return intrinsics
    one, other = intrinsics.width * height, intrinsics.height * width
    if abs(one - other) > _ASPECT_TOLERANCE * max(one, other):
        raise InputError(
            f"{name} must have the aspect ratio of the image's {width}x{height} pixels, got "
            f"{intrinsics.width}x{intrinsics.height}. Send the camera_info of this very image; "
            "that of a cropped one has a region of interest (roi)."
        )
    return scale_intrinsics(intrinsics, size_hw)


def read_distortion(message: CameraInfoFields) -> LensDistortion | None:
    """Read how the lens bends the raw image.

    Args:
        message: As the camera driver sends it.

    Returns:
        The distortion, or None for a camera without: uncalibrated, or every coefficient zero.

    Raises:
        InputError: If the numbers are unusable.
    """
    if not any(message.k) or not any(message.d):
        return None
    return LensDistortion(
        model=message.distortion_model, coefficients=tuple(float(value) for value in message.d)
    )
