"""Segmentation by GrabCut, seeded by clicks or a box; needs no download.

From a click alone GrabCut does not know how large the target is. So regions of like colour are
grown around the click with many thresholds, the one whose outline lies best on edges becomes the
first guess, and GrabCut moves its outline to where the colours part.

The score is the product of four shares: of the outline that lies on edges, of the contrast that a
painted thing on a table has, of agreement with clicks a little beside, and of how much weaker the
edges inside are. It falls where any of them does, so a low one asks for a look at the overlay.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import InputError, NotReadyError, check_shape
from tavid_core.mask import check_mask_coverage
from tavid_core.segment_prompt import Segmentation, TargetPrompt, check_segment_image
from tavid_core.segment_regions import MIN_REGION_PX, Regions
from tavid_core.segment_shapes import (
    Mask,
    Pixels,
    connected_to,
    dilate,
    fill_holes,
    resize_mask,
    shrink,
)

__all__ = ["GrabCutSegmenter"]

METHOD = "grabcut"
# Longest sides; a click costs about a third of a second of one core, whatever the camera.
REGION_SIDE_PX = 240
CUT_SIDE_PX = 640
# Lengths in sides of the first guess (square root of its area).
CORE_DEPTH = 0.12
REACH = 0.2
CARRIED_DEPTH = 0.3
CONTEXT = 0.8
MAX_HOLE_SHARE = 0.05
NUM_ITERATIONS, NUM_BOX_ITERATIONS = 2, 5
# The same hand would have clicked there as well; in sides of the first guess.
PROBES = ((0.12, 0.08), (-0.08, -0.12))


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
        self._cut_image = shrink(image, CUT_SIDE_PX)
        self._regions = Regions(shrink(self._cut_image, REGION_SIDE_PX))
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
        agreement = 1.0
        if prompt.box is None:
            guess = self._grow(prompt)
            agreement = self._agree(prompt, guess)
            trimap = _trimap_of_guess(resize_mask(guess, cut_hw), inside)
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
        return self._finish(kept, agreement)

    def edge_share(self, mask: Mask) -> float:
        """Tell which share of a mask's outline lies on visible edges.

        Args:
            mask: bool, of the image's size.

        Returns:
            0..1.

        Raises:
            NotReadyError: If no image was set.
        """
        self._known_size_hw()
        return self._regions.edge_share(resize_mask(mask, self._regions.size_hw))

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
        guess = resize_mask(mask, self._cut_image.shape[:2])
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

    def _agree(self, prompt: TargetPrompt, guess: Mask) -> float:
        """Compare a guess with those of clicks a little beside."""
        height, width = self._regions.size_hw
        side = float(np.sqrt(guess.sum()))
        scale = self._known_size_hw()[1] / width
        overlaps = []
        for shares in PROBES:
            points = prompt.points.copy()
            points[prompt.labels] += scale * side * np.float32(shares)
            probe = dataclasses.replace(prompt, points=points)
            places = self._scale(probe.pixels(True), (height, width))
            if all(x < width and y < height and guess[y, x] for x, y in places):
                other = self._grow(probe)
                overlaps.append((guess & other).sum() / max(int((guess | other).sum()), 1))
        return float(np.mean(overlaps)) if overlaps else 1.0

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

    def _finish(self, cut: Mask, agreement: float = 1.0) -> Segmentation:
        mask = resize_mask(cut, self._known_size_hw())
        if not mask.any() or mask.all():
            raise InputError(
                "target must stand out from what is around it, got nothing or everything. "
                "Click on its middle, add clicks beside it, or draw a box."
            )
        small = resize_mask(mask, self._regions.size_hw)
        regions = self._regions
        score = agreement * regions.edge_share(small) * regions.contrast(small)
        score *= regions.purity(small)
        return Segmentation(mask=mask, score=score, method=METHOD)


def _trimap_of_guess(
    guess: Mask, clicks: Pixels, depth: float = CORE_DEPTH, reach: float = REACH
) -> NDArray[np.uint8]:
    """Be sure of a guess's core and of what is far from it."""
    guess = guess.copy()
    for x, y in clicks:
        guess[y, x] = True
    side = float(np.sqrt(guess.sum()))
    core = ~dilate(~guess, max(1, round(depth * side)))
    trimap = np.full(guess.shape, cv2.GC_BGD, dtype=np.uint8)
    trimap[dilate(guess, max(2, round(reach * side)))] = cv2.GC_PR_BGD
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
        kept = connected_to(cut, clicks)
    else:
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            cut.astype(np.uint8), connectivity=4
        )
        if count < 2:
            return cut
        kept = parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return fill_holes(kept, MAX_HOLE_SHARE * float(kept.sum()))
