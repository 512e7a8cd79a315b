"""What a gripper is told: poses and openings over time, and how fast it may be."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import ConfigError, InputError, check_shape

__all__ = ["PHASES", "GripperLimits", "GripperPath"]

PHASES = ("approach", "pre_grasp", "grasp", "transport")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GripperLimits:
    """What the arm and its gripper may do.

    Args:
        max_speed_m_s: Of the tool centre point.
        max_acceleration_m_s2: Likewise.
        max_turn_rad_s: Angular speed.
        max_width_m: Opening of the gripper before the grasp.
        pre_grasp_distance_m: How far before the grasp point the straight part begins.
        closing_time_sec: How long the gripper rests at the grasp point to close.

    Raises:
        ConfigError: If a number is not positive and finite.
    """

    max_speed_m_s: float = 0.5
    max_acceleration_m_s2: float = 2.0
    max_turn_rad_s: float = 1.5
    max_width_m: float = 0.085
    pre_grasp_distance_m: float = 0.10
    closing_time_sec: float = 0.8

    def __post_init__(self) -> None:
        """Refuse what no arm could keep."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"{field.name} must be positive, got {value}. Take it from the data sheet."
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GripperPath:
    """Poses of a gripper over time.

    The gripper's frame: z is the approach direction, out of the palm; the fingers close along y.

    Args:
        frame_id: Which frame the poses are in.
        times_sec: From the first pose, rising evenly, float64 (N,).
        positions_m: Tool centre point between the fingertips, float64 (N, 3), metres.
        quaternions_xyzw: float64 (N, 4), without jumps of sign.
        widths_m: Opening, float64 (N,), metres; 0 = close until something is held.
        phases: One of `PHASES` per pose.
        approach_direction: Unit vector of the last straight part, float64 (3,).
        slowdown: How many times slower than imagined the path is, to keep the limits; 1 or more.
        confidence: Of the least sure channel that the path rests on, 0..1.
        reasons: Why the confidence is not higher, per channel.
    """

    frame_id: str
    times_sec: NDArray[np.float64]
    positions_m: NDArray[np.float64]
    quaternions_xyzw: NDArray[np.float64]
    widths_m: NDArray[np.float64]
    phases: tuple[str, ...]
    approach_direction: NDArray[np.float64]
    slowdown: float
    confidence: float
    reasons: dict[str, str]

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same poses."""
        num_poses = len(self.times_sec)
        advice = "Give one row per pose."
        check_shape("positions_m", self.positions_m.shape, (num_poses, 3), advice)
        check_shape("quaternions_xyzw", self.quaternions_xyzw.shape, (num_poses, 4), advice)
        check_shape("widths_m", self.widths_m.shape, (num_poses,), advice)
        if len(self.phases) != num_poses or not set(self.phases) <= set(PHASES):
            raise InputError(
                f"phases must name one of {', '.join(PHASES)} per pose, got {len(self.phases)} of "
                f"{sorted(set(self.phases))} for {num_poses} poses. Use these names."
            )

    def span_sec(self, phase: str) -> tuple[float, float] | None:
        """Say when a phase begins and ends.

        Args:
            phase: One of `PHASES`.

        Returns:
            Seconds from the first pose, or None if the path has no such phase.
        """
        inside = np.flatnonzero(np.array(self.phases) == phase)
        if not len(inside):
            return None
        return float(self.times_sec[inside[0]]), float(self.times_sec[inside[-1]])
