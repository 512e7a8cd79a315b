"""Decide from pictures alone which hand touches what, and when.

Two facts count. Decisive: the object leaves its rest place while a hand is at it. Weaker: a hand
comes to the object and stays, which in one picture can also be a hand in front of it or behind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import check_shape
from tavid_core.lifting.keypoints import HAND_NAMES, Keypoints
from tavid_core.lifting.nearness import (
    LOST_CONFIDENCE,
    RELEASE_FACTOR,
    gaps_to_shape,
    join_over_losses,
    median_of_three,
    near_runs,
)
from tavid_core.lifting.onset import arrival_frame, hidden_frame, timing_sureness
from tavid_core.lifting.target import TargetTrack

__all__ = [
    "TOUCH_SCORE",
    "ContactInterval",
    "find_contact",
    "find_hand_contact",
    "find_hand_contacts",
    "hand_runs",
]

MIN_HAND_CONFIDENCE = 0.3
# In object sides (square root of the mask's area). A palm's middle is about half a side from the
# rim of an object it grasps; the next object is rarely nearer than a whole side.
REACH_SIDES = 0.45
SETTLE_SIDES = 0.25
STILL_SIDES = 0.05
# A shoulder width is about four palms: it bounds the reach where objects are large.
REACH_SHOULDERS = 0.3
NEAR_ONLY_CONFIDENCE, GONE_CONFIDENCE = 0.45, 0.7
BESIDE_CONFIDENCE = 0.15
# Share of the object's pixels: a grasp from any side but behind covers more than this.
COVERED_SHARE = 0.06
TOUCH_SCORE = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContactInterval:
    """One hand's contact with one object, in the picture.

    Args:
        hand: Name of the hand, or None when no hand touches.
        start_frame: First frame of contact, or None.
        end_frame: Last frame of contact, or None.
        confidence: 0..1; 0 without contact.
        moves_target: Whether the object left its rest place in this contact.
        reason: Why the confidence is low; empty otherwise.
        timing: How sure the first frame is, 0..1.
    """

    hand: str | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    confidence: float = 0.0
    moves_target: bool = False
    reason: str = "no hand comes to the target"
    timing: float = 1.0

    @property
    def is_contact(self) -> bool:
        """Whether there is a contact at all."""
        return self.start_frame is not None


def find_contact(
    hand_pixels: NDArray[np.float32],
    hand_confidence: NDArray[np.float32],
    track: TargetTrack,
    mask: NDArray[np.bool_],
    *,
    hand: str = "hand",
    reach_px: float | None = None,
    onset_frame: int | None = None,
) -> ContactInterval:
    """Find when one hand touches one object.

    Contact begins when the hand has come within reach and has stopped coming nearer; it ends when
    the hand is clearly farther away (see `near_runs`). What moves while nobody sees it was touched
    before that.

    Args:
        hand_pixels: Middle of the hand, rollout pixels, float32 (T, 2); NaN where not seen.
        hand_confidence: float32 (T,), 0..1.
        track: Where the object is in every frame.
        mask: The object in frame 0, bool (h, w), rollout pixels.
        hand: Name to put into the result.
        reach_px: How far the hand's middle may be from the object's rim, rollout pixels; None
            takes it from the object's size.
        onset_frame: First frame in which the object moves where that is known better than from
            the track, or None.

    Returns:
        The contact; without one, `is_contact` is false and `reason` says why.

    Raises:
        ShapeError: If hand and track have not the same number of frames.
    """
    num_frames = len(track.confidence)
    advice = "Give one row per frame of the rollout."
    check_shape("hand_pixels", hand_pixels.shape, (num_frames, 2), advice)
    check_shape("hand_confidence", hand_confidence.shape, (num_frames,), advice)
    is_seen = (hand_confidence >= MIN_HAND_CONFIDENCE) & np.isfinite(hand_pixels).all(axis=-1)
    if not is_seen.any():
        return ContactInterval(reason="the hand is not seen")
    reach = REACH_SIDES * track.side_px if reach_px is None else reach_px
    gaps_px = median_of_three(gaps_to_shape(hand_pixels, is_seen, track, mask))
    runs = join_over_losses(near_runs(gaps_px, reach), track)
    onset = track.onset_frame
    if onset is not None:
        between = np.where(is_seen[:, None], hand_pixels - track.pixels, np.nan)
        moving = _run_with_motion(runs, gaps_px, between, track, reach)
        if moving is not None:
            near = next((r[0] for r in runs if r[0] <= onset + 1 and r[1] >= onset), moving[0])
            held, hidden = _held_frames(hand_pixels, is_seen, track, near, moving, onset_frame)
            return _moving_contact(hand, hand_pixels, hand_confidence, track, held, hidden)
    if not runs:
        return ContactInterval()
    return _near_contact(runs, gaps_px, hand_confidence, track, hand)


def _held_frames(
    hand_pixels: NDArray[np.float32],
    is_seen: NDArray[np.bool_],
    track: TargetTrack,
    first_near: int,
    moving: tuple[int, int],
    onset_frame: int | None,
) -> tuple[tuple[int, int], int | None]:
    """First and last frame of a contact, and since when the target may be moving unseen."""
    onset, hidden = track.onset_frame, None
    # What moves is held: the contact is older than the first motion.
    latest = onset if onset_frame is None else min(onset, max(onset_frame - 1, 0))
    if onset_frame is None:
        # What poses say is known, whatever hides the look.
        hidden = hidden_frame(track.confidence, onset, LOST_CONFIDENCE)
    arrival = arrival_frame(
        hand_pixels,
        is_seen,
        first_near,
        latest,
        min_speed_px=STILL_SIDES * track.side_px,
        hidden_from=hidden,
    )
    start, end = moving
    return (min(start, latest) if arrival is None else arrival, end), hidden


def _moving_contact(
    hand: str,
    hand_pixels: NDArray[np.float32],
    hand_confidence: NDArray[np.float32],
    track: TargetTrack,
    frames: tuple[int, int],
    hidden: int | None,
) -> ContactInterval:
    """Judge a hand that holds a target which moves; `hidden` is None where poses say since when."""
    (start, end), onset = frames, track.onset_frame
    is_seen = (hand_confidence >= MIN_HAND_CONFIDENCE) & np.isfinite(hand_pixels).all(axis=-1)
    timing, reason = timing_sureness(
        hand_pixels, is_seen, start, onset, is_measured=hidden is None, hidden_from=hidden
    )
    return ContactInterval(
        hand=hand,
        start_frame=start,
        end_frame=end,
        confidence=_motion_confidence(hand_pixels, hand_confidence, track, onset, end),
        moves_target=True,
        reason=reason,
        timing=timing,
    )


def _near_contact(
    runs: list[tuple[int, int]],
    gaps_px: NDArray[np.float32],
    hand_confidence: NDArray[np.float32],
    track: TargetTrack,
    hand: str,
) -> ContactInterval:
    """Judge a hand that came near a target which is not seen to move."""
    start, end = min(runs, key=lambda run: float(np.nanmin(gaps_px[run[0] : run[1] + 1])))
    start = _settled_start(gaps_px, start, end, track.side_px)
    sureness = float(hand_confidence[start : end + 1].mean())
    if start == 0:
        reason = "the hand is at the target from the first frame on, and the target stays"
        confidence = BESIDE_CONFIDENCE * sureness
    elif not _is_covered(track, start, end):
        reason = "a hand comes near the target, but covers no part of it and does not move it"
        confidence = BESIDE_CONFIDENCE * sureness
    elif track.has_gone:
        reason = "a hand comes to the target, which is then gone, but is not seen elsewhere"
        confidence = GONE_CONFIDENCE * sureness
    else:
        reason = "a hand comes to the target, but the target is not seen to move"
        confidence = NEAR_ONLY_CONFIDENCE * sureness
    return ContactInterval(
        hand=hand, start_frame=start, end_frame=end, confidence=confidence, reason=reason
    )


def find_hand_contact(
    keypoints: Keypoints,
    track: TargetTrack,
    mask: NDArray[np.bool_],
    *,
    hand_names: Sequence[str] = HAND_NAMES,
) -> ContactInterval:
    """Find the hand that touches an object, if any does.

    Args:
        keypoints: Of the actor, rollout pixels.
        track: Where the object is in every frame.
        mask: The object in frame 0, bool (h, w), rollout pixels.
        hand_names: The hands to consider.

    Returns:
        The contact of the surer hand.
    """
    contacts = find_hand_contacts(keypoints, track, mask, hand_names=hand_names)
    return max(contacts, key=lambda contact: contact.confidence, default=ContactInterval())


def find_hand_contacts(
    keypoints: Keypoints,
    track: TargetTrack,
    mask: NDArray[np.bool_],
    *,
    hand_names: Sequence[str] = HAND_NAMES,
    onset_frame: int | None = None,
) -> tuple[ContactInterval, ...]:
    """Find what each hand has to do with an object.

    Args:
        keypoints: Of the actor, rollout pixels.
        track: Where the object is in every frame.
        mask: The object in frame 0, bool (h, w), rollout pixels.
        hand_names: The hands to consider.
        onset_frame: First frame in which the object moves where that is known better than from
            the track, or None.

    Returns:
        One entry per hand, in the order of the names; those without a contact say why.
    """
    reach = _reach_px(keypoints, track.side_px)
    return tuple(
        find_contact(
            *keypoints.track(name), track, mask, hand=name, reach_px=reach, onset_frame=onset_frame
        )
        for name in hand_names
    )


def hand_runs(
    keypoints: Keypoints, name: str, track: TargetTrack, mask: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Find when a hand is at an object, wherever the object is by then.

    Args:
        keypoints: Of the actor, rollout pixels.
        name: Of the hand.
        track: Where the object is in every frame.
        mask: The object in frame 0, bool (h, w), rollout pixels.

    Returns:
        First and last frames, in time order.
    """
    pixels, confidence = keypoints.track(name)
    is_seen = (confidence >= MIN_HAND_CONFIDENCE) & np.isfinite(pixels).all(axis=-1)
    gaps_px = median_of_three(gaps_to_shape(pixels, is_seen, track, mask))
    return near_runs(gaps_px, _reach_px(keypoints, track.side_px))


