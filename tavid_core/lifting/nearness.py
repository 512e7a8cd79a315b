"""How near a hand is to an object in the picture, and when it is near."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.target import TargetTrack

__all__ = [
    "LOST_CONFIDENCE",
    "RELEASE_FACTOR",
    "gaps_to_shape",
    "join_over_losses",
    "median_of_three",
    "near_runs",
]

MIN_CONTACT_FRAMES = 2
RELEASE_FACTOR = 1.8
# Of the object's track: below this nobody knows where it is.
LOST_CONFIDENCE = 0.5


def gaps_to_shape(
    hand_pixels: NDArray[np.float32],
    is_seen: NDArray[np.bool_],
    track: TargetTrack,
    mask: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Measure how far a hand is from an object's shape, moved along its track.

    Args:
        hand_pixels: Middle of the hand, rollout pixels, float32 (T, 2).
        is_seen: Whether the hand is, bool (T,).
        track: Where the object is in every frame.
        mask: The object in frame 0, bool (h, w), rollout pixels.

    Returns:
        Pixels from its rim, float32 (T,); 0 on the object, NaN where the hand is unseen.
    """
    # The hand may be outside the picture of a moved object: keep room around the mask.
    margin = int(max(mask.shape))
    outside = (~np.pad(mask, margin)).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
    at = hand_pixels - (track.pixels - track.pixels[:1]) + margin
    at = np.where(is_seen[:, None], at, 0.0)
    columns = np.clip(np.rint(at[:, 0]).astype(int), 0, outside.shape[1] - 1)
    rows = np.clip(np.rint(at[:, 1]).astype(int), 0, outside.shape[0] - 1)
    return np.where(is_seen, distance[rows, columns], np.nan).astype(np.float32)


def near_runs(gaps_px: NDArray[np.float32], reach_px: float) -> list[tuple[int, int]]:
    """Find when a hand is near, with hysteresis; unseen frames keep the state.

    Args:
        gaps_px: From `gaps_to_shape`, float32 (T,).
        reach_px: Nearness begins within it, and ends `RELEASE_FACTOR` times as far away.

    Returns:
        First and last frames of at least `MIN_CONTACT_FRAMES`, in time order.
    """
    runs: list[tuple[int, int]] = []
    start: int | None = None
    last_near = 0
    for t, gap in enumerate(gaps_px):
        if np.isnan(gap):
            continue
        if gap <= (reach_px if start is None else RELEASE_FACTOR * reach_px):
            start = t if start is None else start
            last_near = t
        elif start is not None:
            runs.append((start, last_near))
            start = None
    if start is not None:
        runs.append((start, last_near))
    return [run for run in runs if run[1] - run[0] + 1 >= MIN_CONTACT_FRAMES]


def join_over_losses(runs: list[tuple[int, int]], track: TargetTrack) -> list[tuple[int, int]]:
    """Join runs between which nobody knows where the object is: the hand is not away from it.

    Args:
        runs: From `near_runs`.
        track: Of the object.

    Returns:
        As many runs or fewer.
    """
    joined: list[tuple[int, int]] = []
    for start, end in runs:
        if joined and (track.confidence[joined[-1][1] + 1 : start] < LOST_CONFIDENCE).all():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def median_of_three(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take out single outliers in time.

    Args:
        values: Per frame, float32 (T,); NaN where unknown.

    Returns:
        float32 (T,); NaN where a frame and both its neighbours are unknown.
    """
    padded = np.pad(values, 1, mode="edge")
    stacked = np.stack([padded[:-2], padded[1:-1], padded[2:]])
    known = np.isfinite(stacked)
    # With two known values the larger wins: a frame is not called settled on a guess.
    ordered = np.sort(np.where(known, stacked, np.inf), axis=0)
    middle = np.where(known.sum(axis=0) >= 2, ordered[1], ordered[0])
    return np.where(known.any(axis=0), middle, np.nan).astype(np.float32)
