"""Lift an imagined video to metres: hands, body points, the target, and their contact.

The video has no depth after frame 0, so the third coordinate is mostly reasoned, not measured:
the target keeps its depth of frame 0, the actor's limbs keep their lengths, and the touching hand
is at the target when it touches. Each channel says how far to trust it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.errors import check_shape
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.actor import ActorLifter, lift_body
from tavid_core.lifting.actor_parts import ActorParts, collect_parts, find_actor
from tavid_core.lifting.body import clean_path, shoulder_width_px
from tavid_core.lifting.body_model import BodyModel
from tavid_core.lifting.carried import carry_unseen
from tavid_core.lifting.channels import judge_channels
from tavid_core.lifting.contacts import find_touches, lift_contacts
from tavid_core.lifting.depth import SceneDepth, measure_scene
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.segments import find_segments
from tavid_core.lifting.target_lift import TargetMotion, lift_target, measure_poses, track_of
from tavid_core.lifting.target_sight import TargetSight, watch_target
from tavid_core.types import (
    InteractionMotion,
    PlanRequest,
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
    later_depth_m: NDArray[np.float32] | None = None,
    sight: TargetSight | None = None,
) -> InteractionMotion:
    """Lift a rollout.

    Args:
        rollout: The imagined video, model pixels.
        request: Its image, mask, and where given depth and intrinsics, caller's pixels.
        keypoints: Of the actor in the rollout, model pixels.
        fit: How the request's image became the rollout's frame 0.
        body_model: A body to fit to the actor, from `load_body_model`; None for points only.
        later_depth_m: Depth of every frame, float32 (T, h, w), metres, model pixels, if there is
            any; NaN or 0 = unknown.
        sight: Of the same target in the same rollout, from `watch_target`, to lift one video
            several times; None looks now.

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
    if later_depth_m is not None:
        advice = "Give one map per frame of the rollout, at its size."
        check_shape("later_depth_m", later_depth_m.shape, rollout.frames.shape[:3], advice)
    sight = sight or watch_target(rollout.frames, fit.fit_mask(request.target_mask))
    seen = _Seen(rollout, request, keypoints, fit, later_depth_m, sight)
    interval, track, camera = seen.touches.main, seen.track, seen.intrinsics
    actor = ActorLifter(request, seen.who.keypoints, fit, camera, rollout.fps)
    side_px = track.side_px * float(np.mean(fit.scale_xy))
    path = fit.pixels_to_caller(track.pixels)
    body_motion, scene = lift_body(actor, interval, path, side_px, seen.scene, camera)
    parts = collect_parts(seen.who, actor, body_motion, fit, camera, body_model)
    # All that move it, or the one that may: what is only near does not take it along.
    holding = [i for i in seen.touches.with_target if i.moves_target] or [interval]
    target = lift_target(seen.poses, track, fit, scene, camera, holding, parts.hands)
    return _assemble(seen, parts, target, scene)


def _assemble(
    seen: _Seen, parts: ActorParts, target: TargetMotion, scene: SceneDepth
) -> InteractionMotion:
    contact, contacts = lift_contacts(
        seen.touches, parts.hands, target.track, target.quaternions_xyzw
    )
    channels = judge_channels(
        seen.who.keypoints,
        parts.hands,
        seen.track,
        seen.touches.main,
        scene,
        seen.intrinsics,
        choice=seen.who.choice,
        target=target,
        sight=seen.sight,
        remarks=parts.remarks,
    )
    return InteractionMotion(
        hands=parts.hands,
        body=parts.body,
        target=target.track,
        target_quaternions_xyzw=target.quaternions_xyzw,
        target_dof=target.dof,
        contact=contact,
        contacts=contacts,
        segments=find_segments(contacts, target.track.positions_camera_m),
        apertures_m=parts.apertures_m,
        body_fit=parts.body_fit,
        actor_kind=seen.who.kind,
        scale_source=scene.source,
        confidence=channels.confidence,
        reasons=channels.reasons,
    )


class _Seen:
    """What the pictures say, before the actor is put in metres."""

    def __init__(
        self,
        rollout: Rollout,
        request: PlanRequest,
        keypoints: Keypoints,
        fit: FrameFit,
        later_depth_m: NDArray[np.float32] | None,
        sight: TargetSight,
    ) -> None:
        height, width = request.image.shape[:2]
        self._fit = fit
        self.intrinsics = request.intrinsics or intrinsics_from_field_of_view(width, height)
        self.faults, self.track, self.sight = sight.faults, sight.track, sight
        keypoints = keypoints.without(self.faults.is_lost)
        self.who = find_actor(rollout.frames, request, keypoints, fit, self.track)
        self.scene = measure_scene(request, self.intrinsics, self._shoulder_width_px())
        self.poses = measure_poses(
            rollout, request, fit, sight, self.scene, self.intrinsics, later_depth_m
        )
        self.track = track_of(self.poses, self.track, fit, self.intrinsics)
        self.touches = find_touches(
            rollout.frames,
            self.who.keypoints,
            self.track,
            fit.fit_mask(request.target_mask),
            hand_names=self.who.hand_names,
            onset_frame=self.poses.onset_frame,
        )
        if not self.poses.is_known:
            self.track = carry_unseen(self.track, self.touches.main, self.who.keypoints)

    def _shoulder_width_px(self) -> float:
        """In the caller's pixels."""
        (left, left_sure), (right, right_sure) = (
            clean_path(*self.who.keypoints.track(f"{side}_shoulder")) for side in ("left", "right")
        )
        left, right = map(self._fit.pixels_to_caller, (left, right))
        return shoulder_width_px(left, right, np.minimum(left_sure, right_sure))
