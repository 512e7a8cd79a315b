"""A gripper's path against hand-worked geometry."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tavid_core.errors import ConfigError, InputError
from tavid_core.gripper_path import GripperLimits
from tavid_core.motion import Contact, InteractionMotion, PointTrack
from tavid_core.retarget import retarget_to_gripper

FPS, START, NUM_FRAMES = 8.0, 8, 17
GRASP_M = np.array([0.1, 0.2, 1.0])
TARGET_OFFSET_M = np.array([0.03, 0.0, 0.0])
TURNED_OFFSET_M = np.array([0.03, 0.0, 0.03])


def track(name, positions_m):
    positions_m = np.asarray(positions_m, np.float32)
    num_frames = len(positions_m)
    return PointTrack(
        name=name,
        pixels=np.zeros((num_frames, 2), np.float32),
        positions_camera_m=positions_m,
        confidence=np.ones(num_frames, np.float32),
    )


def make_motion(*, lift_m=0.16, yaw_deg=0.0, dof=3, **fields):
    """A hand that comes straight from the left, 4 cm per frame, and lifts what it takes."""
    frames = np.arange(NUM_FRAMES)
    lifted = np.clip(frames - START, 0, None)[:, None] / (NUM_FRAMES - 1 - START)
    up = lifted * [0.0, -lift_m, 0.0]
    to_go = np.clip(START - frames, 0, None)[:, None] * [0.04, 0.0, 0.0]
    yaw = np.concatenate([np.zeros(START), np.deg2rad(yaw_deg) * lifted[START:, 0]])
    values = {
        "hands": (track("right_hand", GRASP_M - to_go + up),),
        "body": (),
        "target": track("target", GRASP_M + TARGET_OFFSET_M + up),
        "target_quaternions_xyzw": Rotation.from_rotvec(yaw[:, None] * [0.0, 1.0, 0.0])
        .as_quat()
        .astype(np.float32),
        "target_dof": dof,
        "contact": Contact(
            hand="right_hand",
            start_frame=START,
            end_frame=NUM_FRAMES - 1,
            point_camera_m=GRASP_M.astype(np.float32),
            touches_target=True,
            confidence=0.9,
        ),
        "scale_source": "sensor",
        "confidence": dict.fromkeys(("actor", "hands", "target", "contact", "scale"), 0.9),
        "reasons": {},
    }
    return InteractionMotion(**{**values, **fields})


def pose_at(path, phase, end=False):
    index = [i for i, name in enumerate(path.phases) if name == phase][-1 if end else 0]
    return path.positions_m[index], Rotation.from_quat(path.quaternions_xyzw[index])


def test_path_goes_over_pre_grasp_to_the_grasp_and_up():
    path = retarget_to_gripper(make_motion(), FPS)
    assert set(path.phases) == {"approach", "pre_grasp", "grasp", "transport"}
    np.testing.assert_allclose(path.approach_direction, [1, 0, 0], atol=0.02)
    np.testing.assert_allclose(path.positions_m[0], GRASP_M - [0.32, 0, 0], atol=0.01)
    np.testing.assert_allclose(pose_at(path, "pre_grasp")[0], GRASP_M - [0.1, 0, 0], atol=0.015)
    middle = np.interp(np.mean(path.span_sec("grasp")), path.times_sec, range(len(path.times_sec)))
    np.testing.assert_allclose(path.positions_m[round(middle)], GRASP_M, atol=0.002)
    np.testing.assert_allclose(path.positions_m[-1], GRASP_M - [0, 0.16, 0], atol=0.01)


def test_gripper_points_along_the_approach_with_level_fingers():
    turns = Rotation.from_quat(retarget_to_gripper(make_motion(), FPS).quaternions_xyzw)
    np.testing.assert_allclose(turns.apply([0, 0, 1]), [[1, 0, 0]] * len(turns), atol=0.02)
    np.testing.assert_allclose(turns.apply([0, 1, 0])[:, 1], 0.0, atol=1e-6)


@pytest.mark.parametrize("direction", [(0, 1, 0), (0, -1, 0)])
def test_approach_from_above_or_below_has_an_orientation_too(direction):
    frames = np.arange(NUM_FRAMES)
    to_go = np.clip(START - frames, 0, None)[:, None] * 0.04 * np.array(direction)
    hand = track("right_hand", GRASP_M - to_go)
    path = retarget_to_gripper(make_motion(hands=(hand,)), FPS)
    ahead = Rotation.from_quat(path.quaternions_xyzw).apply([0, 0, 1])
    np.testing.assert_allclose(ahead, [direction] * len(ahead), atol=0.02)


@pytest.mark.parametrize(
    "limits",
    [
        GripperLimits(),
        GripperLimits(max_speed_m_s=0.05),
        GripperLimits(max_acceleration_m_s2=0.1),
        GripperLimits(max_turn_rad_s=0.2),
    ],
)
def test_limits_are_kept_by_slowing_down(limits):
    path = retarget_to_gripper(make_motion(yaw_deg=60, dof=6), FPS, limits=limits, rate_hz=100)
    velocity = np.gradient(path.positions_m, path.times_sec, axis=0)
    acceleration = np.gradient(velocity, path.times_sec, axis=0)
    turns = Rotation.from_quat(path.quaternions_xyzw)
    speed_rad_s = (turns[1:] * turns[:-1].inv()).magnitude() * 100
    assert np.linalg.norm(velocity, axis=-1).max() <= limits.max_speed_m_s * 1.001
    assert np.linalg.norm(acceleration, axis=-1).max() <= limits.max_acceleration_m_s2 * 1.001
    assert speed_rad_s.max() <= limits.max_turn_rad_s * 1.001
    assert path.slowdown >= 1.0
    assert np.allclose(np.diff(path.times_sec), 0.01)


def test_slow_motion_keeps_its_own_time():
    limits = GripperLimits(max_speed_m_s=5, max_acceleration_m_s2=100, max_turn_rad_s=10)
    path = retarget_to_gripper(make_motion(), FPS, limits=limits)
    assert path.slowdown == 1.0
    assert path.times_sec[-1] == pytest.approx((NUM_FRAMES - 1) / FPS + 0.8, abs=0.03)


def test_held_target_turns_the_gripper_around_it():
    path = retarget_to_gripper(make_motion(yaw_deg=90, dof=6, lift_m=0.0), FPS)
    # 3 cm left of the target, turned about its vertical axis: x -> -z in the optical frame.
    np.testing.assert_allclose(path.positions_m[-1], GRASP_M + TURNED_OFFSET_M, atol=0.004)
    ahead = Rotation.from_quat(path.quaternions_xyzw[-1]).apply([0, 0, 1])
    np.testing.assert_allclose(ahead, [0, 0, -1], atol=0.05)


def test_without_measured_rotation_the_gripper_does_not_turn():
    path = retarget_to_gripper(make_motion(yaw_deg=90, dof=3, lift_m=0.0), FPS)
    np.testing.assert_allclose(np.ptp(path.quaternions_xyzw, axis=0), 0, atol=1e-9)


def test_fingers_close_to_the_opening_of_the_hand():
    aperture_m = np.full(NUM_FRAMES, 0.06, np.float32)
    motion = make_motion(apertures_m={"right_hand": aperture_m})
    path = retarget_to_gripper(motion, FPS)
    assert path.widths_m[0] == 0.085
    assert path.widths_m[-1] == pytest.approx(0.06)
    unknown = make_motion(apertures_m={"right_hand": np.full(NUM_FRAMES, np.nan, np.float32)})
    assert retarget_to_gripper(unknown, FPS).widths_m[-1] == 0.0


def test_path_in_the_robot_base():
    base_from_camera = np.eye(4)
    base_from_camera[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    base_from_camera[:3, 3] = [0.5, 0.0, 1.0]
    path = retarget_to_gripper(
        make_motion(), FPS, reference_from_camera=base_from_camera, frame_id="base_link"
    )
    assert path.frame_id == "base_link"
    np.testing.assert_allclose(path.approach_direction, [0, -1, 0], atol=0.02)
    np.testing.assert_allclose(path.positions_m[0], [1.5, 0.22, 0.8], atol=0.01)


def test_lost_frames_are_bridged():
    hand = make_motion().hands[0]
    positions = hand.positions_camera_m.copy()
    positions[[2, 3, 12]] = np.nan
    hands = (dataclasses.replace(hand, positions_camera_m=positions),)
    gaps, whole = (retarget_to_gripper(make_motion(**f), FPS) for f in ({"hands": hands}, {}))
    np.testing.assert_allclose(gaps.positions_m, whole.positions_m, atol=1e-6)


@pytest.mark.parametrize("start", [0, 1])
def test_contact_at_the_beginning_still_has_a_straight_approach(start):
    contact = dataclasses.replace(make_motion().contact, start_frame=start)
    path = retarget_to_gripper(make_motion(contact=contact), FPS)
    assert "pre_grasp" in path.phases
    assert np.isfinite(path.positions_m).all()


def test_confidence_is_that_of_the_weakest_channel():
    confidence = {"actor": 0.9, "hands": 0.8, "target": 0.7, "contact": 0.6, "scale": 0.2}
    motion = make_motion(confidence=confidence, reasons={"scale": "no depth"})
    path = retarget_to_gripper(motion, FPS)
    assert (path.confidence, path.reasons) == (0.2, {"scale": "no depth"})


def test_motion_without_contact_is_refused():
    with pytest.raises(InputError, match="a hand that touches the target, got none"):
        retarget_to_gripper(make_motion(contact=Contact()), FPS)


def test_hand_that_is_never_seen_is_refused():
    hands = (track("right_hand", np.full((NUM_FRAMES, 3), np.nan)),)
    with pytest.raises(InputError, match="must show right_hand in some frame"):
        retarget_to_gripper(make_motion(hands=hands), FPS)


@pytest.mark.parametrize("pose", [np.eye(3), 2 * np.eye(4), np.diag([1, 1, -1, 1])])
def test_pose_that_is_none_is_refused(pose):
    with pytest.raises(InputError, match="reference_from_camera must be a pose"):
        retarget_to_gripper(make_motion(), FPS, reference_from_camera=pose)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, np.nan, 1e6])
def test_impossible_rate_is_refused(rate_hz):
    with pytest.raises(InputError, match="rate_hz must be 1 to 1000"):
        retarget_to_gripper(make_motion(), FPS, rate_hz=rate_hz)


def test_impossible_limit_is_refused():
    with pytest.raises(ConfigError, match="max_speed_m_s must be positive, got 0"):
        GripperLimits(max_speed_m_s=0)
