"""Segmentation by GrabCut, seeded by clicks or a box; needs no download.

From a click alone GrabCut does not know how large the target is. So regions of like colour are
grown around the click with many thresholds, the one whose outline lies best on edges becomes the
first guess, and GrabCut moves its outline to where the colours part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import InputError, NotReadyError, check_shape
from tavid_core.mask import check_mask_coverage
from tavid_core.segment_prompt import Segmentation, TargetPrompt, check_segment_image

__all__ = ["GrabCutSegmenter"]

METHOD = "grabcut"
# Longest sides; a click costs about a tenth of a second on any camera.
REGION_SIDE_PX = 240
CUT_SIDE_PX = 640
# CIELAB units, spread evenly by ratio.
COLOR_THRESHOLDS = np.geomspace(3.0, 60.0, 20)
# Shading changes lightness more than hue; a white cup on grey differs in lightness alone.
LIGHTNESS_WEIGHTS = (1.0, 0.35)
EDGE_QUANTILES = np.linspace(0.03, 0.97, 20)
VISIBLE_EDGE_LAB = 4.0
MIN_REGION_PX = 12
MAX_REGION_SHARE = 0.35
LARGE_REGION_SHARE = 0.12
LARGE_REGION_RANGE = 0.25
SIZE_POWER = 0.15
FALLBACK_DISC_SHARE = 0.06
# Lengths in sides of the first guess (square root of its area).
CORE_DEPTH = 0.12
REACH = 0.2
CARRIED_DEPTH = 0.3
CONTEXT = 0.8
MAX_HOLE_SHARE = 0.05
NUM_ITERATIONS, NUM_BOX_ITERATIONS = 2, 5

Mask = NDArray[np.bool_]
Pixels = Sequence[tuple[int, int]]


class GrabCutSegmenter:
    """GrabCut behind the protocol of `tavid_core.segment.Segmenter`."""

    def __init__(self) -> None:
        self._size_hw: tuple[int, int] | None = None

    def set_image(self, image: NDArray[np.uint8]) -> None:
        """Take an image.

        Args:
            image: RGB, uint8 (H, W, 3).

        Raises:
            InputError: If it is something else.
        """
        check_segment_image(image)
        self._cut_image = _shrink(image, CUT_SIDE_PX)
        self._regions = _Regions(_shrink(self._cut_image, REGION_SIDE_PX))
        self._size_hw = image.shape[:2]

    def segment(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
    ) -> Segmentation:
        """Mark the object that clicks or a box point at.

        Args:
            points: Column and row of each click, (N, 2), pixels, or None.
            labels: 1 = on the target, 0 = not on it, (N,); None = all on it.
            box: x0, y0, x1, y1, pixels, around the target, or None.

        Returns:
            The mask; every part of it is connected to a click, if there is one.

        Raises:
            NotReadyError: If no image was set.
            InputError: If the prompt is unusable, or nothing stands out where it points.
        """
        prompt = TargetPrompt.of(points, labels, box, self._known_size_hw())
        cut_hw = self._cut_image.shape[:2]
        inside = self._scale(prompt.pixels(True), cut_hw)
        outside = [at for at in self._scale(prompt.pixels(False), cut_hw) if at not in inside]
        if prompt.box is None:
            guess = self._grow(prompt)
            trimap = _trimap_of_guess(_resize(guess, cut_hw), inside)
        else:
            trimap = self._trimap_of_box(prompt.box)
        # A click is meant to the pixel; the pixels next to it are only likely.
        for x, y in inside:
            trimap[y, x] = cv2.GC_FGD
        for x, y in outside:
            trimap[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = cv2.GC_BGD
        iterations = NUM_ITERATIONS if prompt.box is None else NUM_BOX_ITERATIONS
        cut = _cut(self._cut_image, trimap, iterations)
        if not cut.any():
            # Colours alone called the whole box background; what is boxed has its middle inside.
            rows, columns = np.nonzero(trimap == cv2.GC_PR_FGD)
            if len(rows):
                trimap[round(rows.mean()), round(columns.mean())] = cv2.GC_FGD
                cut = _cut(self._cut_image, trimap, iterations)
        kept = _keep_parts(cut, inside)
        if kept.sum() < MIN_REGION_PX:
            raise InputError(
                "points must lie on something that stands out from what is around it, got "
                f"{int(kept.sum())} pixels that do. Click nearer to its middle, or give a box."
            )
        return self._finish(kept)

    def refine(self, mask: Mask) -> Segmentation:
        """Move the outline of a mask that is nearly right, as when a target has moved a little.

        Args:
            mask: bool, of the image's size, neither empty nor all marked.

        Returns:
            The refined mask.

        Raises:
            NotReadyError: If no image was set.
            InputError: If the mask is unusable, or nothing is left of it.
        """
        check_shape("mask", mask.shape, self._known_size_hw(), "Draw it on this image.")
        check_mask_coverage(mask)
        guess = _resize(mask, self._cut_image.shape[:2])
        trimap = _trimap_of_guess(guess, (), CARRIED_DEPTH, CARRIED_DEPTH)
        cut = _cut(self._cut_image, trimap, NUM_ITERATIONS)
        return self._finish(_keep_parts(cut, ()))

    def _known_size_hw(self) -> tuple[int, int]:
        if self._size_hw is None:
            raise NotReadyError(
                "image must be set before a click, got none. Call set_image() first."
            )
        return self._size_hw

    def _scale(self, pixels: Pixels, new_hw: tuple[int, int]) -> list[tuple[int, int]]:
        height, width = self._known_size_hw()
        return [(x * new_hw[1] // width, y * new_hw[0] // height) for x, y in pixels]

    def _grow(self, prompt: TargetPrompt) -> Mask:
        size_hw = self._regions.size_hw
        outside = self._scale(prompt.pixels(False), size_hw)
        guess = np.zeros(size_hw, dtype=np.bool_)
        for at in self._scale(prompt.pixels(True), size_hw):
            guess |= self._regions.grow(at, [away for away in outside if away != at])
        return guess

    def _trimap_of_box(self, box: NDArray[np.float32]) -> NDArray[np.uint8]:
        cut_height, cut_width = self._cut_image.shape[:2]
        height, width = self._known_size_hw()
        scale = np.array([cut_width / width, cut_height / height] * 2)
        x0, y0, x1, y1 = np.rint(box * scale).astype(int)
        trimap = np.full((cut_height, cut_width), cv2.GC_BGD, dtype=np.uint8)
        trimap[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = cv2.GC_PR_FGD
        if (trimap != cv2.GC_BGD).all():
            raise InputError(
                "box must leave some of the image around the target, got all of it. "
                "Draw it closer, or click."
            )
        return trimap

    def _finish(self, cut: Mask) -> Segmentation:
        mask = _resize(cut, self._known_size_hw())
        if not mask.any() or mask.all():
            raise InputError(
                "target must stand out from what is around it, got nothing or everything. "
                "Click on its middle, add clicks beside it, or draw a box."
            )
        score = self._regions.edge_share(_resize(mask, self._regions.size_hw))
        return Segmentation(mask=mask, score=score, method=METHOD)


class _Regions:
    """Regions of like colour around a click."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.size_hw: tuple[int, int] = image.shape[:2]
        lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        self._lab = cv2.GaussianBlur(lab, (0, 0), 0.6)
        slopes = [cv2.Sobel(self._lab, -1, *axes, ksize=3) / 8 for axes in ((1, 0), (0, 1))]
        self._edges = np.sqrt(sum((slope**2).sum(axis=2) for slope in slopes))
        # An outline may pass beside its edge by a pixel.
        self._edges_near = cv2.dilate(self._edges, _SQUARE)

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
                level = _connected(values < threshold, [at])
                num_pixels = int(level.sum())
                if num_pixels > max_pixels:
                    break
                if num_pixels >= MIN_REGION_PX:
                    # What has no edges ends before the edge.
                    yield _dilate(level, margin)

    @staticmethod
    def _close(level: Mask, at: tuple[int, int]) -> Mask:
        region = _fill_holes(level)
        opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, _SQUARE) > 0
        return _connected(opened, [at]) if opened[at[1], at[0]] else region

    def _worth(self, region: Mask) -> float:
        outline = _outline(region)
        on_border = sum(int(side.sum()) for side in (region[0], region[-1]))
        on_border += sum(int(side.sum()) for side in (region[:, 0], region[:, -1]))
        hull = cv2.convexHull(np.argwhere(region)[:, ::-1].astype(np.int32))
        num_pixels = int(region.sum())
        solidity = min(1.0, num_pixels / max(cv2.contourArea(hull), 1.0))
        excess = num_pixels / region.size - LARGE_REGION_SHARE
        size = num_pixels**SIZE_POWER * (1.0 - np.clip(excess / LARGE_REGION_RANGE, 0.0, 1.0))
        inner_share = 1.0 - min(1.0, on_border / max(int(outline.sum()), 1))
        return float(self._edges_near[outline].mean() * size * inner_share * solidity)

    def edge_share(self, mask: Mask) -> float:
        """Tell which share of a mask's outline lies on visible edges."""
        outline = _outline(mask)
        if not outline.any():
            return 0.0
        return float((self._edges_near[outline] > VISIBLE_EDGE_LAB).mean())


