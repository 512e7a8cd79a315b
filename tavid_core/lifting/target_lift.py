"""The target in metres: six degrees of freedom where they can be measured, three where not.

With three, the target rests at its depth of frame 0 until a hand takes it; from then on its depth
changes as the hand's does, because what is held moves with the hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tavid_core.camera import project, unproject
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.contact import ContactInterval
from tavid_core.lifting.depth import SceneDepth
from tavid_core.lifting.target import TargetTrack
from tavid_core.lifting.target_pose import PoseInputs, TargetPoses, follow_pose
from tavid_core.lifting.target_sight import TargetSight
from tavid_core.types import CameraIntrinsics, PlanRequest, PointTrack, Rollout

__all__ = ["TargetMotion", "lift_target", "measure_poses", "rollout_depth", "track_of"]

# A depth that is carried along with the hand, and one that is kept though the target moved.
FOLLOWED_DEPTH_FACTOR, KEPT_DEPTH_FACTOR = 0.85, 0.5
# A held target is not carried farther than an arm is long.
MAX_DEPTH_CHANGE_M = 0.8
# Things are mostly lifted, not carried towards the camera: a hand whose depth changes by this much
# while it holds something has lost half of its word about it.
HALF_CHANGE_M = 0.15
FILLED_CONFIDENCE = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetMotion:
    """The target over the frames.

    Args:
        track: Of its centre.
        quaternions_xyzw: Orientation relative to frame 0, float32 (T, 4).
        dof: 6 with a measured rotation, else 3.
        rotation_confidence: 0..1; 0 with three degrees of freedom.
        rotation_reason: Why it is not higher.
    """

    track: PointTrack
    quaternions_xyzw: NDArray[np.float32]
    dof: int
    rotation_confidence: float
    rotation_reason: str


def rollout_depth(depth_m: NDArray[np.float32], fit: FrameFit) -> NDArray[np.float32]:
    """Bring a depth map to the size of the rollout, without mixing near and far.

    Args:
        depth_m: float32 (H, W), metres, caller's size.
        fit: How the caller's image became the rollout's frame 0.

    Returns:
        float32 (h, w), metres, each the nearest measurement.
    """
    top, left, rows, columns = fit.window
    height, width = fit.model_size_hw
    cropped = np.ascontiguousarray(depth_m[top : top + rows, left : left + columns])
    return cv2.resize(cropped, (width, height), interpolation=cv2.INTER_NEAREST)


def measure_poses(
    rollout: Rollout,
    request: PlanRequest,
    fit: FrameFit,
    sight: TargetSight,
    scene: SceneDepth,
    intrinsics: CameraIntrinsics,
    later_depth_m: NDArray[np.float32] | None = None,
) -> TargetPoses:
    """Find the target's pose in every frame, if depth and texture allow it.

    Args:
        rollout: The video.
        request: With its depth.
        fit: How the request's image became the rollout's frame 0.
        sight: The target in the rollout.
        scene: Where metres come from.
        intrinsics: Of the request's image.
        later_depth_m: Of every frame of the rollout, float32 (T, h, w), metres, or None.

    Returns:
        The poses, or the reason why there are none.
    """
    track = sight.track
    pixel = fit.pixels_to_caller(track.pixels[0]) + np.array(scene.center_offset_px)
    center_m = unproject(pixel, scene.target_m, intrinsics)
    if request.depth_m is None or scene.source != "sensor":
        return TargetPoses.unknown(center_m, len(rollout.frames), "there is no depth to measure it")
    inputs = PoseInputs(
        frames=rollout.frames,
        mask=fit.fit_mask(request.target_mask),
        depth_m=rollout_depth(request.depth_m, fit),
        center_m=center_m,
        intrinsics=fit.fit_intrinsics(intrinsics),
        later_depth_m=later_depth_m,
        carried=sight.mask,
    )
    return follow_pose(inputs, track)


def track_of(
    poses: TargetPoses, track: TargetTrack, fit: FrameFit, intrinsics: CameraIntrinsics
) -> TargetTrack:
    """Let measured poses say where the target is in the picture.

    Args:
        poses: Measured, or the reason why not.
        track: Of the target's look, which serves where there are no poses.
        fit: How the request's image became the rollout's frame 0.
        intrinsics: Of the request's image.

    Returns:
        The better track, rollout pixels.
    """
    if not poses.is_known or poses.onset_frame is None:
        return track
    pixels = fit.pixels_to_model(project(_fill(poses.positions_m, poses.confidence), intrinsics))
    frames = np.arange(len(pixels))
    is_lost = track.confidence == 0
    confidence = np.where(poses.confidence > 0, poses.confidence, FILLED_CONFIDENCE)
    return dataclasses.replace(
        track,
        # Both name the same place of the target, which is not quite the middle of its mask.
        pixels=(track.pixels[0] + pixels - pixels[0]).astype(np.float32),
        confidence=np.where(is_lost, 0.0, np.clip(confidence, 0, 1)).astype(np.float32),
        has_moved=(frames >= poses.onset_frame) & ~is_lost,
    )


def lift_target(
    poses: TargetPoses,
    track: TargetTrack,
    fit: FrameFit,
    scene: SceneDepth,
    intrinsics: CameraIntrinsics,
    intervals: Sequence[ContactInterval],
    hands: Sequence[PointTrack],
) -> TargetMotion:
    """Put the target's path in metres.

    Args:
        poses: Measured, or the reason why not.
        track: Of the target in the rollout.
        fit: How the request's image became the rollout's frame 0.
        scene: Where metres come from.
        intrinsics: Of the request's image.
        intervals: Of its contacts, in time order.
        hands: Lifted.

    Returns:
        The motion; its frames keep the order of the rollout's.
    """
    if poses.is_known:
        return _measured(poses, intrinsics, is_lost=track.confidence == 0)
    depth_m, factor = _followed_depth(track, scene.target_m, intervals, hands)
    offset_px = np.array(scene.center_offset_px, dtype=np.float32)
    pixels = fit.pixels_to_caller(track.pixels) + offset_px
    lifted = PointTrack(
        name="target",
        pixels=pixels,
        positions_camera_m=_without(unproject(pixels, depth_m, intrinsics), track.confidence == 0),
        confidence=(track.confidence * factor).astype(np.float32),
    )
    return TargetMotion(
        track=lifted,
        quaternions_xyzw=np.tile(np.float32([0, 0, 0, 1]), (len(pixels), 1)),
        dof=3,
        rotation_confidence=0.0,
        rotation_reason=f"{poses.reason}; its orientation of frame 0 is kept",
    )


def _without(positions_m: NDArray[np.float64], is_lost: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(is_lost[:, None], np.nan, positions_m).astype(np.float32)


def _measured(
    poses: TargetPoses, intrinsics: CameraIntrinsics, *, is_lost: NDArray[np.bool_]
) -> TargetMotion:
    positions_m = _fill(poses.positions_m, poses.confidence)
    quaternions = _continuous(Rotation.from_matrix(poses.rotations).as_quat())
    # A frame without a pose of its own lies between its neighbours, which is a guess.
    confidence = np.where(poses.confidence > 0, poses.confidence, FILLED_CONFIDENCE) * ~is_lost
    track = PointTrack(
        name="target",
        pixels=project(positions_m, intrinsics).astype(np.float32),
        positions_camera_m=_without(positions_m, is_lost),
        confidence=np.clip(confidence, 0, 1).astype(np.float32),
    )
    worst = float(np.clip(np.quantile(confidence, 0.1), 0, 1))
    return TargetMotion(
        track=track,
        quaternions_xyzw=quaternions.astype(np.float32),
        dof=6,
        rotation_confidence=worst,
        rotation_reason=f"the target's surface is recognised with only {worst:.2f} likeness",
    )


def _followed_depth(
    track: TargetTrack,
    rest_m: float,
    intervals: Sequence[ContactInterval],
    hands: Sequence[PointTrack],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth per frame, and by how much it lowers the confidence."""
    frames = np.arange(len(track.confidence))
    depth_m = np.full(len(frames), rest_m)
    factor = np.where(track.has_moved, KEPT_DEPTH_FACTOR, 1.0)
    by_name = {hand.name: hand.positions_camera_m[:, 2].astype(np.float64) for hand in hands}
    for interval in intervals:
        hand_m = by_name.get(interval.hand or "")
        known = np.flatnonzero(np.isfinite(hand_m)) if hand_m is not None else []
        if not len(known) or interval.start_frame is None or interval.end_frame is None:
            continue
        hand_m = np.interp(frames, known, hand_m[known])
        start, end = interval.start_frame, interval.end_frame
        change_m = np.clip(hand_m - hand_m[start], -MAX_DEPTH_CHANGE_M, MAX_DEPTH_CHANGE_M)
        is_near = depth_m[start] + change_m > 0.5 * rest_m
        held = frames >= start
        sureness = FOLLOWED_DEPTH_FACTOR / (1.0 + (change_m / HALF_CHANGE_M) ** 2)
        if not track.has_moved[start]:
            # It is, or is again, where it stood in frame 0.
            depth_m[held] = rest_m
        # Where a hand lets go the target stays, until another takes it on from there.
        depth_m[held] += np.where(is_near, change_m, 0.0)[np.minimum(frames, end)][held]
        followed = np.maximum(sureness, KEPT_DEPTH_FACTOR)[np.minimum(frames, end)]
        factor = np.where(held & track.has_moved, followed, factor)
    is_back = ~track.has_moved & np.maximum.accumulate(track.has_moved)
    return np.where(is_back, rest_m, depth_m), factor


def _fill(positions_m: NDArray[np.float64], confidence: NDArray[np.float32]) -> NDArray[np.float64]:
    frames, known = np.arange(len(positions_m)), np.flatnonzero(confidence > 0)
    if not len(known):
        return positions_m
    return np.stack([np.interp(frames, known, positions_m[known, i]) for i in range(3)], axis=1)


def _continuous(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Choose of q and -q, which mean the same, the one nearer to the frame before."""
    signs = np.where((quaternions[1:] * quaternions[:-1]).sum(axis=-1) < 0, -1.0, 1.0)
    signs = np.concatenate([[np.copysign(1.0, quaternions[0, 3])], signs])
    return quaternions * np.cumprod(signs)[:, None]
