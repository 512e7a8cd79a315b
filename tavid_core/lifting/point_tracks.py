"""Points that are found again in the next frame: optical flow that is checked by going back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_points", "crop_around", "follow_points"]

# Pixels. On clean video right tracks come back to a tenth of this.
MAX_RETURN_ERROR_PX = 1.0
WINDOW_PX = 21
MAX_LEVEL = 3
MIN_PART_PX = 64
# OpenCV's least eigenvalue on 8-bit pictures: a print has a hundred such places, a plain ball two.
MIN_CORNER_STRENGTH = 1e-4


def choose_points(
    gray: NDArray[np.uint8], mask: NDArray[np.bool_], max_points: int = 300
) -> NDArray[np.float32]:
    """Choose places of a mask that can be told from their neighbours.

    Args:
        gray: uint8 (h, w).
        mask: Where to look, bool (h, w).
        max_points: At most so many.

    Returns:
        Column and row, float32 (N, 2); N is 0 where nothing has a texture.
    """
    found = cv2.goodFeaturesToTrack(gray, max_points, 0.01, 4, mask=mask.astype(np.uint8))
    if found is None:
        return np.zeros((0, 2), np.float32)
    pixels = found[:, 0]
    # The search above takes the best there is, be it noise: shading and grain are no texture.
    strength = cv2.cornerMinEigenVal(gray, 3, ksize=3)
    columns, rows = np.rint(pixels).astype(int).T
    return pixels[strength[rows, columns] >= MIN_CORNER_STRENGTH]


def follow_points(
    gray: NDArray[np.uint8],
    next_gray: NDArray[np.uint8],
    pixels: NDArray[np.float32],
    guess: NDArray[np.float32] | None = None,
    *,
    max_level: int = MAX_LEVEL,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Find points again in the next frame.

    Args:
        gray: The frame they are in, uint8 (h, w).
        next_gray: The next one, uint8 (h, w).
        pixels: Column and row, float32 (N, 2).
        guess: Where they may be in the next frame, float32 (N, 2); where they are if None.
        max_level: How often the pictures are halved, 0..3. Motion farther than some
            `WINDOW_PX` * 2**max_level pixels from the guess is missed; but where the halved body
            is smaller than the window, what is behind it decides.

    Returns:
        Their places in the next frame, float32 (N, 2), and which of them to believe, bool (N,):
        those from which the flow comes back to within a pixel.
    """
    if not len(pixels):
        return np.zeros((0, 2), np.float32), np.zeros(0, dtype=bool)
    settings = {
        "winSize": (WINDOW_PX, WINDOW_PX),
        "maxLevel": max_level,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
    }
    guess = pixels if guess is None else guess
    both = np.concatenate([pixels, guess])
    margin = WINDOW_PX * 2**max_level
    gray, corner = crop_around(gray, both, margin)
    next_gray, _ = crop_around(next_gray, both, margin)
    start = np.ascontiguousarray(pixels - corner, dtype=np.float32)[:, None]
    guessed = np.ascontiguousarray(guess - corner, dtype=np.float32)[:, None]
    settings["flags"] = cv2.OPTFLOW_USE_INITIAL_FLOW
    there, was_found, _ = cv2.calcOpticalFlowPyrLK(
        gray, next_gray, start, guessed.copy(), **settings
    )
    # Back by the same way: a guess of the way back would agree with itself.
    returning = there - (guessed - start)
    back, came_back, _ = cv2.calcOpticalFlowPyrLK(next_gray, gray, there, returning, **settings)
    return_error_px = np.linalg.norm((back - start)[:, 0], axis=-1)
    height, width = gray.shape
    is_inside = ((there[:, 0] >= 0) & (there[:, 0] <= (width - 1, height - 1))).all(axis=-1)
    is_believed = (was_found[:, 0] > 0) & (came_back[:, 0] > 0) & is_inside
    return there[:, 0] + corner, is_believed & (return_error_px < MAX_RETURN_ERROR_PX)


def crop_around(
    picture: NDArray[np.uint8], pixels: NDArray[np.floating], margin_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut out the neighbourhood of some places.

    Args:
        picture: uint8 (h, w) or (h, w, C).
        pixels: Column and row, float (N, 2); NaN and places far outside count as the rim.
        margin_px: How much to keep around them.

    Returns:
        The part, at least 64 pixels wide where the picture is, and the column and row of its
        first pixel, float32 (2,).
    """
    height, width = picture.shape[:2]
    sides = np.array([width, height])
    places = np.clip(np.nan_to_num(pixels), 0, sides - 1)
    low = np.floor(places.min(axis=0)).astype(int) - margin_px
    high = np.ceil(places.max(axis=0)).astype(int) + margin_px + 1
    short = np.maximum(MIN_PART_PX - (high - low), 0)
    low, high = low - short // 2, high + short - short // 2
    low, high = np.clip(low, 0, np.maximum(sides - MIN_PART_PX, 0)), np.minimum(high, sides)
    high = np.maximum(high, np.minimum(low + MIN_PART_PX, sides))
    part = picture[low[1] : high[1], low[0] : high[0]]
    return np.ascontiguousarray(part), low.astype(np.float32)
