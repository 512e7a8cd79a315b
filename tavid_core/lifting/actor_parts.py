"""Who acts, and the parts of the plan that come from the actor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.actor import ActorLifter
from tavid_core.lifting.arm import follow_arm
from tavid_core.lifting.body import (
    MIN_ACTOR_CONFIDENCE,
    MIN_POINT_CONFIDENCE,
    actor_confidence,
    mean_confidence,
)
from tavid_core.lifting.body_model import BodyModel
from tavid_core.lifting.hands import hand_aperture, hand_quaternions, sees_palm
from tavid_core.lifting.keypoint_checks import check_keypoints
from tavid_core.lifting.keypoints import GRIPPER, HAND_NAMES, Keypoints
from tavid_core.lifting.limb_lift import LimbMotion
from tavid_core.lifting.people import ActorChoice, choose_actor
from tavid_core.lifting.target import TargetTrack
from tavid_core.types import BodyFit, CameraIntrinsics, PlanRequest, PointTrack

__all__ = ["Actor", "ActorParts", "collect_parts", "find_actor"]


@dataclasses.dataclass(frozen=True)
class Actor:
    """Who acts in a rollout.

    Args:
        kind: "person", "arm" or "none".
        keypoints: Of the person, or the tip of the arm, model pixels.
        hand_names: The hands that are seen surely enough to be worth a track.
        choice: Who of several people it is.
    """

    kind: str
    keypoints: Keypoints
    hand_names: tuple[str, ...]
    choice: ActorChoice


@dataclasses.dataclass(frozen=True)
class ActorParts:
    """What of a plan comes from the actor; see `InteractionMotion`.

    Args:
        hands: Tracks of the hands.
        body: Tracks of the other points.
        apertures_m: By hand.
        body_fit: If one was asked for and could be fitted.
        remarks: By channel, what is assumed or missing.
    """

    hands: tuple[PointTrack, ...] = ()
    body: tuple[PointTrack, ...] = ()
    apertures_m: Mapping[str, NDArray[np.float32]] = dataclasses.field(default_factory=dict)
    body_fit: BodyFit | None = None
    remarks: Mapping[str, str] = dataclasses.field(default_factory=dict)


def find_actor(
    frames: NDArray[np.uint8],
    request: PlanRequest,
    keypoints: Keypoints,
    fit: FrameFit,
    track: TargetTrack,
) -> Actor:
    """Decide who acts.

    An arm is looked for only where the request marks an actor that is not seen to be a person.

    Args:
        frames: Of the rollout, uint8 (T, h, w, 3).
        request: With or without an actor mask, caller's pixels.
        keypoints: Of the people in the picture, model pixels.
        fit: How the request's image became the rollout's frame 0.
        track: Of the target.

    Returns:
        The actor; of kind "none" without hands if nobody is seen surely enough.
    """
    mask = _actor_mask(request, fit)
    people = [check_keypoints(one) for one in (keypoints, *keypoints.others)]
    sure = [one for one in people if _has_hand(one)]
    choice = ActorChoice(None, 0, True, "")
    if sure:
        choice = choose_actor(sure, track, mask)
    if choice.keypoints is not None:
        return Actor("person", choice.keypoints, _sure_hands(choice.keypoints), choice)
    if mask is not None:
        arm = follow_arm(frames, mask, track, fit.fit_mask(request.target_mask))
        if mean_confidence(arm, GRIPPER) >= MIN_ACTOR_CONFIDENCE:
            return Actor("arm", arm, (GRIPPER,), choice)
    return Actor("none", people[0], (), choice)


def _actor_mask(request: PlanRequest, fit: FrameFit) -> NDArray[np.bool_] | None:
    if request.actor_mask is None:
        return None
    try:
        return fit.fit_mask(request.actor_mask, name="actor_mask", may_be_cut=True)
    except InputError:
        # Wholly outside the model's window: it marks nobody who could act.
        return None


def _sure_hands(keypoints: Keypoints) -> tuple[str, ...]:
    return tuple(
        name for name in HAND_NAMES if mean_confidence(keypoints, name) >= MIN_POINT_CONFIDENCE
    )


def _has_hand(keypoints: Keypoints) -> bool:
    return actor_confidence(keypoints) >= MIN_ACTOR_CONFIDENCE and bool(_sure_hands(keypoints))


def collect_parts(
    actor: Actor,
    lifter: ActorLifter,
    motion: LimbMotion | None,
    fit: FrameFit,
    intrinsics: CameraIntrinsics,
    body_model: BodyModel | None = None,
) -> ActorParts:
    """Turn a lifted actor into parts of a plan.

    Args:
        actor: Who acts.
        lifter: That lifted it.
        motion: What it found, or None.
        fit: How the request's image became the rollout's frame 0.
        intrinsics: Of the caller's image.
        body_model: A body to fit to a person, or None for none.

    Returns:
        Tracks, apertures and, where both shoulders or hips are seen, the fitted body; remarks say
        that it could not be fitted, and where the turn of a hand is assumed.
    """
    if not actor.hand_names:
        return ActorParts()
    body = [lifter.track(name, motion) for name in lifter.names if name not in actor.hand_names]
    body = tuple(
        point for point in body if (point.confidence > 0).any() and point.name not in HAND_NAMES
    )
    hands = [lifter.track(name, motion) for name in actor.hand_names]
    remarks = {}
    if actor.kind != "person":
        if body_model is not None:
            remarks["actor"] = "no body was fitted: an arm has none"
        return ActorParts(tuple(hands), body, remarks=remarks)
    apertures_m, is_assumed = {}, np.zeros(len(hands[0].confidence), dtype=bool)
    for index, hand in enumerate(hands):
        elbow = next((p for p in body if p.name == hand.name.replace("hand", "elbow")), None)
        turns = hand_quaternions(hand, elbow, actor.keypoints, fit, intrinsics)
        hands[index] = dataclasses.replace(hand, quaternions_xyzw=turns)
        is_palm = sees_palm(hand, actor.keypoints, fit, intrinsics)
        is_assumed |= np.isfinite(turns).all(axis=-1) & ~is_palm
        aperture_m = hand_aperture(hand, actor.keypoints, fit, intrinsics)
        if aperture_m is not None:
            apertures_m[hand.name] = aperture_m
    if is_assumed.any():
        remarks["hands"] = (
            "how a hand is turned about its forearm is assumed in "
            f"{is_assumed.sum()} of {len(is_assumed)} frames"
        )
    fitted = None
    if body_model is not None and motion is not None and _has_torso(motion.names):
        from tavid_core.lifting.body_fit import fit_body

        fitted = fit_body(motion, body_model, intrinsics)
    elif body_model is not None:
        remarks["actor"] = "no body was fitted: neither both shoulders nor both hips are seen"
    return ActorParts(tuple(hands), body, apertures_m, fitted, remarks)


def _has_torso(names: tuple[str, ...]) -> bool:
    pairs = [{f"left_{part}", f"right_{part}"} for part in ("shoulder", "hip")]
    return any(pair <= set(names) for pair in pairs)