_SQUARE = np.ones((3, 3), dtype=np.uint8)


def _shrink(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1.0:
        return np.ascontiguousarray(image)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)


def _resize(mask: Mask, size_hw: tuple[int, int]) -> Mask:
    if mask.shape == tuple(size_hw):
        return mask
    is_growing = size_hw[0] > mask.shape[0]
    interpolation = cv2.INTER_LINEAR if is_growing else cv2.INTER_AREA
    return cv2.resize(mask.astype(np.float32), size_hw[::-1], interpolation=interpolation) > 0.5


def _dilate(mask: Mask, radius: int) -> Mask:
    if radius < 1:
        return mask
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def _outline(mask: Mask) -> Mask:
    # With a margin, so that what touches the border has an outline there.
    padded = np.pad(mask.astype(np.uint8), 1)
    return (cv2.dilate(padded, _SQUARE) != cv2.erode(padded, _SQUARE))[1:-1, 1:-1]


def _connected(mask: Mask, pixels: Pixels) -> Mask:
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    wanted = {int(parts[y, x]) for x, y in pixels} - {0}
    return np.isin(parts, list(wanted))


def _fill_holes(mask: Mask, max_hole_px: float = np.inf) -> Mask:
    _, parts, stats, _ = cv2.connectedComponentsWithStats(
        np.pad(~mask, 1, constant_values=True).astype(np.uint8), connectivity=8
    )
    is_hole = stats[:, cv2.CC_STAT_AREA] <= max_hole_px
    is_hole[[0, parts[0, 0]]] = False
    return mask | is_hole[parts[1:-1, 1:-1]]


