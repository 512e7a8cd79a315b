"""Pinhole geometry: pixels to metres and back.

The camera frame is the optical frame (x right, y down, z forward). Pixel (column, row) names the
centre of a pixel, so that intrinsics of one size carry over to another by the half-pixel rule.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import InputError, ShapeError
from tavid_core.types import CameraIntrinsics

__all__ = [
    "DEFAULT_FIELD_OF_VIEW_DEG",
    "intrinsics_from_field_of_view",
    "intrinsics_from_json",
    "intrinsics_to_json",
    "project",
    "scale_intrinsics",
    "unproject",
]

# Horizontal; between a phone's main camera (65 to 70) and a depth camera's colour lens (55 to 69).
DEFAULT_FIELD_OF_VIEW_DEG = 60.0


def project(points_camera_m: ArrayLike, intrinsics: CameraIntrinsics) -> NDArray[np.float64]:
    """Project points to pixels.

    A point at or behind the camera plane (z <= 0) has no picture: its pixel is NaN.

    Args:
        points_camera_m: float (..., 3), metres, optical frame.
        intrinsics: Of the image the pixels are for.

    Returns:
        Column and row, float64 (..., 2), pixels.

    Raises:
        ShapeError: If the last axis is not 3 long.
    """
    points = _check_last_axis("points_camera_m", points_camera_m, 3)
    z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
    columns = intrinsics.fx * points[..., 0] / z + intrinsics.cx
    rows = intrinsics.fy * points[..., 1] / z + intrinsics.cy
    return np.stack([columns, rows], axis=-1)


def unproject(
    pixels: ArrayLike, depth_m: ArrayLike, intrinsics: CameraIntrinsics
) -> NDArray[np.float64]:
    """Lift pixels to points by their depth.

    Unknown depth (NaN, infinite, zero or negative) gives a NaN point.

    Args:
        pixels: Column and row, float (..., 2), pixels.
        depth_m: Along the optical axis, float, broadcastable to (...), metres.
        intrinsics: Of the image the pixels are from.

    Returns:
        Points, float64 (..., 3), metres, optical frame.

    Raises:
        ShapeError: If the last axis of `pixels` is not 2 long.
    """
    pixels = _check_last_axis("pixels", pixels, 2)
    depth = np.asarray(depth_m, dtype=np.float64)
    is_known = np.isfinite(depth) & (depth > 0) & np.isfinite(pixels).all(axis=-1)
    z = np.where(is_known, depth, np.nan)
    x = (pixels[..., 0] - intrinsics.cx) / intrinsics.fx * z
    y = (pixels[..., 1] - intrinsics.cy) / intrinsics.fy * z
    return np.stack([x, y, z], axis=-1)


def scale_intrinsics(intrinsics: CameraIntrinsics, size_hw: tuple[int, int]) -> CameraIntrinsics:
    """Carry intrinsics over to a resized image.

    Args:
        intrinsics: Of the image before the resize.
        size_hw: Height and width after it, pixels.

    Returns:
        The intrinsics of the resized image.

    Raises:
        InputError: If the new size is not positive.
    """
    height, width = size_hw
    if height <= 0 or width <= 0:
        raise InputError(
            f"size_hw must be positive, got {size_hw}. Pass (height, width) of the resized image."
        )
    along_x, along_y = width / intrinsics.width, height / intrinsics.height
    return dataclasses.replace(
        intrinsics,
        fx=intrinsics.fx * along_x,
        fy=intrinsics.fy * along_y,
        cx=(intrinsics.cx + 0.5) * along_x - 0.5,
        cy=(intrinsics.cy + 0.5) * along_y - 0.5,
        width=width,
        height=height,
    )


def intrinsics_from_field_of_view(
    width: int, height: int, fov_deg: float = DEFAULT_FIELD_OF_VIEW_DEG
) -> CameraIntrinsics:
    """Make intrinsics for a camera nobody measured.

    Args:
        width: Image width, pixels.
        height: Image height, pixels.
        fov_deg: Horizontal field of view, degrees, 1 to 179.

    Returns:
        Square pixels, principal point in the middle, `is_assumed` true.

    Raises:
        InputError: If the size or the angle is out of range.
    """
    if not 1.0 <= fov_deg <= 179.0:
        raise InputError(f"fov_deg must be in 1..179, got {fov_deg}. Most cameras have 50 to 90.")
    focal = 0.5 * width / math.tan(math.radians(fov_deg) / 2)
    return CameraIntrinsics(
        fx=focal,
        fy=focal,
        cx=(width - 1) / 2,
        cy=(height - 1) / 2,
        width=width,
        height=height,
        is_assumed=True,
    )


def intrinsics_from_json(text: str) -> CameraIntrinsics:
    """Read intrinsics from a JSON object.

    Two spellings are understood: this project's (`fx fy cx cy width height`, optionally
    `is_assumed`, `has_distortion`) and ROS's camera_info (`k` or `K` with nine numbers row by row,
    or `camera_matrix.data` of a calibration file, with `width`/`image_width` and
    `height`/`image_height`).

    Args:
        text: The JSON document.

    Returns:
        The intrinsics.

    Raises:
        InputError: If it is no JSON object, or a number is missing or unusable.
    """
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            f"camera must be a JSON object, got a document that does not parse ({error}). "
            "Write fx, fy, cx, cy, width and height."
        ) from error
    if not isinstance(document, dict):
        raise InputError(
            f"camera must be a JSON object, got {type(document).__name__}. "
            "Write fx, fy, cx, cy, width and height."
        )
    numbers = {**_matrix_entries(document), **document}
    return CameraIntrinsics(
        fx=_number(numbers, "fx"),
        fy=_number(numbers, "fy"),
        cx=_number(numbers, "cx"),
        cy=_number(numbers, "cy"),
        width=_whole_number(numbers, "width", "image_width"),
        height=_whole_number(numbers, "height", "image_height"),
        is_assumed=numbers.get("is_assumed") is True,
        has_distortion=numbers.get("has_distortion") is True,
    )


def intrinsics_to_json(intrinsics: CameraIntrinsics) -> dict[str, float | int | bool]:
    """Turn intrinsics into JSON values that `intrinsics_from_json` reads back.

    Args:
        intrinsics: What to write.

    Returns:
        Its fields, pixels.
    """
    return {
        "fx": float(intrinsics.fx),
        "fy": float(intrinsics.fy),
        "cx": float(intrinsics.cx),
        "cy": float(intrinsics.cy),
        "width": int(intrinsics.width),
        "height": int(intrinsics.height),
        "is_assumed": bool(intrinsics.is_assumed),
        "has_distortion": bool(intrinsics.has_distortion),
    }


def _check_last_axis(name: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != length:
        raise ShapeError(
            f"{name} must have {length} numbers on its last axis, got shape {array.shape}. "
            "Put the coordinates last.",
            array.shape,
            (None, length),
        )
    return array


def _matrix_entries(document: Mapping[str, Any]) -> dict[str, Any]:
    matrix = document.get("k", document.get("K"))
    if matrix is None and isinstance(document.get("camera_matrix"), dict):
        matrix = document["camera_matrix"].get("data")
    if matrix is None:
        return {}
    if not isinstance(matrix, list) or len(matrix) != 9:
        raise InputError(
            f"camera matrix k must be a list of 9 numbers, got {str(matrix)[:80]}. "
            "Write fx 0 cx 0 fy cy 0 0 1, row by row."
        )
    return {"fx": matrix[0], "cx": matrix[2], "fy": matrix[4], "cy": matrix[5]}


def _number(document: Mapping[str, Any], key: str) -> float:
    value = document.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # The bound keeps Python's unbounded integers from overflowing the conversion.
    if not is_number or not abs(value) < 1e9:
        raise InputError(
            f"camera {key} must be a finite number of pixels, got {str(value)[:80]}. "
            "Write fx, fy, cx, cy, width and height."
        )
    return float(value)


def _whole_number(document: Mapping[str, Any], *keys: str) -> int:
    key = next((key for key in keys if key in document), keys[0])
    value = _number(document, key)
    if value != int(value):
        raise InputError(f"camera {key} must be a whole number of pixels, got {value}. Round it.")
    return int(value)