def _reach_px(keypoints: Keypoints, side_px: float) -> float:
    left, right = (keypoints.track(f"{side}_shoulder") for side in ("left", "right"))
    is_sure = np.minimum(left[1], right[1]) >= MIN_HAND_CONFIDENCE
    reach = REACH_SIDES * side_px
    if not is_sure.any():
        return reach
    shoulders = np.linalg.norm(left[0] - right[0], axis=-1)[is_sure]
    return min(reach, REACH_SHOULDERS * float(np.median(shoulders)))


def _run_with_motion(
    runs: list[tuple[int, int]],
    gaps_px: NDArray[np.float32],
    between: NDArray[np.float32],
    track: TargetTrack,
    reach_px: float,
) -> tuple[int, int] | None:
    """Pick the nearness in which the object begins to move, and its frame of first touch."""
    moved = np.flatnonzero(track.has_moved)
    onset = int(moved[0])
    holding = [run for run in runs if run[0] <= onset + 1 and run[1] >= onset]
    if holding:
        first, end = min(holding[0][0], onset), holding[0][1]
    else:
        # A detector that loses the hand behind the object still sees it come.
        window = gaps_px[max(onset - 3, 0) : onset + 3]
        if np.isnan(window).all() or np.nanmin(window) > RELEASE_FACTOR * reach_px:
            return None
        first, end = max(onset - 3, 0), int(moved[-1])
    # Where the hand holds the object once it moves is where it touched it: go back to when the
    # hand came to that place.
    grip = between[moved[:4]]
    if np.isnan(grip).all():
        return onset, end
    away = median_of_three(np.linalg.norm(between - np.nanmedian(grip, axis=0), axis=-1))
    tolerance = max(SETTLE_SIDES * track.side_px, 2.0 * float(np.nanmedian(away[moved])), 1.0)
    start = onset
    while start > first and not away[start - 1] > tolerance:
        start -= 1
    return start, end


