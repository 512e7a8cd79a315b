"""Follow a target from frame to frame, and say when it is out of sight.

Optical flow carries the mask along, GrabCut moves its outline to the edges of the new frame. The
colours of the first frame decide whether it is still the target. While a hand is before it, every
frame is compared with the last one that showed it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, check_shape
from tavid_core.mask import check_mask_coverage
from tavid_core.segment_grabcut import GrabCutSegmenter
from tavid_core.segment_prompt import Segmentation, check_segment_image

__all__ = ["TargetFollower"]

# OpenCV's DIS flow reads beyond pictures that are narrower than this.
MIN_FLOW_SIDE_PX, MAX_FLOW_SIDE_PX = 64, 320
# How much outline and inside may change from one frame to the next, and since the click.
MIN_STEP_OVERLAP = 0.5
MIN_AREA_RATIO, MAX_AREA_RATIO = 0.4, 2.5
MIN_COLOR_OVERLAP = 0.5
MIN_EDGE_SHARE = 0.3
NUM_COLOR_BINS = 12
COLOR_BLUR_BINS = 0.8

Mask = NDArray[np.bool_]


class TargetFollower:
    """Follows one target; the camera may move slowly.

    Args:
        image: Where the mask was made, RGB, uint8 (H, W, 3).
        mask: The target in it, bool (H, W).

    Raises:
        InputError: If image or mask are unusable or do not fit.
    """

    def __init__(self, image: NDArray[np.uint8], mask: Mask) -> None:
        check_segment_image(image)
        check_shape("mask", mask.shape, image.shape[:2], "Draw it on this image.")
        check_mask_coverage(mask)
        self._segmenter = GrabCutSegmenter()
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._size_hw = image.shape[:2]
        self._middle_rgb, self._axis_rgb = _contrast_of(image, mask)
        self._mask, self._view = mask, self._project(image)
        self._first_colors = _count_colors(image, mask)
        self._first_area = int(mask.sum())

    def follow(self, image: NDArray[np.uint8]) -> Segmentation | None:
        """Find the target in the next frame.

        Args:
            image: RGB, uint8, of the first frame's size.

        Returns:
            The mask, or None if the target is out of sight. It is looked for where it was seen
            last; give up after a while, because something alike may come there.

        Raises:
            InputError: If the image is no picture or has another size.
        """
        check_segment_image(image)
        check_shape("image", image.shape, (*self._size_hw, 3), "Click again on the new size.")
        view = self._project(image)
        carried = self._carry(view)
        found = self._refine(image, carried) if carried.any() else None
        is_outlined = found is not None and self._segmenter.edge_share(found.mask) >= MIN_EDGE_SHARE
        if not is_outlined or not self._is_target(image, found.mask):
            return None
        self._mask, self._view = found.mask, view
        return found

    def _project(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Make the small grey picture in which target and surroundings differ most."""
        height, width = image.shape[:2]
        scale = min(1.0, MAX_FLOW_SIDE_PX / max(height, width))
        size_wh = [max(MIN_FLOW_SIDE_PX, round(side * scale)) for side in (width, height)]
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
        values = (small - self._middle_rgb) @ self._axis_rgb
        return (127.5 + values).clip(0, 255).astype(np.uint8)

    def _carry(self, view: NDArray[np.uint8]) -> Mask:
        # Backwards: for every new pixel, where it was.
        flow = self._flow.calc(view, self._view, None)
        height, width = self._size_hw
        scale = np.array([width / view.shape[1], height / view.shape[0]], dtype=np.float32)
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
        columns, rows = np.meshgrid(
            np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
        )
        carried = cv2.remap(
            self._mask.astype(np.float32),
            columns + flow[..., 0],
            rows + flow[..., 1],
            cv2.INTER_LINEAR,
        )
        return carried > 0.5

    def _refine(self, image: NDArray[np.uint8], carried: Mask) -> Segmentation | None:
        self._segmenter.set_image(image)
        try:
            refined = self._segmenter.refine(carried)
        except InputError:
            # Nothing, or all of the image, looks like what was carried.
            return None
        overlap = (refined.mask & carried).sum() / max(int((refined.mask | carried).sum()), 1)
        return refined if overlap >= MIN_STEP_OVERLAP else None

    def _is_target(self, image: NDArray[np.uint8], mask: Mask) -> bool:
        ratio = mask.sum() / self._first_area
        likeness = np.minimum(_count_colors(image, mask), self._first_colors).sum() / 3
        is_as_large = MIN_AREA_RATIO <= ratio <= MAX_AREA_RATIO
        return bool(is_as_large and likeness >= MIN_COLOR_OVERLAP)


def _contrast_of(
    image: NDArray[np.uint8], mask: Mask
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the colour between target and surroundings, and the unit vector from these to it."""
    radius = max(2, round(0.3 * float(np.sqrt(mask.sum()))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    ring = (cv2.dilate(mask.astype(np.uint8), disc) > 0) & ~mask
    inside, around = image[mask].mean(axis=0), image[ring].mean(axis=0)
    axis = inside - around
    length = float(np.linalg.norm(axis))
    unit = axis / length if length > 1.0 else np.full(3, 3**-0.5)
    return ((inside + around) / 2).astype(np.float32), unit.astype(np.float32)


def _count_colors(image: NDArray[np.uint8], mask: Mask) -> NDArray[np.float32]:
    """Count lightness and both hues of a target, each summing to 1; (3, bins)."""
    inside = np.ascontiguousarray(image[mask][:, None]).astype(np.float32) / 255
    lab = cv2.cvtColor(inside, cv2.COLOR_RGB2LAB)
    limits = ([0, 100], [-80, 80], [-80, 80])
    counts = np.stack(
        [
            cv2.calcHist([lab], [axis], None, [NUM_COLOR_BINS], limit).ravel()
            for axis, limit in enumerate(limits)
        ]
    )
    # A small change of light shall not move all of it to the next bin.
    counts = cv2.GaussianBlur(counts, (5, 1), COLOR_BLUR_BINS, borderType=cv2.BORDER_REPLICATE)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-6)
