"""CameraInfo messages to intrinsics and back."""

from __future__ import annotations

import copy

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from tavid_core.camera_info import fit_intrinsics, is_rectified_topic
from tavid_core.camera_info import read_distortion as distortion_from_message
from tavid_core.camera_info import read_intrinsics as intrinsics_from_message
from tavid_core.types import CameraIntrinsics

__all__ = [
    "distortion_from_message",
    "fit_intrinsics",
    "intrinsics_from_message",
    "is_rectified_topic",
    "message_from_intrinsics",
    "rectify_camera_info",
]


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
