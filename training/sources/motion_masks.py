"""Find the target without anybody pointing at it: the thing that moves after the actor came to it.

The camera stands still. Pixels that look different from some frame on until the end, and not yet
when the actor began to move, are where the target stood, or where actor and target are now. The
outline of what stood there is an edge in the first picture and gone in the last one.

Shapes: T frames, H x W pixels.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.segment_grabcut import GrabCutSegmenter

__all__ = ["MovedTarget", "find_moved_target", "watch_target"]

NUM_REST_FRAMES = 3
# More than noise and a lamp make, grey levels of the most changed colour.
MIN_CHANGE = 22
MIN_MOVING_SHARE = 0.0005
MIN_SHARE, MAX_SHARE = 0.002, 0.2
# The target begins to move later than the actor, frames.
MIN_DELAY = 2
MIN_GONE_SHARE = 0.85
# Of a target that is known; it may move by less than its size.
MIN_MOVED_SHARE = 0.3
MIN_EDGE_GAIN = 5.0
MIN_LEAD = 1.3
MAX_POINTS = 24
MIN_DEPTH_PX = 1.5

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class MovedTarget:
    """What moved.

    Args:
        target_mask: Where it stood, bool (H, W).
        start_frame: First frame in which the actor moves.
        touch_frame: First frame in which its place looks different.
        changed_THW: What looks different from the first frame: the actor, as far as it moves.
    """

    target_mask: Mask
    start_frame: int
    touch_frame: int
    changed_THW: NDArray[np.bool_]


def find_moved_target(frames_THWC: Frames) -> MovedTarget:
    """Find what an actor moves in a short recording.

    Args:
        frames_THWC: RGB, uint8 (T, H, W, 3); nothing moves in the first ones.

    Returns:
        The target.

    Raises:
        InputError: If nothing, or more than one thing that fits, was moved.
    """
    before, changed_THW = _find_changes(frames_THWC)
    after = np.median(frames_THWC[-NUM_REST_FRAMES:], axis=0).astype(np.uint8)
    since = _changed_since(changed_THW)
    start = _actor_starts(changed_THW)
    late = (since >= start + MIN_DELAY) & (since < len(frames_THWC))
    things = _find_things(late, before, after)
    if not things:
        raise InputError(
            "something must be moved by the actor, got nothing that stood still before and is gone "
            "after. Point at the target with clicks."
        )
    if len(things) > 1 and things[0][0] < MIN_LEAD * things[1][0]:
        raise InputError(
            "one thing must be moved, got several that could be it. "
            "Point at the target with clicks."
        )
    target = things[0][1]
    touch = int(np.percentile(since[target & late], 5))
    return MovedTarget(target, start, max(1, touch), changed_THW)


def watch_target(frames_THWC: Frames, target_mask: Mask) -> MovedTarget:
    """Find when somebody comes to a target that is known, and moves it.

    Args:
        frames_THWC: RGB, uint8 (T, H, W, 3); nothing moves in the first ones.
        target_mask: Where it stands in the first of them, bool (H, W).

    Returns:
        The target, with what else changes.

    Raises:
        InputError: If it looks the same in the end.
    """
    _, changed_THW = _find_changes(frames_THWC)
    since = _changed_since(changed_THW)[target_mask]
    gone = since[since < len(frames_THWC)]
    if len(gone) < MIN_MOVED_SHARE * len(since) or not len(gone):
        raise InputError(
            "target must be moved by the actor, got one that looks the same in the end. "
            "Record contact, or masks of the actor."
        )
    touch = int(np.percentile(gone, 5))
    return MovedTarget(target_mask, _actor_starts(changed_THW), max(1, touch), changed_THW)


def _find_changes(frames_THWC: Frames) -> tuple[Frames, NDArray[np.bool_]]:
    """Give the picture at rest, and what differs from it in each frame."""
    if len(frames_THWC) < 3 * NUM_REST_FRAMES:
        raise InputError(f"recording must be longer, got {len(frames_THWC)} frames. Use clicks.")
    before = np.median(frames_THWC[:NUM_REST_FRAMES], axis=0).astype(np.uint8)
    return before, np.stack([_differs(frame, before) for frame in frames_THWC])


def _differs(image: Frames, other: Frames) -> Mask:
    change = np.abs(image.astype(np.int16) - other.astype(np.int16)).max(axis=-1)
    return cv2.medianBlur((change > MIN_CHANGE).astype(np.uint8), 3) > 0


def _changed_since(changed_THW: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Tell from which frame on each pixel stays different until the end; T if it does not."""
    backwards = changed_THW[::-1]
    # A pixel may look as before by chance for a moment.
    steady = backwards | np.roll(backwards, 1, axis=0)
    steady[0] = backwards[0]
    length = np.where(steady.all(axis=0), len(steady), np.argmin(steady, axis=0))
    return len(changed_THW) - length


def _actor_starts(changed_THW: NDArray[np.bool_]) -> int:
    shares = changed_THW.mean(axis=(1, 2))
    moving = np.nonzero(shares >= MIN_MOVING_SHARE)[0]
    return int(moving[0]) if len(moving) else len(changed_THW)


def _find_things(late: Mask, before: Frames, after: Frames) -> list[tuple[float, Mask]]:
    """List things of the first picture that are gone in the last one, with how sure that is."""
    segmenter = GrabCutSegmenter()
    segmenter.set_image(before)
    gain = _edges(before) - _edges(after)
    near = cv2.dilate(late.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    things: list[tuple[float, Mask]] = []
    for point in _list_points(late):
        try:
            found = segmenter.segment([point])
        except InputError:
            continue
        mask = found.mask
        is_new = all((mask & other).sum() < 0.5 * (mask | other).sum() for _, other in things)
        is_gone = (mask & near).sum() >= MIN_GONE_SHARE * mask.sum()
        if not (is_new and is_gone and MIN_SHARE <= mask.mean() <= MAX_SHARE):
            continue
        outline_gain = float(gain[_outline(mask)].mean())
        if outline_gain >= MIN_EDGE_GAIN:
            things.append((outline_gain * float(np.sqrt(mask.sum())), mask))
    return sorted(things, key=lambda rated: -rated[0])


def _list_points(late: Mask) -> list[tuple[int, int]]:
    """Spread points over a region, each as far inside as it gets."""
    depth = cv2.distanceTransform(late.astype(np.uint8), cv2.DIST_L2, 3)
    side = max(3, round(np.sqrt(late.size * MIN_SHARE)))
    points = []
    while len(points) < MAX_POINTS:
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth[row, column] < MIN_DEPTH_PX:
            break
        points.append((int(column), int(row)))
        cv2.circle(depth, (int(column), int(row)), side, 0.0, -1)
    return points


def _outline(mask: Mask) -> Mask:
    pixels = mask.astype(np.uint8)
    grown, inner = cv2.dilate(pixels, np.ones((3, 3))), cv2.erode(pixels, np.ones((3, 3)))
    return (grown > 0) & ~(inner > 0)


def _edges(image: Frames) -> NDArray[np.float32]:
    channels = cv2.split(cv2.GaussianBlur(image, (3, 3), 0).astype(np.float32))
    strengths = [
        np.hypot(cv2.Sobel(c, cv2.CV_32F, 1, 0), cv2.Sobel(c, cv2.CV_32F, 0, 1)) / 4
        for c in channels
    ]
    return np.max(strengths, axis=0)