def _trimap_of_guess(
    guess: Mask, clicks: Pixels, depth: float = CORE_DEPTH, reach: float = REACH
) -> NDArray[np.uint8]:
    """Be sure of a guess's core and of what is far from it."""
    guess = guess.copy()
    for x, y in clicks:
        guess[y, x] = True
    side = float(np.sqrt(guess.sum()))
    core = ~_dilate(~guess, max(1, round(depth * side)))
    trimap = np.full(guess.shape, cv2.GC_BGD, dtype=np.uint8)
    trimap[_dilate(guess, max(2, round(reach * side)))] = cv2.GC_PR_BGD
    trimap[guess] = cv2.GC_PR_FGD
    trimap[core] = cv2.GC_FGD
    return trimap


def _cut(image: NDArray[np.uint8], trimap: NDArray[np.uint8], num_iterations: int) -> Mask:
    """Run GrabCut where it is not decided yet, and around there."""
    cut = np.zeros(trimap.shape, dtype=np.bool_)
    rows, columns = (np.flatnonzero((trimap != cv2.GC_BGD).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return cut
    margin = max(4, round(CONTEXT * np.sqrt((trimap % 2).sum())))
    window = tuple(
        slice(max(0, int(found[0]) - margin), int(found[-1]) + margin + 1)
        for found in (rows, columns)
    )
    part = np.ascontiguousarray(trimap[window])
    is_background = part % 2 == 0
    if is_background.any() and not is_background.all():
        # Its colour clusters begin at random.
        cv2.setRNGSeed(0)
        models = np.zeros((2, 1, 65))
        colors = np.ascontiguousarray(image[window][..., ::-1])
        cv2.grabCut(colors, part, None, models[0], models[1], num_iterations, cv2.GC_INIT_WITH_MASK)
    cut[window] = part % 2 == 1
    return cut


def _keep_parts(cut: Mask, clicks: Pixels) -> Mask:
    """Keep what is connected to the clicks, else the largest part; fill small holes."""
    if clicks:
        kept = _connected(cut, clicks)
    else:
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            cut.astype(np.uint8), connectivity=4
        )
        if count < 2:
            return cut
        kept = parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return _fill_holes(kept, MAX_HOLE_SHARE * float(kept.sum()))
