"""Whether a target's pose agrees with the pixels that are seen to be the target's.

The share of RANSAC's inliers is high for wrong poses too. A pose that is decimetres off puts the
target's outline elsewhere, or makes it larger or smaller than its mask.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["agrees_with_mask"]

MIN_HULL_IOU = 0.5
# A hand hides part of a mask: then what is left of it must lie within the outline.
MIN_INSIDE_SHARE = 0.8
# By which factor the distance that the mask's size tells may differ from the pose's.
MAX_SCALE_FACTOR = 1.35
MIN_MASK_PIXELS = 12


def agrees_with_mask(
    mask: NDArray[np.bool_],
    first_area_px: float,
    hull_pixels: NDArray[np.floating],
    depth_ratio: float,
) -> bool:
    """Compare a pose with the target's mask in the same frame.

    Args:
        mask: The target's visible pixels, bool (h, w).
        first_area_px: Its area in frame 0, pixels.
        hull_pixels: The target's surface under the pose, column and row, float (N, 2).
        depth_ratio: Distance under the pose by that of frame 0.

    Returns:
        False if the mask and the outline of the pose contradict each other in place or in size. A
        mask that is nearly all hidden contradicts nothing.
    """
    area_px = float(mask.sum())
    if area_px < MIN_MASK_PIXELS:
        return True
    if len(hull_pixels) < 3 or not np.isfinite(hull_pixels).all():
        return False
    hull = np.zeros(mask.shape, np.uint8)
    limit = 4.0 * max(mask.shape)
    outline = cv2.convexHull(np.clip(hull_pixels, -limit, limit).astype(np.float32))
    cv2.fillConvexPoly(hull, np.rint(outline).astype(np.int32), 1)
    common = float((mask & (hull > 0)).sum())
    union = area_px + float(hull.sum()) - common
    is_there = common >= MIN_HULL_IOU * union or common >= MIN_INSIDE_SHARE * area_px
    # Area goes with the inverse square of the distance. A hidden part makes a mask smaller than
    # the pose tells, but nothing makes it larger.
    by_area = math.sqrt(first_area_px / area_px)
    return is_there and depth_ratio <= MAX_SCALE_FACTOR * by_area
