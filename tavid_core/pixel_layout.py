"""Bytes of an image message to an array: every size is checked before it is used.

Live messages and those of recorded bags are read here. Layouts follow
sensor_msgs/image_encodings.hpp for the encodings that the topics of the nodes name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.types import MAX_IMAGE_SIDE_PX

__all__ = [
    "COLOR_ENCODINGS",
    "DEPTH_ENCODINGS",
    "MASK_ENCODINGS",
    "PixelFormat",
    "PixelLayout",
    "check_layout",
    "unpack_pixels",
]


@dataclasses.dataclass(frozen=True)
class PixelFormat:
    """How one pixel is stored.

    Args:
        dtype: Of one channel, native byte order.
        num_channels: Interleaved channels.
        rgb_channels: Which channels are red, green and blue; empty for data without colour.
    """

    dtype: str
    num_channels: int
    rgb_channels: tuple[int, ...] = ()


COLOR_ENCODINGS: Mapping[str, PixelFormat] = {
    "rgb8": PixelFormat("u1", 3, (0, 1, 2)),
    "bgr8": PixelFormat("u1", 3, (2, 1, 0)),
    "rgba8": PixelFormat("u1", 4, (0, 1, 2)),
    "bgra8": PixelFormat("u1", 4, (2, 1, 0)),
    "mono8": PixelFormat("u1", 1, (0, 0, 0)),
}
MASK_ENCODINGS: Mapping[str, PixelFormat] = {
    "mono8": PixelFormat("u1", 1),
    "8UC1": PixelFormat("u1", 1),
    # No name of sensor_msgs, but what numpy calls the type of a mask.
    "bool": PixelFormat("u1", 1),
}
DEPTH_ENCODINGS: Mapping[str, PixelFormat] = {
    "32FC1": PixelFormat("f4", 1),
    "16UC1": PixelFormat("u2", 1),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """The fields of an image message that say how to read its bytes.

    Args:
        height: Rows.
        width: Columns.
        step: Bytes from one row to the next, padding included.
        encoding: A name of sensor_msgs/image_encodings.hpp.
        is_bigendian: Byte order of channels wider than one byte.
    """

    height: int
    width: int
    step: int
    encoding: str
    is_bigendian: bool = False


def check_layout(
    name: str, layout: PixelLayout, num_bytes: int, encodings: Mapping[str, PixelFormat]
) -> PixelFormat:
    """Refuse a layout that its own bytes do not fit.

    Args:
        name: What the sender calls the image, for the message.
        layout: As the message states it; nothing in it is trusted.
        num_bytes: Length of the message's data.
        encodings: The encodings that are accepted here.

    Returns:
        How a pixel of this encoding is stored.

    Raises:
        InputError: If encoding, size, step and data contradict each other, or a side is out of
            1..4096 pixels.
    """
    pixel = encodings.get(layout.encoding)
    if pixel is None:
        raise InputError(
            f"{name}.encoding must be one of {', '.join(encodings)}, got "
            f"{layout.encoding[:32]!r}. {_advise_encoding(layout.encoding, encodings)}"
        )
    if not (1 <= layout.height <= MAX_IMAGE_SIDE_PX and 1 <= layout.width <= MAX_IMAGE_SIDE_PX):
        raise InputError(
            f"{name} must have sides of 1 to {MAX_IMAGE_SIDE_PX} pixels, got "
            f"{layout.width}x{layout.height}. Resize it before sending."
        )
    row_bytes = layout.width * pixel.num_channels * np.dtype(pixel.dtype).itemsize
    if layout.step < row_bytes:
        raise InputError(
            f"{name}.step must be at least {row_bytes} bytes for {layout.width} pixels of "
            f"{layout.encoding}, got {layout.step}. Set step to the bytes of one row."
        )
    if num_bytes != layout.step * layout.height:
        raise InputError(
            f"{name}.data must have step x height = {layout.step * layout.height} bytes, got "
            f"{num_bytes}. Send whole rows."
        )
    return pixel


def _advise_encoding(encoding: str, encodings: Mapping[str, PixelFormat]) -> str:
    if encodings is MASK_ENCODINGS and encoding in COLOR_ENCODINGS:
        return "A mask has one channel: send image[:, :, 0] as mono8, 0 = background."
    if encodings is MASK_ENCODINGS:
        return "Send the mask as mono8 with 0 = background and 255 = object."
    if encodings is DEPTH_ENCODINGS:
        return "Send metres as 32FC1 or millimetres as 16UC1."
    if encoding.startswith("bayer_"):
        return "Debayer it, for example with image_proc."
    return "Convert the image to rgb8."


def unpack_pixels(
    data: bytes | bytearray | memoryview | NDArray[np.uint8],
    layout: PixelLayout,
    pixel: PixelFormat,
) -> NDArray[np.generic]:
    """Read pixels out of checked bytes.

    Args:
        data: Whole rows, `layout.step` bytes each.
        layout: Passed by `check_layout` for this data.
        pixel: What `check_layout` returned.

    Returns:
        An array of `pixel.dtype` (H, W) for one channel, else (H, W, C); native byte order. It may
        share memory with `data`.
    """
    stored = np.dtype(pixel.dtype).newbyteorder(">" if layout.is_bigendian else "<")
    row_bytes = layout.width * pixel.num_channels * stored.itemsize
    rows = np.frombuffer(data, dtype=np.uint8).reshape(layout.height, layout.step)
    values = np.ascontiguousarray(rows[:, :row_bytes]).view(stored)
    values = values.astype(pixel.dtype, copy=False)
    if pixel.num_channels == 1:
        return values.reshape(layout.height, layout.width)
    return values.reshape(layout.height, layout.width, pixel.num_channels)
