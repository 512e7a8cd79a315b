"""Lift an imagined video to metres: hands, body points, the target, and their contact.

The video has no depth after frame 0, so the third coordinate is mostly reasoned, not measured:
the target keeps its depth of frame 0, the touching hand goes from its own depth of frame 0 to the
target's and stays with it, all other points keep theirs. Each channel says how far to trust it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.errors import check_shape
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.body import (
    MIN_ACTOR_CONFIDENCE,
    MIN_POINT_CONFIDENCE,
    actor_confidence,
    clean_path,
    lift_track,
    mean_confidence,
    shoulder_width_px,
    travelled_share,
)
from tavid_core.lifting.channels import judge_channels
from tavid_core.lifting.contact import TOUCH_SCORE, ContactInterval, find_hand_contact
from tavid_core.lifting.depth import SceneDepth, measure_scene, sample_depth
from tavid_core.lifting.keypoints import BODY_NAMES, HAND_NAMES, Keypoints
from tavid_core.lifting.target import TargetTrack, track_target
from tavid_core.types import (
    CameraIntrinsics,
    Contact,
    InteractionMotion,
    PlanRequest,
    PointTrack,
    Rollout,
)

__all__ = ["lift"]

# A point measured farther from the target than an arm is long was measured on something else.
MAX_HAND_TO_TARGET_M = 1.0
# Of the image's diagonal: about a palm's half width for a person who fills the picture.
DEPTH_WINDOW_SHARE = 0.008
CARRIED_DEPTH_FACTOR = 0.7


def lift(
    rollout: Rollout, request: PlanRequest, keypoints: Keypoints, *, fit: FrameFit
) -> InteractionMotion:
    """Lift a rollout.

    Args:
        rollout: The imagined video, model pixels.
        request: Its image, mask, and where given depth and intrinsics, caller's pixels.
        keypoints: Of the actor in the rollout, model pixels.
        fit: How the request's image became the rollout's frame 0.

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
    flat = _Flat(request, keypoints, fit, intrinsics)
    hand_names = flat.sure_hands()
    interval = find_hand_contact(keypoints, track, mask, hand_names=hand_names)
    if interval.confidence < TOUCH_SCORE:
        interval = dataclasses.replace(interval, hand=None, start_frame=None, end_frame=None)
    scene = flat.scene_depth()
    target = _lift_target(track, fit, scene.target_m, intrinsics)
    hands = tuple(
        flat.lift_point(name, scene, interval.start_frame if name == interval.hand else None)
        for name in hand_names
    )
    body = tuple(flat.lift_point(name, scene) for name in BODY_NAMES) if hands else ()
    channels = judge_channels(keypoints, hands, track, interval, scene, intrinsics)
    return InteractionMotion(
        hands=hands,
        body=tuple(point for point in body if (point.confidence > 0).any()),
        target=target,
        target_quaternions_xyzw=np.tile(np.float32([0, 0, 0, 1]), (num_frames, 1)),
        target_dof=3,
        contact=_contact(interval, hands, target),
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
        self._window_px = max(1.0, DEPTH_WINDOW_SHARE * math.hypot(*request.image.shape[:2]))

    def sure_hands(self) -> tuple[str, ...]:
        """Hands that are seen surely enough to be worth a track; none without an actor."""
        if actor_confidence(self._keypoints) < MIN_ACTOR_CONFIDENCE:
            return ()
        return tuple(
            name
            for name in HAND_NAMES
            if mean_confidence(self._keypoints, name) >= MIN_POINT_CONFIDENCE
        )

    def path(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One point's path in the caller's pixels, with its confidence."""
        pixels, confidence = clean_path(*self._keypoints.track(name))
        return self._fit.pixels_to_caller(pixels), confidence

    def scene_depth(self) -> SceneDepth:
        """Measure the target's depth, or assume it."""
        (left, left_sure), (right, right_sure) = map(self.path, ("left_shoulder", "right_shoulder"))
        width_px = shoulder_width_px(left, right, np.minimum(left_sure, right_sure))
        return measure_scene(self._request, self._intrinsics, width_px)

    def first_depth(self, pixels: NDArray[np.float32], scene: SceneDepth) -> tuple[float, bool]:
        """Depth of a point in frame 0 and whether it was measured; the target's if unknown."""
        depth_m = self._request.depth_m
        if depth_m is None or scene.source != "sensor":
            return scene.target_m, False
        measured = sample_depth(depth_m, pixels[0], self._window_px, self._request.actor_mask)
        if abs(measured - scene.target_m) <= MAX_HAND_TO_TARGET_M:
            return measured, True
        return scene.target_m, False

    def lift_point(
        self, name: str, scene: SceneDepth, contact_frame: int | None = None
    ) -> PointTrack:
        """Lift a point at its own depth, or on its way to the target's if it touches."""
        pixels, confidence = self.path(name)
        first_m, is_measured = self.first_depth(pixels, scene)
        depth_m = np.full(len(pixels), first_m)
        if contact_frame is not None:
            share = travelled_share(pixels, contact_frame)
            depth_m = first_m + share * (scene.target_m - first_m)
        factor = 1.0 if is_measured else CARRIED_DEPTH_FACTOR
        return lift_track(name, pixels, factor * confidence, depth_m, self._intrinsics)


def _lift_target(
    track: TargetTrack, fit: FrameFit, target_m: float, intrinsics: CameraIntrinsics
) -> PointTrack:
    """Lift the target at its depth of frame 0; a carried depth is trusted less."""
    confidence = track.confidence * np.where(track.has_moved, CARRIED_DEPTH_FACTOR, 1.0)
    depth_m = np.full(len(confidence), target_m)
    pixels = fit.pixels_to_caller(track.pixels)
    return lift_track("target", pixels, confidence, depth_m, intrinsics)


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
