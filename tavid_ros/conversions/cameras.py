"""CameraInfo messages to intrinsics and back."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics

__all__ = ["has_distortion", "intrinsics_from_message", "message_from_intrinsics"]


def intrinsics_from_message(message: CameraInfo) -> CameraIntrinsics | None:
    """Read the pinhole intrinsics of the image that goes with a CameraInfo.

    K speaks of the full sensor; region of interest and binning are applied, in this order, as
    sensor_msgs/CameraInfo states them. Distortion is not applied: send the rectified image.

    Args:
        message: As the camera driver sends it.

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
    return CameraIntrinsics(
        fx=float(message.k[0]) / binning_x,
        fy=float(message.k[4]) / binning_y,
        cx=(float(message.k[2]) - roi.x_offset) / binning_x,
        cy=(float(message.k[5]) - roi.y_offset) / binning_y,
        width=width // binning_x,
        height=height // binning_y,
    )


def has_distortion(message: CameraInfo) -> bool:
    """Tell whether the camera's raw image is bent by its lens.

    Args:
        message: As the camera driver sends it.

    Returns:
        True if any distortion coefficient differs from zero.
    """
    return any(message.d)


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
