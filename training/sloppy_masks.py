"""Masks as people and segmenters really give them: too large, too small, beside it, or a box."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SLOPPY_KINDS", "make_sloppy"]

SLOPPY_KINDS = ("exact", "dilated", "eroded", "shifted", "box")
# Of the side of the target, the square root of its area.
MAX_GROWTH, MAX_SHIFT = 0.35, 0.35


def make_sloppy(
    mask: NDArray[np.bool_], seed: int, index: int, kind: str | None = None
) -> NDArray[np.bool_]:
    """Spoil a mask; a function of its arguments alone.

    Args:
        mask: Exact mask of the target, bool (H, W), not empty.
        seed: Of the run.
        index: Of the sample or scene.
        kind: One of `SLOPPY_KINDS`, or None to draw it.

    Returns:
        bool (H, W), never empty: where too little would be left, the exact mask.
    """
    rng = np.random.default_rng([7, seed, index])
    drawn = SLOPPY_KINDS[int(rng.integers(len(SLOPPY_KINDS)))]
    kind = drawn if kind is None else kind
    side_px = float(np.sqrt(mask.sum()))
    growth_px = max(1, round(side_px * float(rng.uniform(0.1, MAX_GROWTH))))
    angle, far = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.1, MAX_SHIFT))
    spoilt = mask
    if kind == "dilated":
        spoilt = _with_disc(cv2.dilate, mask, growth_px)
    elif kind == "eroded":
        # Half as far: what is taken from both sides of a small thing is soon all of it.
        spoilt = _with_disc(cv2.erode, mask, max(1, growth_px // 2))
    elif kind == "shifted":
        length_px = max(1.0, far * side_px)
        spoilt = _shift(mask, round(length_px * np.cos(angle)), round(length_px * np.sin(angle)))
    elif kind == "box":
        rows, columns = np.nonzero(mask)
        spoilt = np.zeros_like(mask)
        spoilt[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return spoilt if spoilt.any() else mask.copy()


def _with_disc(
    change: Callable[..., NDArray[np.uint8]], mask: NDArray[np.bool_], radius_px: int
) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
    return change(mask.astype(np.uint8), disc).astype(bool)


def _shift(mask: NDArray[np.bool_], columns: int, rows: int) -> NDArray[np.bool_]:
    matrix = np.float32([[1, 0, columns], [0, 1, rows]])
    height, width = mask.shape
    moved = cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return moved.astype(bool)
