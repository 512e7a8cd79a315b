"""Lifted motion to trajectory and path messages.

Both speak of the conditioning image: header = its stamp and frame. Neither holds NaN, because
what follows them may be a controller:

- trajectory: a point that is lost in some frames holds its last known place (before the first
  sight: its first one); a point never seen is left out. When and how surely a point was seen is in
  the saved plan (motion.npz) and, per channel, in the result's confidence.
- path: frames without a known place are left out.
"""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Transform, Vector3
from nav_msgs.msg import Path
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from trajectory_msgs.msg import MultiDOFJointTrajectory, MultiDOFJointTrajectoryPoint

from tavid_core.errors import InputError
from tavid_core.types import BodyFit, InteractionMotion, PointTrack
from tavid_ros.conversions.times import duration_from_seconds

__all__ = [
    "PELVIS_NAME",
    "TARGET_NAME",
    "choose_hand",
    "hold_lost",
    "hold_rotations",
    "path_from_track",
    "trajectory_from_motion",
]

TARGET_NAME, PELVIS_NAME = "target", "pelvis"


def hold_lost(values: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Fill lost rows with the last known one, those before the first with the first.

    Args:
        values: (T, C); a row with NaN or infinity is lost.

    Returns:
        float64 (T, C), finite, or None if every row is lost.
    """
    is_known = np.isfinite(values).all(axis=1)
    if not is_known.any():
        return None
    last_known = np.maximum.accumulate(np.where(is_known, np.arange(len(values)), -1))
    last_known[last_known < 0] = int(np.argmax(is_known))
    return values[last_known].astype(np.float64)


def hold_rotations(motion: InteractionMotion, track: PointTrack) -> NDArray[np.float64]:
    """Give the rotation of a point in every frame.

    Args:
        motion: Any motion.
        track: One of its tracks.

    Returns:
        Quaternions xyzw, float64 (T, 4), finite: lost ones held, identity where none was measured.
    """
    measured = track.quaternions_xyzw
    if track is motion.target:
        measured = motion.target_quaternions_xyzw
    held = None if measured is None else hold_lost(measured)
    return np.tile([0.0, 0.0, 0.0, 1.0], (motion.num_frames, 1)) if held is None else held


def _ordered_tracks(motion: InteractionMotion) -> list[PointTrack]:
    body = list(motion.body)
    if motion.body_fit is not None:
        body.append(_pelvis(motion.body_fit))
    return [*body, *sorted(motion.hands, key=lambda track: track.name)]


def _pelvis(fit: BodyFit) -> PointTrack:
    """The root of a fitted body with its turn; a fit has neither its pixels nor a confidence."""
    num_frames = len(fit.pelvis_camera_m)
    return PointTrack(
        name=PELVIS_NAME,
        pixels=np.full((num_frames, 2), np.nan, np.float32),
        positions_camera_m=fit.pelvis_camera_m,
        confidence=np.full(num_frames, np.nan, np.float32),
        quaternions_xyzw=Rotation.from_rotvec(fit.joint_rotations[:, 0]).as_quat(),
    )


def trajectory_from_motion(
    motion: InteractionMotion, fps: float, header: Header
) -> MultiDOFJointTrajectory:
    """Write a motion as a trajectory.

    joint_names are the body points, pelvis where a body was fitted, left_hand, right_hand and
    target, in this order, as far as they were ever seen. A rotation that nobody measured is sent
    as identity; the target's is relative to frame 0. Velocities and accelerations stay empty.

    Args:
        motion: Metres, camera frame.
        fps: Frames per second of the rollout.
        header: Of the conditioning image.

    Returns:
        One point per frame; time_from_start = frame / fps.

    Raises:
        InputError: If `fps` is not positive.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise InputError(f"fps must be positive, got {fps}. CogVideoX uses 8.")
    names, positions, quaternions = [], [], []
    for track in [*_ordered_tracks(motion), motion.target]:
        held = hold_lost(track.positions_camera_m)
        if held is None:
            continue
        names.append(TARGET_NAME if track is motion.target else track.name)
        positions.append(held)
        quaternions.append(hold_rotations(motion, track))
    message = MultiDOFJointTrajectory(header=header, joint_names=names)
    for frame in range(motion.num_frames if names else 0):
        point = MultiDOFJointTrajectoryPoint(time_from_start=duration_from_seconds(frame / fps))
        point.transforms = [
            _transform(position[frame], quaternion[frame])
            for position, quaternion in zip(positions, quaternions, strict=True)
        ]
        message.points.append(point)
    return message


def _transform(position: NDArray[np.float64], quaternion: NDArray[np.float64]) -> Transform:
    x, y, z = (float(value) for value in position)
    qx, qy, qz, qw = (float(value) for value in quaternion)
    return Transform(
        translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)
    )


def choose_hand(motion: InteractionMotion) -> PointTrack | None:
    """Pick the hand that a path is drawn for.

    Args:
        motion: Any motion.

    Returns:
        The hand that touches the target, else the one seen best, else None.
    """
    if not motion.hands:
        return None
    for track in motion.hands:
        if track.name == motion.contact.hand:
            return track
    return max(motion.hands, key=lambda track: float(np.nan_to_num(track.confidence).mean()))


def path_from_track(track: PointTrack | None, header: Header) -> Path:
    """Write one point's way as a path.

    Every pose carries the header of the conditioning image; the n-th known frame is the n-th pose.

    Args:
        track: Metres, camera frame; None gives an empty path.
        header: Of the conditioning image.

    Returns:
        Poses of the frames where the point's place is known, identity rotation.
    """
    path = Path(header=header)
    if track is None:
        return path
    known = track.positions_camera_m[np.isfinite(track.positions_camera_m).all(axis=1)]
    for x, y, z in known.astype(float):
        pose = Pose(position=Point(x=float(x), y=float(y), z=float(z)))
        path.poses.append(PoseStamped(header=header, pose=pose))
    return path
