"""How much a place in a frame looks like the target did in frame 0.

All comparisons run on small pictures in which the object is about `OBJECT_SIDE_PX` wide, so that
one set of thresholds serves a 64-pixel and a 480-pixel rollout, and cost does not grow with size.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Appearance", "WorkingFrames", "prepare_frames"]

OBJECT_SIDE_PX = 20.0
MAX_UPSCALE = 4.0
MAX_TEMPLATE_PIXELS = 300
# CIELAB units. A decoder's noise is about 3 to 5; two shades people call different are 20 apart.
COLOR_TOLERANCE = (8.0, 24.0)
CHANGE_LAB = 9.0
LIGHTNESS_WEIGHT = 0.7


@dataclasses.dataclass(frozen=True)
class WorkingFrames:
    """A rollout at the working size.

    Args:
        lab: Blurred CIELAB, lightness down-weighted, float32 (T, H, W, 3).
        scale: Working pixels per rollout pixel.
        mask: Of the object in frame 0, bool (H, W).
    """

    lab: NDArray[np.float32]
    scale: float
    mask: NDArray[np.bool_]

    def to_rollout(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn working pixels into rollout pixels.

        Args:
            pixels: Column and row, float (..., 2).

        Returns:
            The same places in rollout pixels, float32.
        """
        return ((pixels + 0.5) / self.scale - 0.5).astype(np.float32)


def prepare_frames(
    frames: NDArray[np.uint8], mask: NDArray[np.bool_], max_upscale: float = MAX_UPSCALE
) -> WorkingFrames:
    """Bring a rollout to the working size of one object.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        mask: The object in frame 0, bool (h, w), not empty.
        max_upscale: By how much a small object's rollout may be enlarged. Noise is blurred by about
            a working pixel, so what needs no finer places than the rollout's is steadier at 1.

    Returns:
        The pictures all comparisons use.
    """
    scale = min(OBJECT_SIDE_PX / math.sqrt(float(mask.sum())), max_upscale)
    height, width = mask.shape
    size_wh = (max(round(width * scale), 8), max(round(height * scale), 8))
    interpolation = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    lab = np.stack([_to_lab(frame, size_wh, interpolation) for frame in frames])
    # Brightness drift of the whole picture says nothing about the object.
    thin = lab[:, ::3, ::3]
    drift = np.median(thin - thin[:1], axis=(1, 2), keepdims=True)
    small_mask = cv2.resize(mask.astype(np.float32), size_wh, interpolation=interpolation) >= 0.5
    if not small_mask.any():
        row, column = np.argwhere(mask).mean(axis=0)
        at = (int((row + 0.5) * size_wh[1] / height), int((column + 0.5) * size_wh[0] / width))
        small_mask[at] = True
    return WorkingFrames(lab=lab - drift, scale=size_wh[0] / width, mask=small_mask)


def _to_lab(
    frame: NDArray[np.uint8], size_wh: tuple[int, int], interpolation: int
) -> NDArray[np.float32]:
    small = cv2.resize(frame, size_wh, interpolation=interpolation)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    lab[..., 0] *= LIGHTNESS_WEIGHT
    return cv2.GaussianBlur(lab, (0, 0), 0.8)


class Appearance:
    """The object's look in frame 0, and how to find it again.

    Args:
        working: The rollout at the object's working size.
    """

    def __init__(self, working: WorkingFrames) -> None:
        self._mask = working.mask
        first = working.lab[0]
        rows, columns = np.nonzero(working.mask)
        self.center = np.array([columns.mean(), rows.mean()], dtype=np.float32)
        step = max(1, -(-len(rows) // MAX_TEMPLATE_PIXELS))
        self._rows, self._columns = rows[::step], columns[::step]
        self._colors = first[self._rows, self._columns]
        self._behind = _guess_background(first, working.mask)[self._rows, self._columns]
        contrast = np.linalg.norm(self._colors - self._behind, axis=-1).mean()
        self.contrast_lab = float(contrast)
        self._tolerance = float(np.clip(0.6 * contrast, *COLOR_TOLERANCE))
        self._first = first

    def background_similarity(self, lab: NDArray[np.float32]) -> float:
        """Say how much the rest place looks as if the object had gone.

        Args:
            lab: One working frame.

        Returns:
            0 (nothing of the guessed background) to 1.
        """
        seen = lab[self._rows, self._columns]
        return float(self._closeness(seen, self._behind).mean())

    def similarity(
        self, lab: NDArray[np.float32], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compare the object with many places of one frame.

        Pixels that a hand covers count as unlike, and no more than that: half an object in view
        still scores a half.

        Args:
            lab: One working frame.
            offsets: Columns and rows away from the rest place, int (N, 2).

        Returns:
            Likeness 0..1, float32 (N,), and the share of compared pixels that could have become
            the object's only by motion, float32 (N,): an unmoved look-alike has none.
        """
        height, width = self._mask.shape
        rows = self._rows[None] + offsets[:, 1:2]
        columns = self._columns[None] + offsets[:, 0:1]
        is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        seen = lab[rows, columns]
        # What lies outside the picture is like nothing.
        closeness = self._closeness(seen, self._colors[None]) * is_inside
        if rows.size < self._mask.size:
            change = np.linalg.norm(seen - self._first[rows, columns], axis=-1)
        else:
            change = np.linalg.norm(lab - self._first, axis=-1)[rows, columns]
        is_news = (change > CHANGE_LAB) | self._mask[rows, columns]
        likeness = closeness.mean(axis=1)
        news = (closeness * is_news).sum(axis=1) / (closeness.sum(axis=1) + 1e-6)
        return likeness.astype(np.float32), news.astype(np.float32)

    def _closeness(
        self, seen: NDArray[np.float32], wanted: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        distance = np.sqrt(np.square(seen - wanted).sum(axis=-1))
        return np.maximum(1.0 - distance / self._tolerance, 0.0)


def _guess_background(lab: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill the object's place from its surroundings, the nearest weighing most."""
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    is_known = (1 - wide).astype(np.float32)
    sigma = OBJECT_SIDE_PX / 4
    soft = cv2.GaussianBlur(lab * is_known[..., None], (0, 0), sigma)
    share = cv2.GaussianBlur(is_known, (0, 0), sigma)
    guess = soft / np.maximum(share, 1e-6)[..., None]
    return np.where((wide > 0)[..., None], guess, lab).astype(np.float32)
