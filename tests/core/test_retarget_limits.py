"""The limits of an arm hold for whatever a hand does, or are said to be impossible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tavid_core import retarget
from tavid_core.errors import ConfigError
from tavid_core.gripper_path import GripperLimits
from tavid_core.retarget import retarget_to_gripper
from tests.core.test_retarget import FPS, GRASP_M, NUM_FRAMES, START, make_motion, track

RATE_HZ = 50.0


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    step_m=st.floats(0.0, 0.1),
    yaw_deg=st.floats(-170, 170),
    speed_m_s=st.floats(0.05, 1.0),
    acceleration_m_s2=st.floats(0.1, 5.0),
    turn_rad_s=st.floats(0.1, 3.0),
)
def test_limits_hold_for_any_motion(
    seed, step_m, yaw_deg, speed_m_s, acceleration_m_s2, turn_rad_s
):
    steps_m = np.random.default_rng(seed).normal(0, 1, (NUM_FRAMES, 3)) * step_m
    way_m = np.cumsum(steps_m, axis=0)
    hand = track("right_hand", GRASP_M + way_m - way_m[START])
    motion = make_motion(hands=(hand,), yaw_deg=yaw_deg, dof=6)
    limits = GripperLimits(
        max_speed_m_s=speed_m_s,
        max_acceleration_m_s2=acceleration_m_s2,
        max_turn_rad_s=turn_rad_s,
    )
    path = retarget_to_gripper(motion, FPS, limits=limits, rate_hz=RATE_HZ)
    velocity = np.diff(path.positions_m, axis=0) * RATE_HZ
    acceleration = np.diff(velocity, axis=0) * RATE_HZ
    turns = Rotation.from_quat(path.quaternions_xyzw)
    turn = (turns[1:] * turns[:-1].inv()).magnitude() * RATE_HZ
    assert np.linalg.norm(velocity, axis=-1).max() <= speed_m_s * 1.001
    assert np.linalg.norm(acceleration, axis=-1).max() <= acceleration_m_s2 * 1.001
    assert turn.max() <= turn_rad_s * 1.001


@pytest.mark.parametrize("name", ["max_speed_m_s", "max_acceleration_m_s2", "max_turn_rad_s"])
def test_limit_that_would_fill_the_memory_is_refused(name):
    limits = GripperLimits(**{name: 1e-12})
    with pytest.raises(ConfigError, match=f"{name} must be a limit that slowing down can keep"):
        retarget_to_gripper(make_motion(yaw_deg=60, dof=6), FPS, limits=limits)


def test_limit_that_is_not_reached_in_time_is_refused(monkeypatch):
    monkeypatch.setattr(retarget, "MAX_ROUNDS", 1)
    limits = GripperLimits(max_speed_m_s=0.05)
    with pytest.raises(ConfigError, match=r"got 0\.05, which leaves a path that is .* too fast"):
        retarget_to_gripper(make_motion(), FPS, limits=limits)
