"""Several people in one picture: finding those whom a detector passes over, and who of them acts.

Detectors of one person give the most conspicuous one. Painted over, that one gives way to the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.body import (
    MIN_ACTOR_CONFIDENCE,
    MIN_POINT_CONFIDENCE,
    actor_confidence,
)
from tavid_core.lifting.keypoints import HAND_NAMES, Keypoints
from tavid_core.lifting.target import TargetTrack

__all__ = ["ActorChoice", "choose_actor", "find_people"]

MAX_PEOPLE = 3
NUM_PROBES = 3
# Of the shoulders' distance: from the seen points to the outline of the body.
BODY_MARGIN = 0.6
# In sides of the target: a hand this near is at it, and another one this much farther is not.
NEAR_SIDES, APART_SIDES = 2.0, 1.5
# A marked person has most points in the mask; somebody beside it has hardly any.
MIN_SHARE_IN_MASK = 0.3
MASK_MARGIN_SHARE = 0.02


@dataclasses.dataclass(frozen=True)
class ActorChoice:
    """Who of the people in the picture acts.

    Args:
        keypoints: Of the actor, or None if the actor mask marks none of them.
        num_people: How many are seen.
        is_clear: Whether nobody else comes into question.
        reason: What decided, or why it is unclear; empty with one person alone.
    """

    keypoints: Keypoints | None
    num_people: int
    is_clear: bool
    reason: str


def find_people(
    detect: Callable[[NDArray[np.uint8]], Keypoints], frames: NDArray[np.uint8]
) -> Keypoints:
    """Detect one person after the other, each with those before painted over.

    Whether there is another one is asked in a few frames first.

    Args:
        detect: Finds one person in frames.
        frames: RGB, uint8 (T, h, w, 3).

    Returns:
        The first person, with the others in `others`.
    """
    found = [detect(frames)]
    probes = np.unique(np.linspace(0, len(frames) - 1, NUM_PROBES).round().astype(int))
    while actor_confidence(found[-1]) >= MIN_ACTOR_CONFIDENCE and len(found) < MAX_PEOPLE:
        probe = _paint_over(frames[probes], _take(found[-1], probes))
        if actor_confidence(detect(probe)) < MIN_ACTOR_CONFIDENCE:
            break
        frames = _paint_over(frames, found[-1])
        found.append(detect(frames))
    sure = [one for one in found[1:] if actor_confidence(one) >= MIN_ACTOR_CONFIDENCE]
    return dataclasses.replace(found[0], others=tuple(sure))


def choose_actor(
    people: Sequence[Keypoints], track: TargetTrack, actor_mask: NDArray[np.bool_] | None = None
) -> ActorChoice:
    """Choose who acts: the one that the mask marks, else the one whose hand is at the target.

    Args:
        people: At least one.
        track: Of the target, in the same pixels.
        actor_mask: The actor in frame 0, bool (h, w), in the same pixels, or None.

    Returns:
        The choice.
    """
    choice = _choose(people, track, actor_mask)
    if choice.keypoints is None or not choice.keypoints.is_crowded:
        return choice
    reason = "more than one person is seen, too close to tell whose hands these are"
    return dataclasses.replace(choice, is_clear=False, reason=reason)


def _choose(
    people: Sequence[Keypoints], track: TargetTrack, actor_mask: NDArray[np.bool_] | None
) -> ActorChoice:
    if actor_mask is not None:
        shares = [_share_in_mask(one, actor_mask) for one in people]
        best = int(np.argmax(shares))
        # Without a point in frame 0 nothing speaks against the person.
        if np.isnan(shares).all():
            return ActorChoice(people[0], len(people), len(people) == 1, "")
        if shares[best] < MIN_SHARE_IN_MASK:
            return ActorChoice(None, len(people), True, "")
        reason = f"{len(people)} people are seen; the marked one is taken"
        return ActorChoice(people[best], len(people), True, reason if len(people) > 1 else "")
    if len(people) == 1:
        return ActorChoice(people[0], 1, True, "")
    ways = np.array([_way_to_target(one, track) for one in people])
    order = np.argsort(ways)
    first, second = ways[order[:2]]
    seen = f"{len(people)} people are seen"
    if first > NEAR_SIDES:
        reason = f"{seen}, and none has a hand at the target: who acts is unsure"
    elif second < first + APART_SIDES:
        reason = f"{seen}, and more than one has a hand at the target: who acts is unsure"
    else:
        reason = f"{seen}; the one whose hand goes to the target is taken"
        return ActorChoice(people[order[0]], len(people), True, reason)
    return ActorChoice(people[order[0]], len(people), False, f"{reason}; mark the actor")


def _way_to_target(keypoints: Keypoints, track: TargetTrack) -> float:
    """Distance of the nearer hand from the target, in its sides: while it moves, else at least."""
    ways = []
    for name in HAND_NAMES:
        pixels, confidence = keypoints.track(name)
        way = np.linalg.norm(pixels - track.pixels, axis=-1) / max(track.side_px, 1.0)
        ways.append(np.where(confidence >= MIN_POINT_CONFIDENCE, way, np.inf))
    nearest = np.nan_to_num(np.min(ways, axis=0), nan=np.inf)
    if track.has_moved.any() and np.isfinite(nearest[track.has_moved]).any():
        return float(np.median(nearest[track.has_moved]))
    return float(nearest.min(initial=np.inf))


def _share_in_mask(keypoints: Keypoints, mask: NDArray[np.bool_]) -> float:
    """Of the points seen in frame 0, how many lie in the mask; NaN if none is seen."""
    pixels = keypoints.pixels[0][keypoints.confidence[0] >= MIN_POINT_CONFIDENCE]
    pixels = pixels[np.isfinite(pixels).all(axis=-1)]
    columns, rows = np.clip(pixels.round(), -1, np.array(mask.shape[::-1])).astype(int).T
    is_inside = (columns >= 0) & (rows >= 0) & (columns < mask.shape[1]) & (rows < mask.shape[0])
    if not is_inside.any():
        return float("nan")
    margin = 2 * max(1, round(MASK_MARGIN_SHARE * mask.shape[1])) + 1
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((margin, margin), np.uint8)) > 0
    return float(wide[rows[is_inside], columns[is_inside]].mean())


def _take(keypoints: Keypoints, rows: NDArray[np.int64]) -> Keypoints:
    return Keypoints(keypoints.names, keypoints.pixels[rows], keypoints.confidence[rows])


def _paint_over(frames: NDArray[np.uint8], keypoints: Keypoints) -> NDArray[np.uint8]:
    """Fill the box around a person with the usual colour of what is around it."""
    painted = frames.copy()
    is_seen = keypoints.confidence >= MIN_POINT_CONFIDENCE
    is_seen &= np.isfinite(keypoints.pixels).all(axis=-1)
    shoulders = [keypoints.track(f"{side}_shoulder")[0] for side in ("left", "right")]
    widths_px = np.linalg.norm(shoulders[0] - shoulders[1], axis=-1)
    size = np.array(frames.shape[2:0:-1])
    for t in np.flatnonzero(is_seen.sum(axis=1) >= 2):
        points = keypoints.pixels[t][is_seen[t]].astype(np.float64)
        extent = float((points.max(axis=0) - points.min(axis=0)).max())
        margin = BODY_MARGIN * (widths_px[t] if np.isfinite(widths_px[t]) else 0.5 * extent)
        left, top = np.clip(points.min(axis=0) - margin, 0, size).astype(int)
        right, bottom = np.ceil(np.clip(points.max(axis=0) + margin, 0, size)).astype(int)
        is_around = np.ones(frames.shape[1:3], dtype=bool)
        is_around[top:bottom, left:right] = False
        around = frames[t][is_around] if is_around.any() else frames[t].reshape(-1, 3)
        painted[t, top:bottom, left:right] = np.median(around, axis=0)
    return painted
