"""How far each channel of a motion can be trusted, and why not further."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tavid_core.lifting.body import (
    MIN_ACTOR_CONFIDENCE,
    MIN_POINT_CONFIDENCE,
    actor_confidence,
)
from tavid_core.lifting.contact import ContactInterval
from tavid_core.lifting.depth import SceneDepth
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.people import ActorChoice
from tavid_core.lifting.target import TargetTrack
from tavid_core.lifting.target_lift import TargetMotion
from tavid_core.lifting.target_mask import CarriedMask
from tavid_core.lifting.target_sight import TargetSight
from tavid_core.types import CameraIntrinsics, PointTrack

__all__ = ["LOW_CONFIDENCE", "Channels", "judge_channels"]

# Below this a channel carries a reason.
LOW_CONFIDENCE = 0.5
# Target and surroundings closer in colour than this (CIELAB) are hard to tell apart for anyone.
CLEAR_CONTRAST_LAB = 20.0
# What is measured in the video, not in its first frame alone.
MEASURED_CHANNELS = ("hands", "target", "rotation", "contact")
# Between two frames a hand does not cross this share of the picture.
MAX_STEP_SHARE = 0.25
DOUBTFUL_FACTOR = 0.7
# Below `LOW_CONFIDENCE` however surely each of several people is seen.
UNCLEAR_FACTOR = 0.49
# Metres in a picture without depth are guessed, however surely things are seen: 7 cm off, or 16.
ASSUMED_FACTOR = 0.49
ASSUMED_REASONS = {
    "hands": "their distance is assumed, for want of depth",
    "target": "its distance is assumed, for want of depth",
}


@dataclasses.dataclass(frozen=True)
class Channels:
    """Confidence per channel and reasons for the low ones.

    Args:
        confidence: "actor", "hands", "target", "rotation", "contact", "scale", each 0..1.
        reasons: For every channel below `LOW_CONFIDENCE` one sentence, and for those above it
            what is worth knowing all the same.
    """

    confidence: dict[str, float]
    reasons: dict[str, str]


def judge_channels(
    keypoints: Keypoints,
    hands: tuple[PointTrack, ...],
    track: TargetTrack,
    interval: ContactInterval,
    scene: SceneDepth,
    intrinsics: CameraIntrinsics,
    *,
    choice: ActorChoice,
    target: TargetMotion,
    sight: TargetSight,
    remarks: Mapping[str, str],
) -> Channels:
    """Judge a lifted motion.

    Args:
        keypoints: Of the actor.
        hands: The lifted hands; empty when none was sure enough.
        track: Of the target.
        interval: The contact found in the picture.
        scene: Where metres come from.
        intrinsics: Of the caller's image.
        choice: Who of the people in the picture acts.
        target: The lifted target.
        sight: The target in the picture; faults of the video lower all that is measured in it.
        remarks: What is worth knowing of "actor" and "hands", however sure they are.

    Returns:
        One confidence per channel, with a reason where it is low.
    """
    judged = {
        "actor": _judge_actor(keypoints, choice),
        "hands": _judge_hands(hands, intrinsics, interval.hand, keypoints.notes),
        "target": _judge_target(track, target, sight.mask),
        "rotation": (target.rotation_confidence, target.rotation_reason),
        "contact": _judge_contact(interval, hands),
        "scale": (scene.confidence, scene.reason),
    }
    if scene.source != "sensor":
        for name, cause in ASSUMED_REASONS.items():
            judged[name] = _doubt(judged[name], cause)
    if not choice.is_clear:
        for name in ("hands", "contact"):
            judged[name] = (UNCLEAR_FACTOR * judged[name][0], choice.reason)
    faults = sight.faults
    if faults.reason:
        for name in MEASURED_CHANNELS:
            judged[name] = (faults.factor * judged[name][0], faults.reason)
    unseen = f"unseen from frame {track.carried_from} on, it is taken to be in the hand"
    told = {
        "target": () if track.carried_from is None else (unseen,),
        "actor": (choice.reason, remarks.get("actor", "")),
        "hands": (*keypoints.notes, remarks.get("hands", "")),
        "contact": (interval.reason,) if interval.moves_target else (),
    }
    return _tell(judged, told)


def _tell(judged: Mapping[str, tuple[float, str]], told: Mapping[str, Sequence[str]]) -> Channels:
    """Give reasons where confidence is low, and what is told in any case."""
    confidence, reasons = {}, {}
    for name, (value, reason) in judged.items():
        confidence[name] = float(np.clip(value, 0, 1))
        parts = [reason] if confidence[name] < LOW_CONFIDENCE and reason else []
        for remark in told.get(name, ()):
            if remark and not any(remark in part for part in parts):
                parts.append(remark)
        if parts:
            reasons[name] = "; ".join(parts)
    return Channels(confidence=confidence, reasons=reasons)


def _doubt(judged: tuple[float, str], cause: str) -> tuple[float, str]:
    value, reason = judged
    if value <= 0:
        return judged
    return ASSUMED_FACTOR * value, cause if value >= LOW_CONFIDENCE else f"{reason}; {cause}"


def _judge_actor(keypoints: Keypoints, choice: ActorChoice) -> tuple[float, str]:
    sureness = actor_confidence(keypoints)
    if not choice.is_clear:
        return max(MIN_ACTOR_CONFIDENCE, UNCLEAR_FACTOR * sureness), choice.reason
    if sureness < MIN_ACTOR_CONFIDENCE:
        return sureness, (
            f"no actor is seen (detection {sureness:.2f}, {MIN_ACTOR_CONFIDENCE} needed)"
        )
    return sureness, f"the actor is seen with only {sureness:.2f} confidence"


def _judge_hands(
    hands: tuple[PointTrack, ...],
    intrinsics: CameraIntrinsics,
    touching: str | None,
    notes: tuple[str, ...],
) -> tuple[float, str]:
    if not hands:
        return 0.0, "no hand was found"
    # What a robot will follow is the hand that touches, however sure the other one is.
    acting = [hand for hand in hands if hand.name == touching] or hands
    surest = max(acting, key=lambda hand: float(hand.confidence.mean()))
    value = float(surest.confidence.mean())
    steps = np.linalg.norm(np.diff(surest.pixels, axis=0), axis=-1)
    if np.nanmax(np.append(steps, 0.0)) > MAX_STEP_SHARE * intrinsics.width:
        return 0.5 * value, "the hand jumps from frame to frame, so the detection is doubtful"
    if notes:
        return DOUBTFUL_FACTOR * value, "; ".join(notes)
    return value, "the hands are hidden or unsure in many frames, or their depth is not measured"


def _judge_contact(interval: ContactInterval, hands: tuple[PointTrack, ...]) -> tuple[float, str]:
    if not hands:
        return 0.0, "without a hand there is no contact"
    if interval.start_frame is None:
        return 0.0, interval.reason or "no hand touches the target"
    reason = interval.reason or "hand and target do not go together"
    return interval.confidence * interval.timing, reason


def _judge_target(track: TargetTrack, target: TargetMotion, mask: CarriedMask) -> tuple[float, str]:
    clearness = min(1.0, track.contrast_lab / CLEAR_CONTRAST_LAB)
    # A pose that is recognised by its print needs no contrast with what is around it.
    clearness = 1.0 if target.dof == 6 else clearness
    # Two followers that know nothing of each other: where one is lost the other may be wrong.
    sureness = np.where(mask.is_lost, DOUBTFUL_FACTOR, 1.0) * target.track.confidence
    value = float(sureness.mean()) * clearness
    is_unseen = target.track.confidence < MIN_POINT_CONFIDENCE
    num_lost = int(is_unseen.sum())
    # Where it ends is what a plan is for.
    if is_unseen[-max(2, len(is_unseen) // 6) :].all():
        value *= DOUBTFUL_FACTOR
    if track.left_frame is not None:
        return value, f"the target leaves the picture at frame {track.left_frame}"
    if clearness < LOW_CONFIDENCE:
        return value, "the target looks like what is around it"
    if num_lost:
        return (
            value,
            f"the target is hidden or lost in {num_lost} of {len(sureness)} frames",
        )
    return value, mask.reason or "the target changes its look"
