"""Lift an imagined video to metres: hands, body points, the target, and their contact.

The video has no depth after frame 0, so the third coordinate is mostly reasoned, not measured:
the target keeps its depth of frame 0, the actor's limbs keep their lengths, and the touching hand
is at the target when it touches. Each channel says how far to trust it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.errors import check_shape
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.actor import ActorLifter, lift_body
from tavid_core.lifting.actor_parts import collect_parts, find_actor
from tavid_core.lifting.body import clean_path, shoulder_width_px
from tavid_core.lifting.body_model import BodyModel
from tavid_core.lifting.channels import judge_channels
from tavid_core.lifting.contact import TOUCH_SCORE, ContactInterval, find_hand_contact
from tavid_core.lifting.depth import SceneDepth, measure_scene
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.target import TargetTrack, track_target
from tavid_core.lifting.target_lift import lift_target, measure_poses
from tavid_core.types import (
    CameraIntrinsics,
    Contact,
    InteractionMotion,
    PlanRequest,
    PointTrack,
    Rollout,
)

__all__ = ["lift"]


def lift(
    rollout: Rollout,
    request: PlanRequest,
    keypoints: Keypoints,
    *,
    fit: FrameFit,
    body_model: BodyModel | None = None,
) -> InteractionMotion:
    """Lift a rollout.

    Args:
        rollout: The imagined video, model pixels.
        request: Its image, mask, and where given depth and intrinsics, caller's pixels.
        keypoints: Of the actor in the rollout, model pixels.
        fit: How the request's image became the rollout's frame 0.
        body_model: A body to fit to the actor, from `load_body_model`; None for points only.

    Returns:
        The motion in the caller's pixels and in metres of the request's optical frame. Without a
        hand that is seen surely enough `hands` is empty and the "actor" channel says why.

    Raises:
        ShapeError: If keypoints and rollout have not the same number of frames.
    """
    num_frames = len(rollout.frames)
    check_shape(
        "keypoints.confidence",
        keypoints.confidence.shape,
        (num_frames, len(keypoints.names)),
        "Detect them in this rollout's frames.",
    )
    height, width = request.image.shape[:2]
    intrinsics = request.intrinsics or intrinsics_from_field_of_view(width, height)
    mask = fit.fit_mask(request.target_mask)
    track = track_target(rollout.frames, mask)
    who = find_actor(rollout.frames, request, keypoints, fit, track)
    keypoints = who.keypoints
    flat = _Flat(request, keypoints, fit, intrinsics)
    interval = find_hand_contact(keypoints, track, mask, hand_names=who.hand_names)
    if interval.confidence < TOUCH_SCORE:
        interval = dataclasses.replace(interval, hand=None, start_frame=None, end_frame=None)
    scene = flat.scene_depth()
    poses = measure_poses(rollout, request, fit, track, scene, intrinsics)
    actor = ActorLifter(request, keypoints, fit, intrinsics, rollout.fps)
    side_px = track.side_px * float(np.mean(fit.scale_xy))
    body_motion, scene = lift_body(actor, interval, flat.path_of(track), side_px, scene, intrinsics)
    parts = collect_parts(who, actor, body_motion, fit, intrinsics, body_model)
    hand = next((hand for hand in parts.hands if hand.name == interval.hand), None)
    target = lift_target(poses, track, fit, scene, intrinsics, interval, hand)
    channels = judge_channels(keypoints, parts.hands, track, interval, scene, intrinsics)
    return InteractionMotion(
        hands=parts.hands,
        body=parts.body,
        target=target.track,
        target_quaternions_xyzw=target.quaternions_xyzw,
        target_dof=target.dof,
        contact=_contact(interval, parts.hands, target.track),
        apertures_m=parts.apertures_m,
        body_fit=parts.body_fit,
        actor_kind=who.kind,
        scale_source=scene.source,
        confidence=channels.confidence,
        reasons=channels.reasons,
    )


class _Flat:
    """What the picture says, before any depth: paths in the caller's pixels."""

    def __init__(
        self,
        request: PlanRequest,
        keypoints: Keypoints,
        fit: FrameFit,
        intrinsics: CameraIntrinsics,
    ) -> None:
        self._request = request
        self._keypoints = keypoints
        self._fit = fit
        self._intrinsics = intrinsics

    def path(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One point's path in the caller's pixels, with its confidence."""
        pixels, confidence = clean_path(*self._keypoints.track(name))
        return self._fit.pixels_to_caller(pixels), confidence

    def path_of(self, track: TargetTrack) -> NDArray[np.float32]:
        """The target's path in the caller's pixels."""
        return self._fit.pixels_to_caller(track.pixels)

    def scene_depth(self) -> SceneDepth:
        """Measure the target's depth, or assume it."""
        (left, left_sure), (right, right_sure) = map(self.path, ("left_shoulder", "right_shoulder"))
        width_px = shoulder_width_px(left, right, np.minimum(left_sure, right_sure))
        return measure_scene(self._request, self._intrinsics, width_px)


def _contact(
    interval: ContactInterval, hands: tuple[PointTrack, ...], target: PointTrack
) -> Contact:
    if interval.start_frame is None:
        return Contact(confidence=0.0)
    hand = next(hand for hand in hands if hand.name == interval.hand)
    point = hand.positions_camera_m[interval.start_frame]
    # A hand that is hidden at the first touch is where the target is.
    if not np.isfinite(point).all():
        point = target.positions_camera_m[interval.start_frame]
    return Contact(
        hand=interval.hand,
        start_frame=interval.start_frame,
        end_frame=interval.end_frame,
        point_camera_m=point.copy(),
        touches_target=True,
        confidence=float(interval.confidence),
    )
