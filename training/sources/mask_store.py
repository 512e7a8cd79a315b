"""Masks of many frames in little memory: each as the packed bits of the box around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["MaskStore"]


class MaskStore(Mapping[int, NDArray[np.bool_]]):
    """Masks by frame index; unpacked when asked for.

    Args:
        size_hw: Rows and columns of every mask.
    """

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        self._packed: dict[int, tuple[tuple[int, int, int, int], NDArray[np.uint8]]] = {}

    def add(self, frame: int, mask: NDArray[np.bool_]) -> None:
        """Keep a mask; an earlier one of the frame is replaced.

        Args:
            frame: Index.
            mask: bool (H, W).
        """
        assert mask.shape == tuple(self._size_hw)
        rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
        top, bottom = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
        left, right = (columns[0], columns[-1] + 1) if len(columns) else (0, 0)
        inside = mask[top:bottom, left:right]
        self._packed[frame] = ((top, bottom, left, right), np.packbits(inside))

    def __getitem__(self, frame: int) -> NDArray[np.bool_]:
        """Unpack the mask of a frame."""
        (top, bottom, left, right), packed = self._packed[frame]
        shape = (bottom - top, right - left)
        mask = np.zeros(self._size_hw, dtype=np.bool_)
        bits = np.unpackbits(packed, count=shape[0] * shape[1])
        mask[top:bottom, left:right] = bits.reshape(shape)
        return mask

    def __iter__(self) -> Iterator[int]:
        """List the frames that have a mask, in the order they were added."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Count them."""
        return len(self._packed)

    def __contains__(self, frame: object) -> bool:
        """Tell without unpacking."""
        return frame in self._packed
