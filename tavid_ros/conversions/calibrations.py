"""Calibration files as ROS's camera_calibration and camera_info_manager write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import yaml
from sensor_msgs.msg import CameraInfo

from tavid_core.errors import InputError
from tavid_core.types import MAX_IMAGE_SIDE_PX
from tavid_ros.conversions.cameras import distortion_from_message, intrinsics_from_message

__all__ = ["read_camera_info"]

_MAX_FILE_BYTES = 64 * 1024
_MAX_DISTORTION_NUMBERS = 14
_FILE_URL = "file://"
_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def read_camera_info(path: str | Path) -> CameraInfo:
    """Read a calibration file.

    Args:
        path: YAML with image_width, image_height, camera_matrix, distortion_model,
            distortion_coefficients and, optionally, rectification_matrix and projection_matrix;
            a path, or one with file:// before it as camera drivers take it.

    Returns:
        The message, without header.

    Raises:
        InputError: If the file cannot be read or holds no calibration.
    """
    file = Path(str(path).removeprefix(_FILE_URL)).expanduser()
    document = _read_document(file)
    message = CameraInfo(
        width=_read_side(document, "image_width"),
        height=_read_side(document, "image_height"),
        distortion_model=str(document.get("distortion_model", "plumb_bob")),
        k=_read_matrix(document, "camera_matrix", (9,)),
        d=_read_matrix(document, "distortion_coefficients", range(_MAX_DISTORTION_NUMBERS + 1), []),
        r=_read_matrix(document, "rectification_matrix", (9,), _IDENTITY),
    )
    k = message.k
    # Where nobody rectified, the rectified image has the same camera.
    own = [k[0], k[1], k[2], 0.0, k[3], k[4], k[5], 0.0, k[6], k[7], k[8], 0.0]
    message.p = _read_matrix(document, "projection_matrix", (12,), own)
    # Their own checks: focal lengths, a known distortion model with its number of coefficients.
    intrinsics_from_message(message)
    distortion_from_message(message)
    return message


def _read_document(file: Path) -> Mapping[str, object]:
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(
                f"camera_info_path must be a file of at most {_MAX_FILE_BYTES} bytes, got "
                f"{file.stat().st_size}: {file}. Is it the calibration?"
            )
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"camera_info_path must be a readable file, got {error.strerror}: {file}. "
            "Check the path."
        ) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"camera_info_path must be a YAML file, got {reason}: {file}. Calibrate again."
        ) from error
    if not isinstance(document, Mapping):
        raise InputError(
            f"camera_info_path must hold names and values, got {type(document).__name__}: {file}. "
            "Is it the calibration?"
        )
    return document


def _read_side(document: Mapping[str, object], key: str) -> int:
    value = document.get(key)
    if type(value) is not int or not 1 <= value <= MAX_IMAGE_SIDE_PX:
        raise InputError(
            f"{key} must be a whole number in 1..{MAX_IMAGE_SIDE_PX}, got {str(value)[:40]!r}. "
            "Is it the calibration?"
        )
    return value


def _read_matrix(
    document: Mapping[str, object],
    key: str,
    lengths: tuple[int, ...] | range,
    default: list[float] | None = None,
) -> list[float]:
    entry = document.get(key)
    if entry is None and default is not None:
        return default
    values = entry.get("data") if isinstance(entry, Mapping) else entry
    is_numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not is_numbers or len(values) not in lengths or not all(map(_is_finite, values)):
        wanted = f"{lengths[-1]}" if len(lengths) == 1 else f"at most {lengths[-1]}"
        raise InputError(
            f"{key} must hold {wanted} numbers under 'data', got {str(entry)[:60]!r}. "
            "Is it the calibration?"
        )
    return [float(value) for value in values]


def _is_finite(value: float) -> bool:
    # Python's whole numbers have no end.
    return abs(value) < 1e12 and math.isfinite(value)
