"""CameraInfo messages to intrinsics and back."""

from __future__ import annotations

import copy
import re

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from tavid_core.camera import scale_intrinsics
from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics

__all__ = [
    "distortion_from_message",
    "fit_intrinsics",
    "intrinsics_from_message",
    "is_rectified_topic",
    "message_from_intrinsics",
    "rectify_camera_info",
]

_ASPECT_TOLERANCE = 0.01
_RECTIFIED = re.compile(r"(?:^|[/_])rect(?:ified)?(?:[/_]|$)")


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


def intrinsics_from_message(
    message: CameraInfo, *, is_rectified: bool = False
) -> CameraIntrinsics | None:
    """Read the pinhole intrinsics of the image that goes with a CameraInfo.

    K (of the raw image) and P (of the rectified one) speak of the full sensor; region of interest
    and binning are applied, in this order, as sensor_msgs/CameraInfo states them. The distortion is
    read by `distortion_from_message`.

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
        intrinsics: As `intrinsics_from_message` gave them.
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


def distortion_from_message(message: CameraInfo) -> LensDistortion | None:
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


def rectify_camera_info(message: CameraInfo) -> CameraInfo:
    """Write the calibration of a rectified image as that of a camera without distortion.

    Args:
        message: As the driver sends it for the raw and the rectified image.

    Returns:
        One whose K is P and whose distortion is zero; the same message if P was never filled.
    """
    if not any(message.p):
        return message
    rectified = copy.copy(message)
    rectified.d = [0.0] * 5
    rectified.distortion_model = "plumb_bob"
    rectified.k = [value for row in range(3) for value in message.p[4 * row : 4 * row + 3]]
    return rectified


def message_from_intrinsics(intrinsics: CameraIntrinsics, header: Header) -> CameraInfo:
    """Write intrinsics of an undistorted image.

    Args:
        intrinsics: Pixels. Assumed ones (`is_assumed`) are sent as uncalibrated, K all zero:
            nobody downstream may take a guess for a calibration.
        header: Stamp and frame of the image.

    Returns:
        The message, with an identity rectification.
    """
    message = CameraInfo(header=header, height=intrinsics.height, width=intrinsics.width)
    if intrinsics.is_assumed:
        return message
    fx, fy, cx, cy = (
        float(value) for value in (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy)
    )
    message.distortion_model = "plumb_bob"
    message.d = [0.0] * 5
    message.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message
