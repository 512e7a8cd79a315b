"""Which of several objects a hand touches, where they look alike and only motion tells."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.appearance import OBJECT_SIDE_PX, Appearance, prepare_frames
from tavid_core.lifting.contact import (
    MIN_HAND_CONFIDENCE,
    TOUCH_SCORE,
    ContactInterval,
    find_hand_contact,
)
from tavid_core.lifting.keypoints import HAND_NAMES, Keypoints
from tavid_core.lifting.target import TargetTrack, track_target

__all__ = [
    "InstanceTouch",
    "find_look_alikes",
    "rank_instances",
    "touched_instance",
    "touched_look_alike",
]

# Likeness 0..1 with the target in frame 0; a look-alike farther away is smaller and scores less.
LOOK_ALIKE_LIKENESS = 0.55
# In sides of the target: nearer than this it is the target itself.
MIN_APART_SIDES = 0.9
MAX_LOOK_ALIKES = 4
MIN_INSIDE_SHARE = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceTouch:
    """How much speaks for one of several objects being the touched one.

    Args:
        index: Of the object's mask.
        score: 0..1.
        contact: The best hand's contact with it.
        track: Where the object went.
    """

    index: int
    score: float
    contact: ContactInterval
    track: TargetTrack


def rank_instances(
    frames: NDArray[np.uint8], keypoints: Keypoints, masks: Sequence[NDArray[np.bool_]]
) -> list[InstanceTouch]:
    """Score how much speaks for each of several objects being touched.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        keypoints: Of the actor in these frames.
        masks: One per object in frame 0, bool (h, w) each.

    Returns:
        One entry per mask, best first.
    """
    touches = []
    for index, mask in enumerate(masks):
        track = track_target(frames, mask)
        contact = find_hand_contact(keypoints, track, mask)
        score = _touch_score(contact, track, keypoints)
        touches.append(InstanceTouch(index=index, score=score, contact=contact, track=track))
    return sorted(touches, key=lambda touch: -touch.score)


def touched_instance(
    frames: NDArray[np.uint8], keypoints: Keypoints, masks: Sequence[NDArray[np.bool_]]
) -> int | None:
    """Say which of several objects a hand touches.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        keypoints: Of the actor in these frames.
        masks: One per object in frame 0, bool (h, w) each.

    Returns:
        Index of the mask, or None when no object is touched.
    """
    ranked = rank_instances(frames, keypoints, masks)
    return ranked[0].index if ranked and ranked[0].score >= TOUCH_SCORE else None


def _touch_score(contact: ContactInterval, track: TargetTrack, keypoints: Keypoints) -> float:
    """Weigh motion with a hand over an emptied rest place over mere nearness."""
    if contact.moves_target:
        return 0.6 + 0.4 * contact.confidence
    # The object is gone, but nowhere found: it may be inside the hand.
    if contact.is_contact and track.has_gone:
        return 0.55
    if contact.is_contact:
        return contact.confidence
    hands_unseen = all(
        (keypoints.track(name)[1] < MIN_HAND_CONFIDENCE).all() for name in HAND_NAMES
    )
    # Without any hand in sight the object's own motion is all there is.
    late = slice(-max(2, len(track.confidence) // 6), None)
    return 0.5 * float(track.confidence[late].mean()) * (hands_unseen and bool(track.has_moved[-1]))


def find_look_alikes(frame: NDArray[np.uint8], mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Find what looks like the target elsewhere in the first frame.

    Args:
        frame: RGB, uint8 (h, w, 3).
        mask: The target in it, bool (h, w).

    Returns:
        The target's mask moved to each look-alike, bool (h, w), the most alike first; they may be
        some pixels off, since things farther away are smaller.
    """
    working = prepare_frames(frame[None], mask)
    appearance = Appearance(working)
    height, width = working.mask.shape
    column, row = appearance.center
    columns = np.arange(0, width, 2) - round(float(column))
    rows = np.arange(0, height, 2) - round(float(row))
    offsets = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    likeness, _ = appearance.similarity(working.lab[0], offsets)
    taken = [np.zeros(2)]
    found: list[NDArray[np.bool_]] = []
    for index in np.argsort(-likeness, kind="stable"):
        if likeness[index] < LOOK_ALIKE_LIKENESS or len(found) == MAX_LOOK_ALIKES:
            break
        apart = np.linalg.norm(np.array(taken) - offsets[index], axis=-1).min()
        if apart < MIN_APART_SIDES * OBJECT_SIDE_PX:
            continue
        taken.append(offsets[index].astype(np.float64))
        moved = _shift(mask, offsets[index] / working.scale)
        if moved.sum() >= MIN_INSIDE_SHARE * mask.sum():
            found.append(moved)
    return found


def touched_look_alike(
    frames: NDArray[np.uint8],
    keypoints: Keypoints,
    mask: NDArray[np.bool_],
    *,
    hand_names: Sequence[str] = HAND_NAMES,
) -> InstanceTouch | None:
    """Ask whether a hand takes something that looks like the target instead of it.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        keypoints: Of the actor in these frames.
        mask: The target in frame 0, bool (h, w).
        hand_names: The hands to consider.

    Returns:
        The look-alike that a hand carries away, or None. Its index counts `find_look_alikes`.
    """
    if not hand_names:
        return None
    masks = find_look_alikes(frames[0], mask)
    best = next(iter(rank_instances(frames, keypoints, masks)), None)
    is_carried = best is not None and best.contact.moves_target
    return best if is_carried and best.contact.hand in hand_names else None


def _shift(mask: NDArray[np.bool_], offset: NDArray[np.float64]) -> NDArray[np.bool_]:
    matrix = np.float32([[1, 0, offset[0]], [0, 1, offset[1]]])
    height, width = mask.shape
    return cv2.warpAffine(mask.astype(np.float32), matrix, (width, height)) > 0.5
