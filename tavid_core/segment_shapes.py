"""Shapes of masks: size, outline, parts and holes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SQUARE",
    "Mask",
    "Pixels",
    "connected_to",
    "dilate",
    "fill_holes",
    "outline_of",
    "resize_mask",
    "shrink",
]

Mask = NDArray[np.bool_]
Pixels = Sequence[tuple[int, int]]
SQUARE = np.ones((3, 3), dtype=np.uint8)


def shrink(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Shrink a picture.

    Args:
        image: RGB, uint8 (H, W, 3).
        side_px: Its longest side afterwards; a smaller picture stays.

    Returns:
        The picture.
    """
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1.0:
        return np.ascontiguousarray(image)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)


def resize_mask(mask: Mask, size_hw: tuple[int, int]) -> Mask:
    """Resize a mask.

    Args:
        mask: bool (H, W).
        size_hw: New rows and columns.

    Returns:
        The mask, bool.
    """
    if mask.shape == tuple(size_hw):
        return mask
    is_growing = size_hw[0] > mask.shape[0]
    interpolation = cv2.INTER_LINEAR if is_growing else cv2.INTER_AREA
    return cv2.resize(mask.astype(np.float32), size_hw[::-1], interpolation=interpolation) > 0.5


def dilate(mask: Mask, radius: int) -> Mask:
    """Grow a mask.

    Args:
        mask: bool (H, W).
        radius: By how many pixels; below 1 it stays.

    Returns:
        The mask, bool (H, W).
    """
    if radius < 1:
        return mask
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def outline_of(mask: Mask) -> Mask:
    """Take the outline of a mask, inside and outside of its edge.

    Args:
        mask: bool (H, W).

    Returns:
        bool (H, W).
    """
    # With a margin, so that what touches the border has an outline there.
    padded = np.pad(mask.astype(np.uint8), 1)
    return (cv2.dilate(padded, SQUARE) != cv2.erode(padded, SQUARE))[1:-1, 1:-1]


def connected_to(mask: Mask, pixels: Pixels) -> Mask:
    """Keep what is connected to some pixels.

    Args:
        mask: bool (H, W).
        pixels: Column and row of each.

    Returns:
        bool (H, W).
    """
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    wanted = {int(parts[y, x]) for x, y in pixels} - {0}
    if len(wanted) == 1:
        return parts == wanted.pop()
    return np.isin(parts, list(wanted))


def fill_holes(mask: Mask, max_hole_px: float = np.inf) -> Mask:
    """Fill holes.

    Args:
        mask: bool (H, W).
        max_hole_px: Of which size at most.

    Returns:
        bool (H, W).
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats(
        np.pad(~mask, 1, constant_values=True).astype(np.uint8), connectivity=8
    )
    is_hole = stats[:, cv2.CC_STAT_AREA] <= max_hole_px
    is_hole[[0, parts[0, 0]]] = False
    return mask | is_hole[parts[1:-1, 1:-1]]
