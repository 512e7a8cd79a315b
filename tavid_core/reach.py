"""Whether an arm reaches a gripper's path, and where it does not: inverse kinematics by mink."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.errors import InputError, MissingExtraError
from tavid_core.gripper_path import PHASES, GripperPath

__all__ = ["ReachReport", "check_reach"]

POSITION_TOLERANCE_M = 0.01
TURN_TOLERANCE_RAD = np.deg2rad(5.0)
# Between poses of a path a joint that follows smoothly moves little; the first pose is searched.
STEPS_PER_POSE = 30
STEPS_FOR_FIRST_POSE = 300
NUM_STARTS = 16
STEP_SEC = 0.05
SOLVER = "daqp"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReachReport:
    """How well an arm follows a path.

    Args:
        times_sec: Of the poses that were tried, float64 (N,).
        phases: Of these poses.
        joints: Positions of the model's joints, float64 (N, nq), radians or metres.
        position_errors_m: Distance of the gripper from the pose, float64 (N,).
        turn_errors_rad: Angle to the pose, float64 (N,).
    """

    times_sec: NDArray[np.float64]
    phases: tuple[str, ...]
    joints: NDArray[np.float64]
    position_errors_m: NDArray[np.float64]
    turn_errors_rad: NDArray[np.float64]

    @property
    def is_reached(self) -> NDArray[np.bool_]:
        """Whether each pose is reached, bool (N,)."""
        return (self.position_errors_m <= POSITION_TOLERANCE_M) & (
            self.turn_errors_rad <= TURN_TOLERANCE_RAD
        )

    @property
    def unreached_phases(self) -> tuple[str, ...]:
        """Phases with a pose that is not reached, in the order of the path."""
        missed = {phase for phase, ok in zip(self.phases, self.is_reached, strict=True) if not ok}
        return tuple(phase for phase in PHASES if phase in missed)

    def describe(self) -> str:
        """Say what is reached and what is not.

        Returns:
            One line per phase.
        """
        lines = []
        for phase in PHASES:
            inside = np.array([name == phase for name in self.phases], dtype=bool)
            if not inside.any():
                continue
            missed = inside & ~self.is_reached
            if not missed.any():
                lines.append(f"{phase}: reached")
                continue
            times_sec = self.times_sec[missed]
            lines.append(
                f"{phase}: {missed.sum()} of {inside.sum()} poses not reached, "
                f"{times_sec[0]:.2f} s to {times_sec[-1]:.2f} s, by up to "
                f"{100 * self.position_errors_m[missed].max():.1f} cm and "
                f"{np.rad2deg(self.turn_errors_rad[missed].max()):.0f} degrees"
            )
        return "\n".join(lines)


def check_reach(
    path: GripperPath,
    robot_file: str | Path,
    end_effector: str,
    *,
    rate_hz: float = 10.0,
    seed: int = 0,
    show_progress: bool = False,
) -> ReachReport:
    """Follow a path with an arm's joints, within their limits.

    Collisions are not looked at. The path's poses must be in the frame of the robot file's world
    (`reference_from_camera` of `retarget_to_gripper`).

    Args:
        path: The gripper's path.
        robot_file: MJCF or URDF; whoever gives it is trusted, it may name other files.
        end_effector: Name of a site or body of it whose frame is the gripper's (z out of the palm,
            fingers closing along y).
        rate_hz: Poses per second that are tried.
        seed: Of the random starts of the search for the first pose.
        show_progress: Whether to draw a bar.

    Returns:
        Joint positions and errors at every pose tried.

    Raises:
        InputError: If the file or the end-effector is unusable.
        MissingExtraError: If mink or mujoco is missing.
    """
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise InputError(f"rate_hz must be positive, got {rate_hz}. Use 10.")
    arm = _Arm(robot_file, end_effector)
    step = max(1, round(1.0 / (rate_hz * max(np.diff(path.times_sec).mean(), 1e-6))))
    kept = np.unique(np.append(np.arange(0, len(path.times_sec), step), len(path.times_sec) - 1))
    poses = list(zip(path.positions_m[kept], path.quaternions_xyzw[kept], strict=True))
    arm.find_start(*poses[0], rng=np.random.default_rng(seed))
    rows = [arm.follow(*pose) for pose in tqdm(poses, "reach", disable=not show_progress)]
    return ReachReport(
        times_sec=path.times_sec[kept],
        phases=tuple(path.phases[index] for index in kept),
        joints=np.array([row[0] for row in rows]),
        position_errors_m=np.array([row[1] for row in rows]),
        turn_errors_rad=np.array([row[2] for row in rows]),
    )


class _Arm:
    """An arm whose joints follow poses."""

    def __init__(self, robot_file: str | Path, end_effector: str) -> None:
        self._mink, mujoco = _import()
        model = _load(mujoco, Path(robot_file).expanduser())
        kind = _frame_kind(mujoco, model, end_effector)
        mink = self._mink
        self._configuration = mink.Configuration(model)
        self._task = mink.FrameTask(
            end_effector, kind, position_cost=1.0, orientation_cost=0.2, lm_damping=1e-3
        )
        self._limits = [mink.ConfigurationLimit(model)]
        self._model = model
        self._turning_or_sliding = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)

    def find_start(
        self,
        position_m: NDArray[np.float64],
        quaternion_xyzw: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> None:
        """Look for joints that reach the first pose, from the file's and from random ones."""
        low, high = self._joint_ranges()
        best, best_error = self._configuration.q.copy(), np.inf
        for trial in range(NUM_STARTS):
            start = best if trial == 0 else rng.uniform(low, high)
            self._configuration.update(start)
            self._move_to(position_m, quaternion_xyzw, STEPS_FOR_FIRST_POSE)
            distance_m, turn_rad = self._errors()
            if distance_m + 0.2 * turn_rad < best_error:
                best, best_error = self._configuration.q.copy(), distance_m + 0.2 * turn_rad
            if distance_m < POSITION_TOLERANCE_M and turn_rad < TURN_TOLERANCE_RAD:
                break
        self._configuration.update(best)

    def follow(
        self, position_m: NDArray[np.float64], quaternion_xyzw: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float, float]:
        """Go to the next pose; give the joints and what is left of the way and the turn."""
        self._move_to(position_m, quaternion_xyzw, STEPS_PER_POSE)
        return (self._configuration.q.copy(), *self._errors())

    def _joint_ranges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        start = self._configuration.q
        low, high = start.copy(), start.copy()
        for joint in range(self._model.njnt):
            # Of hinges and slides only: a floating base is no part of an arm.
            if self._model.jnt_type[joint] in self._turning_or_sliding:
                at = self._model.jnt_qposadr[joint]
                limited = bool(self._model.jnt_limited[joint])
                low[at], high[at] = self._model.jnt_range[joint] if limited else (-np.pi, np.pi)
        return low, high

    def _move_to(
        self,
        position_m: NDArray[np.float64],
        quaternion_xyzw: NDArray[np.float64],
        num_steps: int,
    ) -> None:
        mink = self._mink
        wxyz = np.roll(quaternion_xyzw, 1)
        self._task.set_target(mink.SE3(wxyz_xyz=np.concatenate([wxyz, position_m])))
        for _ in range(num_steps):
            velocity = mink.solve_ik(
                self._configuration,
                [self._task],
                STEP_SEC,
                solver=SOLVER,
                damping=1e-6,
                limits=self._limits,
            )
            self._configuration.integrate_inplace(velocity, STEP_SEC)
            distance_m, turn_rad = self._errors()
            is_there = distance_m < 0.1 * POSITION_TOLERANCE_M
            if is_there and turn_rad < 0.1 * TURN_TOLERANCE_RAD:
                return
            if np.abs(velocity).max(initial=0.0) * STEP_SEC < 1e-6:
                return

    def _errors(self) -> tuple[float, float]:
        error = self._task.compute_error(self._configuration)
        return float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))


def _import() -> tuple[Any, Any]:
    try:
        import mink
        import mujoco
    except ImportError as error:
        raise MissingExtraError(
            f"check_reach must have mink and mujoco, got {error}. pip install 'tavid[arm]'"
        ) from error
    return mink, mujoco


def _load(mujoco: Any, path: Path) -> Any:
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"robot_file must be an MJCF or URDF that MuJoCo reads, got {path}: {reason}. "
            "Repair it; meshes are looked up beside it."
        ) from error
    if not model.njnt:
        raise InputError(f"robot_file must have joints, got none in {path}. Is it the arm's file?")
    return model


def _frame_kind(mujoco: Any, model: Any, name: str) -> str:
    kinds = {"site": mujoco.mjtObj.mjOBJ_SITE, "body": mujoco.mjtObj.mjOBJ_BODY}
    for kind, number in kinds.items():
        if mujoco.mj_name2id(model, number, name) >= 0:
            return kind
    sites = [model.site(index).name for index in range(model.nsite)]
    bodies = [model.body(index).name for index in range(1, model.nbody)]
    raise InputError(
        f"end_effector must be a site or body of the robot, got {name!r}. It has sites "
        f"{', '.join(sites) or 'none'} and bodies {', '.join(bodies)}."
    )
