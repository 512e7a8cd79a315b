"""From the imagined hand to a gripper: the same interaction, as an arm would do it.

Before the grasp the gripper follows the hand to a point in front of the target and then a straight
line; after it, it moves with the target, as a rigid grasp does. That object motion, not the
human's arm, is what carries over to another body is the finding of RIGVid (arXiv 2507.00990).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation, Slerp

from tavid_core.errors import ConfigError, InputError
from tavid_core.gripper_path import GripperLimits, GripperPath
from tavid_core.motion import InteractionMotion, PointTrack

__all__ = ["retarget_to_gripper"]

# The channels that the path is made from.
CHANNELS = ("hands", "target", "contact", "scale")
# The direction of the approach is that of the hand's last part of the way.
DIRECTION_WAY_M = 0.15
MIN_DIRECTION_WAY_M = 0.02
SMOOTHING_SEC = 0.3
# Interpolation and smoothing between the waypoints may add a little; the limits count after it.
MAX_ROUNDS = 8
# Of a path, so that a tiny limit does not fill the memory: 5.5 hours at 50 Hz.
MAX_POSES = 1_000_000
_UP = np.array([0.0, -1.0, 0.0])
_AHEAD = np.array([0.0, 0.0, 1.0])


def retarget_to_gripper(
    motion: InteractionMotion,
    fps: float,
    *,
    limits: GripperLimits | None = None,
    rate_hz: float = 50.0,
    reference_from_camera: NDArray[np.float64] | None = None,
    frame_id: str = "camera_optical_frame",
) -> GripperPath:
    """Turn a hand's motion into a gripper's.

    The path begins where the hand is in frame 0 and ends with the contact. The orientation is that
    of the approach direction with level fingers; with `target_dof` 6 it turns with the target
    after the grasp. Whatever the limits demand is reached by slowing the whole path down.

    Args:
        motion: A lifted motion with a contact with the target.
        fps: Of its frames.
        limits: Of the arm; the defaults of `GripperLimits` if None.
        rate_hz: Poses per second of the result, 1 to 1000.
        reference_from_camera: Pose of the optical frame in the frame of the result, float (4, 4);
            None leaves the result in the optical frame.
        frame_id: Name of the result's frame.

    Returns:
        The path, with approach, pre-grasp, grasp and transport.

    Raises:
        InputError: If the motion has no contact with the target, or its hand is never seen.
        ConfigError: If a limit cannot be kept by slowing down.
    """
    limits = limits or GripperLimits()
    if not (np.isfinite(rate_hz) and 1.0 <= rate_hz <= 1000.0):
        raise InputError(f"rate_hz must be 1 to 1000, got {rate_hz}. Use the controller's rate.")
    waypoints = _make_waypoints(motion, fps, limits)
    slowdown, times_sec, positions, rotations = _slow_down(waypoints, rate_hz, limits)
    confidence = {name: motion.confidence.get(name, 0.0) for name in CHANNELS}
    return _move(
        GripperPath(
            frame_id=frame_id,
            times_sec=times_sec,
            positions_m=positions,
            quaternions_xyzw=rotations.as_quat(),
            widths_m=_widths(waypoints, times_sec / slowdown, limits),
            phases=waypoints.phases_at(times_sec / slowdown),
            approach_direction=waypoints.direction,
            slowdown=slowdown,
            confidence=min(confidence.values()),
            reasons={name: motion.reasons[name] for name in CHANNELS if name in motion.reasons},
        ),
        reference_from_camera,
    )


@dataclasses.dataclass(frozen=True)
class _Waypoints:
    """The path at the video's rate, before any limit counts."""

    times_sec: NDArray[np.float64]
    positions_m: NDArray[np.float64]
    rotations: Rotation
    direction: NDArray[np.float64]
    pre_grasp_sec: float
    grasp_sec: float
    transport_sec: float
    held_width_m: float

    def phases_at(self, times_sec: NDArray[np.float64]) -> tuple[str, ...]:
        """Name the phase of each moment."""
        return tuple(
            "approach"
            if at < self.pre_grasp_sec
            else "pre_grasp"
            if at < self.grasp_sec
            else "grasp"
            if at <= self.transport_sec
            else "transport"
            for at in times_sec
        )


