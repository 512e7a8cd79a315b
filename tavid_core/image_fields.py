"""Pixels out of the fields of an image message, whoever read the message.

The nodes read messages with rclpy and the importer of bags without ROS; both end here, so that a
recorded image is the same array as a live one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.mask import binarize_mask
from tavid_core.pixel_layout import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    MASK_ENCODINGS,
    PixelFormat,
    PixelLayout,
    check_layout,
    unpack_pixels,
)

__all__ = [
    "ImageFields",
    "check_color_fields",
    "check_depth_fields",
    "check_mask_fields",
    "read_color",
    "read_depth",
    "read_mask",
]

_MILLIMETRES_PER_METRE = 1000.0


class ImageFields(Protocol):
    """The fields of sensor_msgs/Image that say what its pixels are; nothing in them is trusted."""

    height: int
    width: int
    step: int
    encoding: str
    is_bigendian: int
    data: bytes


def _check(
    name: str, message: ImageFields, encodings: Mapping[str, PixelFormat]
) -> tuple[PixelLayout, PixelFormat]:
    layout = PixelLayout(
        height=message.height,
        width=message.width,
        step=message.step,
        encoding=message.encoding,
        is_bigendian=bool(message.is_bigendian),
    )
    return layout, check_layout(name, layout, len(message.data), encodings)


def check_color_fields(message: ImageFields, name: str = "image") -> None:
    """Refuse a message that cannot hold a colour image, without reading its pixels.

    Args:
        message: rgb8, bgr8, rgba8, bgra8 or mono8.
        name: What the sender calls it, for the message.

    Raises:
        InputError: If its fields contradict each other.
    """
    _check(name, message, COLOR_ENCODINGS)


def check_mask_fields(message: ImageFields, name: str = "target_mask") -> None:
    """Refuse a message that cannot hold a mask, without reading its pixels.

    Args:
        message: mono8 or 8UC1.
        name: What the sender calls it, for the message.

    Raises:
        InputError: If its fields contradict each other.
    """
    _check(name, message, MASK_ENCODINGS)


def check_depth_fields(message: ImageFields, name: str = "depth") -> None:
    """Refuse a message that cannot hold depth, without reading its pixels.

    Args:
        message: 32FC1 or 16UC1.
        name: What the sender calls it, for the message.

    Raises:
        InputError: If its fields contradict each other.
    """
    _check(name, message, DEPTH_ENCODINGS)


def read_color(message: ImageFields, name: str = "image") -> NDArray[np.uint8]:
    """Read a colour image.

    Args:
        message: rgb8, bgr8, rgba8, bgra8 or mono8.
        name: What the sender calls it, for the message.

    Returns:
        RGB, uint8 (H, W, 3), not sharing memory with the message.

    Raises:
        InputError: If the message is malformed.
    """
    layout, pixel = _check(name, message, COLOR_ENCODINGS)
    values = unpack_pixels(message.data, layout, pixel)
    if values.ndim == 2:
        return np.repeat(values[:, :, None], 3, axis=2)
    return np.ascontiguousarray(values[:, :, list(pixel.rgb_channels)])


def read_mask(message: ImageFields, name: str = "target_mask") -> NDArray[np.bool_]:
    """Read a mask.

    Args:
        message: mono8 or 8UC1; 0/1 or 0/255.
        name: What the sender calls it, for the message.

    Returns:
        bool (H, W); may be empty or all ones.

    Raises:
        InputError: If the message is malformed or holds other values.
    """
    layout, pixel = _check(name, message, MASK_ENCODINGS)
    try:
        return binarize_mask(unpack_pixels(message.data, layout, pixel))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def read_depth(message: ImageFields, name: str = "depth") -> NDArray[np.float32]:
    """Read a depth image (REP 118).

    Args:
        message: 32FC1 in metres or 16UC1 in millimetres, either byte order.
        name: What the sender calls it, for the message.

    Returns:
        Along the optical axis, float32 (H, W), metres. Unknown is NaN: what came as 0, NaN,
        infinite or negative.

    Raises:
        InputError: If the message is malformed.
    """
    layout, pixel = _check(name, message, DEPTH_ENCODINGS)
    depth_m = unpack_pixels(message.data, layout, pixel).astype(np.float32)
    if message.encoding == "16UC1":
        depth_m /= _MILLIMETRES_PER_METRE
    depth_m[~(np.isfinite(depth_m) & (depth_m > 0))] = np.nan
    return depth_m
