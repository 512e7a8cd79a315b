"""When the person touches the object: from hands where they are annotated, and from its motion.

Shapes: N annotated masks, K hand points. Pixels are those of the view.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["HandSight", "MaskSight", "Onset", "find_onset"]

# Before the touch the object stands still: annotated outlines jitter by this, for 480 rows.
STILL_PX_PER_SEC_AT_480 = 2.0
MOVED_SHARE_OF_SIZE = 0.15
FREE_HAND_LENGTHS = 1.0
TOUCHING_HAND_LENGTHS = 0.15
EARLIEST_SEC, LATEST_SEC = 3.0, 1.0
HAND_JOIN_SEC = 0.5

Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class MaskSight:
    """The object in one annotated frame.

    Args:
        time_sec: Seconds from the start of the take.
        mask: bool (H, W).
    """

    time_sec: float
    mask: Mask

    @property
    def center(self) -> NDArray[np.float64]:
        """Column and row of the middle, pixels."""
        return np.argwhere(self.mask).mean(axis=0)[::-1]


@dataclasses.dataclass(frozen=True, eq=False)
class HandSight:
    """Hand points in one annotated frame.

    Args:
        time_sec: Seconds from the start of the take.
        points: Columns and rows, float (K, 2), NaN where unknown.
        length_px: From wrist to the farthest fingertip; the longer hand.
    """

    time_sec: float
    points: NDArray[np.float64]
    length_px: float


@dataclasses.dataclass(frozen=True)
class Onset:
    """What was found about a description.

    Args:
        free_sec: Annotated frames in which nobody touches the object; a clip may start there.
        contact_sec: When it is touched; None if nothing shows it.
        reason: Why it cannot be used, or "".
    """

    free_sec: tuple[float, ...] = ()
    contact_sec: float | None = None
    reason: str = ""


def find_onset(stamp_sec: float, masks: list[MaskSight], hands: list[HandSight]) -> Onset:
    """Find a free start and the touch around the moment of a description.

    A start lies 1 to 3 s before the moment, the object is still up to it, and hands that are known
    are farther from it than a hand's length. The touch is where a hand reaches it or, between the
    last mask that is still and the first that has moved, at the moment of the description.

    Args:
        stamp_sec: Of the description; right to a second or two.
        masks: Annotated masks around it that show something, in the order of time.
        hands: Annotated hands around it, in the order of time.

    Returns:
        What was found.
    """
    early = [m for m in masks if -EARLIEST_SEC <= m.time_sec - stamp_sec <= -LATEST_SEC]
    if not early:
        return Onset(reason="no mask 1 to 3 s before the description")
    limit_px = STILL_PX_PER_SEC_AT_480 * max(1.0, early[0].mask.shape[0] / 480)
    still = [early[0]]
    for sight in early[1:]:
        span_sec = sight.time_sec - still[-1].time_sec
        if np.linalg.norm(sight.center - still[-1].center) > limit_px * max(span_sec, 1.0):
            break
        still.append(sight)
    if len(still) < len(early):
        # The object moved before: only what comes after may begin a clip.
        return Onset(reason="object moves before the description")
    free = [sight for sight in early if not _is_near(sight, hands, FREE_HAND_LENGTHS)]
    if not free:
        return Onset(reason="hand near the object before the description")
    first = free[0]
    times = [
        time
        for time in (
            _find_moved(stamp_sec, first, masks, limit_px),
            _find_reached(first, masks, hands),
        )
        if time is not None
    ]
    if not times:
        return Onset(reason="nothing shows the touch")
    contact_sec = min(times)
    starts = tuple(sight.time_sec for sight in free if sight.time_sec < contact_sec - 1e-6)
    if not starts:
        return Onset(reason="hand near the object before the description")
    return Onset(starts, contact_sec)


def _find_moved(
    stamp_sec: float, first: MaskSight, masks: list[MaskSight], limit_px: float
) -> float | None:
    size_px = float(np.sqrt(first.mask.sum()))
    last_still_sec = first.time_sec
    for sight in masks:
        if sight.time_sec <= first.time_sec:
            continue
        moved_px = float(np.linalg.norm(sight.center - first.center))
        if moved_px > max(limit_px, MOVED_SHARE_OF_SIZE * size_px):
            return float(np.clip(stamp_sec, last_still_sec, sight.time_sec))
        last_still_sec = sight.time_sec
    return None


def _find_reached(first: MaskSight, masks: list[MaskSight], hands: list[HandSight]) -> float | None:
    for hand in hands:
        if hand.time_sec <= first.time_sec:
            continue
        latest = [m for m in masks if first.time_sec <= m.time_sec <= hand.time_sec]
        if latest and _distance_px(latest[-1].mask, hand) <= TOUCHING_HAND_LENGTHS * hand.length_px:
            return hand.time_sec
    return None


def _is_near(sight: MaskSight, hands: list[HandSight], hand_lengths: float) -> bool:
    return any(
        _distance_px(sight.mask, hand) <= hand_lengths * hand.length_px
        for hand in hands
        if abs(hand.time_sec - sight.time_sec) <= HAND_JOIN_SEC
    )


def _distance_px(mask: Mask, hand: HandSight) -> float:
    points = hand.points[np.isfinite(hand.points).all(axis=1)]
    if not len(points):
        return np.inf
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # Positive inside.
    return float(
        -max(
            cv2.pointPolygonTest(outline, (float(x), float(y)), True)
            for outline in outlines
            for x, y in points
        )
    )