def _make_waypoints(motion: InteractionMotion, fps: float, limits: GripperLimits) -> _Waypoints:
    hand, start, end = _acting_hand(motion)
    path_m = _fill(hand.positions_camera_m, start)
    grasp_m = path_m[start]
    if motion.contact.point_camera_m is not None:
        grasp_m = motion.contact.point_camera_m.astype(np.float64)
    direction = _approach_direction(path_m, start)
    grasp_rotation = _level_rotation(direction)
    # Of the hand's way only what is still in front of the straight part is taken.
    before = np.arange(start)
    is_far = np.linalg.norm(path_m[before] - grasp_m, axis=-1) > limits.pre_grasp_distance_m
    before = before[: before[is_far][-1] + 1] if is_far.any() else before[:0]
    pre_grasp_m = grasp_m - limits.pre_grasp_distance_m * direction
    grasp_sec = start / fps
    last_sec = before[-1] / fps if len(before) else grasp_sec - 1.0
    pre_grasp_sec = 0.5 * (last_sec + grasp_sec)
    transport_sec = grasp_sec + limits.closing_time_sec
    carried_m, turns = _carried(motion, grasp_m, start, end)
    times = [before / fps, [pre_grasp_sec, grasp_sec, transport_sec]]
    times.append(transport_sec + np.arange(1, len(carried_m) + 1) / fps)
    positions = [path_m[before], [pre_grasp_m, grasp_m, grasp_m], carried_m]
    rotations = [grasp_rotation] * (len(before) + 3) + [turn * grasp_rotation for turn in turns]
    times_sec = np.concatenate(times)
    aperture_m = motion.apertures_m.get(hand.name, np.full(len(path_m), np.nan))[start]
    return _Waypoints(
        times_sec=times_sec - times_sec[0],
        positions_m=np.concatenate(positions),
        rotations=Rotation.concatenate(rotations),
        direction=direction,
        pre_grasp_sec=pre_grasp_sec - times_sec[0],
        grasp_sec=grasp_sec - times_sec[0],
        transport_sec=transport_sec - times_sec[0],
        held_width_m=float(np.nan_to_num(aperture_m)),
    )


def _acting_hand(motion: InteractionMotion) -> tuple[PointTrack, int, int]:
    contact = motion.contact
    hands = [hand for hand in motion.hands if hand.name == contact.hand]
    if not contact.touches_target or contact.start_frame is None or not hands:
        raise InputError(
            "motion must have a hand that touches the target, got none. Look at the plan's "
            "confidences, and plan again with another seed or prompt."
        )
    if not np.isfinite(hands[0].positions_camera_m).all(axis=-1).any():
        raise InputError(
            f"motion must show {hands[0].name} in some frame, got none. "
            "Plan again with another seed."
        )
    return hands[0], contact.start_frame, contact.end_frame


