"""When the actor touches the target: from truth, or as far as a picture can tell.

Shapes: T frames, H x W pixels, K hand points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from training.sources.cut_rules import CutRules
from training.sources.recording import Recording

__all__ = ["NOT_TOUCHING", "TOUCHING", "UNKNOWN", "find_touch", "list_runs", "steady_touch"]

UNKNOWN, NOT_TOUCHING, TOUCHING = -1, 0, 1

Mask = NDArray[np.bool_]


def find_touch(recording: Recording, rules: CutRules) -> NDArray[np.int8]:
    """Tell for every frame whether the actor touches the target.

    Where the source knows the contact, that decides. Else a hand point near the target does, and
    without hand points an actor mask that comes near it. A picture cannot tell a hand before the
    target from one at it, so this says "touching" too early rather than too late.

    Args:
        recording: What is known.
        rules: How near is touching.

    Returns:
        int8 (T,): 1 touching, 0 not, -1 unknown.
    """
    if recording.contact is not None:
        return recording.contact.astype(np.int8)
    touch = np.full(recording.num_frames, UNKNOWN, dtype=np.int8)
    target, was_touched = None, False
    for frame in range(recording.num_frames):
        seen = recording.target_masks.get(frame)
        if seen is not None and seen.any():
            target, was_touched = seen, False
        # Until it is touched the target stands where it was seen last; then it may be anywhere.
        if target is not None and not was_touched:
            touch[frame] = _touches(recording, rules, frame, target)
            was_touched = touch[frame] == TOUCHING
    return touch


def _touches(recording: Recording, rules: CutRules, frame: int, target: Mask) -> int:
    height = recording.size_hw[0]
    if recording.hand_pixels is not None:
        points = recording.hand_pixels[frame]
        points = points[np.isfinite(points).all(axis=-1)]
        if len(points):
            radius_px = max(1.0, rules.hand_radius_share * height)
            return int(_distance_px(target, points) <= radius_px)
    if frame in recording.actor_masks:
        actor = recording.actor_masks[frame]
        return int(_masks_touch(target, actor, max(1, round(rules.touch_share * height))))
    return UNKNOWN


def _distance_px(mask: Mask, points: NDArray[np.float64]) -> float:
    """Measure from the nearest of the points to the nearest pixel of the mask."""
    rows, columns = np.nonzero(mask)
    # A picture's worth of pixels times many points would be large; the outline is enough.
    if len(rows) > 1000:
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        at = np.clip(np.rint(points), 0, np.array(mask.shape[::-1]) - 1).astype(int)
        if mask[at[:, 1], at[:, 0]].any():
            return 0.0
        rows, columns = np.nonzero(mask & ~inner)
    offsets = points[:, None] - np.stack([columns, rows], axis=-1)[None]
    return float(np.sqrt((offsets**2).sum(axis=-1).min()))


def _masks_touch(target: Mask, actor: Mask, near_px: int) -> bool:
    rows, columns = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
    top, bottom = max(0, rows[0] - near_px), rows[-1] + near_px + 1
    left, right = max(0, columns[0] - near_px), columns[-1] + near_px + 1
    # Only around the target: masks may be large, and most of them is elsewhere.
    around = np.s_[top:bottom, left:right]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * near_px + 1, 2 * near_px + 1))
    grown = cv2.dilate(target[around].astype(np.uint8), disc) > 0
    return bool((grown & actor[around]).any())


def steady_touch(touch: NDArray[np.int8], num_frames: int) -> NDArray[np.int8]:
    """Hold the last known value over unknown frames, and close short gaps in a contact.

    Args:
        touch: int8 (T,), as `find_touch` returns it.
        num_frames: Gaps shorter than this are closed.

    Returns:
        int8 (T,); unknown only before the first known frame.
    """
    known = np.where(touch == UNKNOWN, -1, np.arange(len(touch)))
    last = np.maximum.accumulate(known)
    steady = np.where(last < 0, UNKNOWN, touch[last])
    for start, stop in list_runs(steady == NOT_TOUCHING):
        is_inner = start > 0 and stop < len(steady) and steady[start - 1] == TOUCHING
        if is_inner and stop - start < num_frames:
            steady[start:stop] = TOUCHING
    return steady.astype(np.int8)


def list_runs(marked: Mask) -> list[tuple[int, int]]:
    """List the stretches that are marked.

    Args:
        marked: bool (T,).

    Returns:
        Start and stop of each, in order.
    """
    edges = np.diff(np.concatenate([[0], marked.astype(np.int8), [0]]))
    return list(
        zip(np.nonzero(edges == 1)[0].tolist(), np.nonzero(edges == -1)[0].tolist(), strict=True)
    )


def masks_in(masks: Mapping[int, Mask], start: int, stop: int) -> Iterator[tuple[int, Mask]]:
    """List the masks of a stretch that show something.

    Args:
        masks: By frame index.
        start: First frame.
        stop: Behind the last frame.

    Yields:
        Frame and mask.
    """
    for frame in range(start, stop):
        if frame in masks and masks[frame].any():
            yield frame, masks[frame]
