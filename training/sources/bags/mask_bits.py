"""Masks on their way through the spool: packed bits, deflated; far quicker than pictures."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_mask", "encode_mask"]

_HEAD = struct.Struct("<II")


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Compress a mask without loss.

    Args:
        mask: bool (H, W).

    Returns:
        Rows and columns, then the bits.
    """
    return _HEAD.pack(*mask.shape) + zlib.compress(np.packbits(mask).tobytes(), 1)


def decode_mask(data: bytes) -> NDArray[np.bool_]:
    """Undo `encode_mask`; for files that this program has written only.

    Args:
        data: As it was returned.

    Returns:
        bool (H, W).
    """
    height, width = _HEAD.unpack_from(data)
    packed = np.frombuffer(zlib.decompress(data[_HEAD.size :]), np.uint8)
    return np.unpackbits(packed, count=height * width).reshape(height, width).view(np.bool_)