def _fill(positions_m: NDArray[np.float32], corner: int) -> NDArray[np.float64]:
    """Bridge lost frames by straight lines and smooth; at the corner the path may bend."""
    known = np.flatnonzero(np.isfinite(positions_m).all(axis=-1))
    frames = np.arange(len(positions_m))
    columns = [np.interp(frames, known, positions_m[known, axis]) for axis in range(3)]
    filled = np.stack(columns, axis=-1).astype(np.float64)
    for part in (slice(0, corner + 1), slice(corner, None)):
        window = min(5, (len(filled[part]) + 1) // 2 * 2 - 1)
        if window >= 3:
            filled[part] = savgol_filter(filled[part], window, 2, axis=0)
    return filled


def _approach_direction(path_m: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """Direction of the hand's last part of the way; ahead if it hardly moved."""
    way_m = path_m[start] - path_m[: start + 1]
    lengths_m = np.linalg.norm(way_m, axis=-1)
    near = np.flatnonzero(lengths_m >= DIRECTION_WAY_M)
    index = near[-1] if len(near) else int(lengths_m.argmax())
    if lengths_m[index] < MIN_DIRECTION_WAY_M:
        return _AHEAD
    return way_m[index] / lengths_m[index]


def _level_rotation(direction: NDArray[np.float64]) -> Rotation:
    """Point z along the direction and keep the closing axis y level."""
    closing = np.cross(_UP, direction)
    if np.linalg.norm(closing) < 0.1:
        closing = np.array([1.0, 0.0, 0.0]) - direction[0] * direction
    closing /= np.linalg.norm(closing)
    return Rotation.from_matrix(np.stack([np.cross(closing, direction), closing, direction], -1))


def _carried(
    motion: InteractionMotion, grasp_m: NDArray[np.float64], start: int, end: int
) -> tuple[NDArray[np.float64], list[Rotation]]:
    """Poses of the grasp point as it moves with the target, after the first frame of contact."""
    target_m = _fill(motion.target.positions_camera_m, start)
    frames = np.arange(start + 1, end + 1)
    if motion.target_dof != 6 or not len(frames):
        turns = [Rotation.identity()] * len(frames)
    else:
        rotations = Rotation.from_quat(motion.target_quaternions_xyzw)
        turns = [rotations[frame] * rotations[start].inv() for frame in frames]
    offset_m = grasp_m - target_m[start]
    moved = [
        target_m[frame] + turn.apply(offset_m) for frame, turn in zip(frames, turns, strict=True)
    ]
    return np.array(moved).reshape(-1, 3), turns


def _resample(
    waypoints: _Waypoints, slowdown: float, rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], Rotation]:
    knots_sec = waypoints.times_sec * slowdown
    num_poses = max(2, int(np.ceil(knots_sec[-1] * rate_hz)) + 1)
    times_sec = np.minimum(np.arange(num_poses) / rate_hz, knots_sec[-1])
    # Does not overshoot between waypoints, as a cubic spline would at the grasp.
    positions = PchipInterpolator(knots_sec, waypoints.positions_m, axis=0)(times_sec)
    quaternions = Slerp(knots_sec, waypoints.rotations)(times_sec).as_quat()
    signs = np.sign(np.sum(quaternions[1:] * quaternions[:-1], axis=-1))
    quaternions[1:] *= np.cumprod(np.where(signs == 0, 1, signs))[:, None]
    window = 2 * int(SMOOTHING_SEC * slowdown * rate_hz / 2) + 1
    if 5 <= window <= num_poses:
        positions = savgol_filter(positions, window, 3, axis=0)
        quaternions = savgol_filter(quaternions, window, 3, axis=0)
    return np.arange(num_poses) / rate_hz, positions, Rotation.from_quat(quaternions)


def _slow_down(
    waypoints: _Waypoints, rate_hz: float, limits: GripperLimits
) -> tuple[float, NDArray[np.float64], NDArray[np.float64], Rotation]:
    """Find the slowdown at which all limits are kept, with the path at that pace."""
    slowdown, name = 1.0, ""
    for _ in range(MAX_ROUNDS):
        num_poses = waypoints.times_sec[-1] * slowdown * rate_hz
        if num_poses > MAX_POSES:
            raise _not_kept(name, limits, f"a path of {num_poses:.3g} poses")
        times_sec, positions, rotations = _resample(waypoints, slowdown, rate_hz)
        excess = _excess(positions, rotations, rate_hz, limits)
        name = max(excess, key=lambda limit: excess[limit])
        if excess[name] <= 1.0:
            return slowdown, times_sec, positions, rotations
        slowdown *= 1.02 * excess[name]
    raise _not_kept(name, limits, f"a path that is {excess[name]:.3g} times too fast")


def _not_kept(name: str, limits: GripperLimits, found: str) -> ConfigError:
    if not name:
        return ConfigError(
            f"rate_hz must give at most {MAX_POSES} poses, got {found}. Lower the rate."
        )
    return ConfigError(
        f"{name} must be a limit that slowing down can keep, got {getattr(limits, name)}, which "
        f"leaves {found}. Raise the limit, or change rate_hz."
    )


def _excess(
    positions: NDArray[np.float64], rotations: Rotation, rate_hz: float, limits: GripperLimits
) -> dict[str, float]:
    """Say per limit by which factor the path is too fast; 1 or less where it is kept."""
    velocity = np.diff(positions, axis=0) * rate_hz
    speed = np.linalg.norm(velocity, axis=-1).max(initial=0.0)
    acceleration = np.linalg.norm(np.diff(velocity, axis=0) * rate_hz, axis=-1).max(initial=0.0)
    turn = (rotations[1:] * rotations[:-1].inv()).magnitude().max(initial=0.0) * rate_hz
    return {
        "max_speed_m_s": float(speed / limits.max_speed_m_s),
        "max_acceleration_m_s2": float(np.sqrt(acceleration / limits.max_acceleration_m_s2)),
        "max_turn_rad_s": float(turn / limits.max_turn_rad_s),
    }


def _widths(
    waypoints: _Waypoints, times_sec: NDArray[np.float64], limits: GripperLimits
) -> NDArray[np.float64]:
    """Open until the grasp, closed when the transport begins."""
    closed_m = min(waypoints.held_width_m, limits.max_width_m)
    knots_sec = [waypoints.grasp_sec, waypoints.transport_sec]
    return np.interp(times_sec, knots_sec, [limits.max_width_m, closed_m])


def _move(path: GripperPath, reference_from_camera: NDArray[np.float64] | None) -> GripperPath:
    if reference_from_camera is None:
        return path
    pose = np.asarray(reference_from_camera, dtype=np.float64)
    turn = pose[:3, :3] if pose.shape == (4, 4) else np.full((3, 3), np.nan)
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-4) or np.linalg.det(turn) < 0:
        raise InputError(
            f"reference_from_camera must be a pose (4, 4) with a rotation, got shape {pose.shape}. "
            "Take it from TF or the hand-eye calibration."
        )
    rotation = Rotation.from_matrix(turn)
    return dataclasses.replace(
        path,
        positions_m=rotation.apply(path.positions_m) + pose[:3, 3],
        quaternions_xyzw=(rotation * Rotation.from_quat(path.quaternions_xyzw)).as_quat(),
        approach_direction=rotation.apply(path.approach_direction),
    )
