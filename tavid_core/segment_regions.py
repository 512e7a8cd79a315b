"""Regions of like colour around a click, and how well they stand out."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.segment_shapes import (
    SQUARE,
    Mask,
    Pixels,
    connected_to,
    dilate,
    fill_holes,
    outline_of,
)

__all__ = ["Regions"]

# CIELAB units, spread evenly by ratio.
COLOR_THRESHOLDS = np.geomspace(3.0, 60.0, 20)
# Shading changes lightness more than hue; a white cup on grey differs in lightness alone.
LIGHTNESS_WEIGHTS = (1.0, 0.35)
EDGE_QUANTILES = np.linspace(0.03, 0.97, 20)
VISIBLE_EDGE_LAB = 4.0
# What a painted thing on a plain table has; at this contrast nobody can mistake its outline.
FULL_CONTRAST_LAB = 30.0
CONTRAST_QUANTILE = 0.25
MIN_BAND_PX, BAND_SHARE = 2, 0.1
# Strongest edge inside over the outline's: patterns stay below the first, a second object above.
INNER_QUANTILE, INNER_DEPTH = 0.99, 0.06
PURE_RATIO, MIXED_RATIO = 0.75, 1.25
MIN_REGION_PX = 12
MAX_REGION_SHARE = 0.35
LARGE_REGION_SHARE = 0.12
LARGE_REGION_RANGE = 0.25
SIZE_POWER = 0.15
FALLBACK_DISC_SHARE = 0.06


class Regions:
    """Regions of like colour around a click."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.size_hw: tuple[int, int] = image.shape[:2]
        lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        self._lab = cv2.GaussianBlur(lab, (0, 0), 0.6)
        slopes = [cv2.Sobel(self._lab, -1, *axes, ksize=3) / 8 for axes in ((1, 0), (0, 1))]
        self._edges = np.sqrt(sum((slope**2).sum(axis=2) for slope in slopes))
        # An outline may pass beside its edge by a pixel.
        self._edges_near = cv2.dilate(self._edges, SQUARE)

    def grow(self, at: tuple[int, int], away: Pixels) -> Mask:
        """Find the region around a pixel whose outline lies best on edges.

        Args:
            at: Column and row.
            away: Pixels that it must not hold.

        Returns:
            The region, or a disc where nothing stands out.
        """
        best, best_worth = None, 0.0
        seen: set[int] = set()
        for level in self._levels(at):
            region = self._close(level, at)
            num_pixels = int(region.sum())
            if num_pixels in seen or any(region[y, x] for x, y in away):
                continue
            seen.add(num_pixels)
            worth = self._worth(region)
            if worth > best_worth:
                best, best_worth = region, worth
        if best is not None:
            return best
        disc = np.zeros(self.size_hw, dtype=np.uint8)
        cv2.circle(disc, at, max(2, round(FALLBACK_DISC_SHARE * max(self.size_hw))), 1, -1)
        return disc > 0

    def _levels(self, at: tuple[int, int]) -> Iterator[Mask]:
        """Yield what is connected to a pixel, at rising thresholds of colour or of edges."""
        x, y = at
        seed = np.median(
            self._lab[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3), axis=0
        )
        maps = [(self._edges, np.quantile(self._edges, EDGE_QUANTILES), 1)]
        for weight in LIGHTNESS_WEIGHTS:
            offset = (self._lab - seed) * np.array([weight, 1.0, 1.0], dtype=np.float32)
            maps.append((np.sqrt((offset**2).sum(axis=2)), COLOR_THRESHOLDS, 0))
        max_pixels = MAX_REGION_SHARE * self._edges.size
        for values, thresholds, margin in maps:
            for threshold in thresholds:
                level = connected_to(values < threshold, [at])
                num_pixels = int(level.sum())
                if num_pixels > max_pixels:
                    break
                if num_pixels >= MIN_REGION_PX:
                    # What has no edges ends before the edge.
                    yield dilate(level, margin)

    @staticmethod
    def _close(level: Mask, at: tuple[int, int]) -> Mask:
        region = fill_holes(level)
        opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, SQUARE) > 0
        return connected_to(opened, [at]) if opened[at[1], at[0]] else region

    def _worth(self, region: Mask) -> float:
        outline = outline_of(region)
        on_border = sum(int(side.sum()) for side in (region[0], region[-1]))
        on_border += sum(int(side.sum()) for side in (region[:, 0], region[:, -1]))
        hull = cv2.convexHull(np.argwhere(region)[:, ::-1].astype(np.int32))
        num_pixels = int(region.sum())
        solidity = min(1.0, num_pixels / max(cv2.contourArea(hull), 1.0))
        excess = num_pixels / region.size - LARGE_REGION_SHARE
        size = num_pixels**SIZE_POWER * (1.0 - np.clip(excess / LARGE_REGION_RANGE, 0.0, 1.0))
        inner_share = 1.0 - min(1.0, on_border / max(int(outline.sum()), 1))
        return float(self._edges_near[outline].mean() * size * inner_share * solidity)

    def contrast(self, mask: Mask) -> float:
        """Tell how clearly a mask's colours part from those beside it.

        Args:
            mask: bool, of this size.

        Returns:
            0..1; where a quarter of the outline parts less. 1 = as a painted thing on a table.
        """
        outline = outline_of(mask)
        if not outline.any() or mask.all():
            return 0.0
        radius = max(MIN_BAND_PX, round(BAND_SHARE * float(np.sqrt(mask.sum()))))
        steps = self._mean_near(mask, radius) - self._mean_near(~mask, radius)
        differences = np.sqrt((steps[outline] ** 2).sum(axis=1))
        return float(min(1.0, np.quantile(differences, CONTRAST_QUANTILE) / FULL_CONTRAST_LAB))

    def purity(self, mask: Mask) -> float:
        """Tell whether a mask's outline is its strongest edge, as it is not of two things in one.

        Args:
            mask: bool, of this size.

        Returns:
            0..1.
        """
        outline = outline_of(mask)
        depth = max(MIN_BAND_PX, round(INNER_DEPTH * float(np.sqrt(mask.sum()))))
        inside = ~dilate(~mask, depth)
        if not outline.any() or not inside.any():
            return 1.0
        around = float(np.median(self._edges_near[outline]))
        ratio = float(np.quantile(self._edges[inside], INNER_QUANTILE)) / max(around, 1e-6)
        return float(np.clip((MIXED_RATIO - ratio) / (MIXED_RATIO - PURE_RATIO), 0.0, 1.0))

    def _mean_near(self, mask: Mask, radius: int) -> NDArray[np.float32]:
        """Average the colours of a mask around every pixel."""
        weights = mask.astype(np.float32)
        size = (2 * radius + 1, 2 * radius + 1)
        sums = cv2.boxFilter(self._lab * weights[..., None], -1, size, normalize=False)
        counts = cv2.boxFilter(weights, -1, size, normalize=False)
        return sums / np.maximum(counts, 0.5)[..., None]

    def edge_share(self, mask: Mask) -> float:
        """Tell which share of a mask's outline lies on visible edges."""
        outline = outline_of(mask)
        if not outline.any():
            return 0.0
        return float((self._edges_near[outline] > VISIBLE_EDGE_LAB).mean())