def _settled_start(gaps_px: NDArray[np.float32], start: int, end: int, side_px: float) -> int:
    """First frame at which the hand is about as near as it gets."""
    window = gaps_px[start : end + 1]
    is_settled = window <= np.nanmin(window) + SETTLE_SIDES * side_px
    return start + int(np.flatnonzero(is_settled)[0])


def _motion_confidence(
    hand_pixels: NDArray[np.float32],
    hand_confidence: NDArray[np.float32],
    track: TargetTrack,
    onset: int,
    end: int,
) -> float:
    """Ask whether hand and object go the same way while they are together."""
    span = np.arange(onset, end + 1)
    is_sure = (hand_confidence[span] >= MIN_HAND_CONFIDENCE) & track.has_moved[span]
    span = span[is_sure & np.isfinite(hand_pixels[span]).all(axis=-1)]
    sureness = float(np.median(track.confidence[track.has_moved]))
    if len(span) < 2:
        return 0.5 * sureness
    between = hand_pixels[span] - track.pixels[span]
    sway = np.linalg.norm(between - np.median(between, axis=0), axis=-1)
    travel = float(track.displacement_px[span].max())
    together = float(np.clip(1.0 - np.median(sway) / max(0.5 * travel, 1.0), 0.0, 1.0))
    hand_sureness = float(hand_confidence[span].mean())
    return float(np.clip((0.4 + 0.6 * together) * np.sqrt(sureness * hand_sureness), 0.0, 1.0))


def _is_covered(track: TargetTrack, start: int, end: int) -> bool:
    """Ask whether the hand hides part of the resting object, in two frames at least."""
    before = float(np.median(track.rest_likeness[:start]))
    during = np.sort(track.rest_likeness[start : end + 1])
    return before - float(during[min(1, len(during) - 1)]) >= COVERED_SHARE
