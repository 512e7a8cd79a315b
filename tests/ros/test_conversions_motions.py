"""Motions to trajectories, paths and markers; cameras and times."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo

from tavid_core.errors import InputError, TavidError
from tavid_core.types import BodyFit, CameraIntrinsics, Contact
from tavid_ros import conversions
from tavid_ros.conversions.motions import hold_lost
from tests.ros.messages import make_motion, make_track

HEADER = conversions.header_from_stamp(1_700_000_000_000_000_007, "optical")


def test_trajectory_has_names_times_and_header():
    message = conversions.trajectory_from_motion(make_motion(), 8.0, HEADER)
    assert list(message.joint_names) == [
        "head",
        "left_shoulder",
        "left_hand",
        "right_hand",
        "target",
    ]
    assert message.header == HEADER
    times = [conversions.seconds_from_duration(p.time_from_start) for p in message.points]
    np.testing.assert_allclose(times, np.arange(9) / 8)
    assert message.points[4].transforms[4].translation.x == pytest.approx(0.04)
    assert not message.points[0].velocities


def test_fitted_body_gives_the_pelvis_with_its_turn():
    rotations = np.zeros((9, 55, 3), np.float32)
    # Facing the camera: half a turn about x; a joint further on turns too.
    rotations[:, 0, 0], rotations[:, 1, 1] = np.pi, 0.5
    pelvis_m = np.tile(np.float32([0.1, 0.2, 2.0]), (9, 1))
    pelvis_m[:, 0] += np.linspace(0, 0.8, 9)
    fit = BodyFit(
        model="STANDIN",
        joint_rotations=rotations,
        betas=np.zeros(10, np.float32),
        pelvis_camera_m=pelvis_m,
        residual_px=np.zeros(9, np.float32),
    )
    message = conversions.trajectory_from_motion(make_motion(body_fit=fit), 8.0, HEADER)
    names = list(message.joint_names)
    assert names == ["head", "left_shoulder", "pelvis", "left_hand", "right_hand", "target"]
    transform = message.points[4].transforms[names.index("pelvis")]
    place, turn = transform.translation, transform.rotation
    assert (place.x, place.y, place.z) == pytest.approx((0.5, 0.2, 2.0), abs=1e-6)
    assert (abs(turn.x), turn.y, turn.z, turn.w) == pytest.approx((1, 0, 0, 0), abs=1e-6)


def test_lost_points_hold_their_place_and_unseen_ones_are_left_out():
    motion = make_motion(
        hands=(make_track("left_hand", lost=(0, 1, 5)), make_track("right_hand", lost=range(9))),
    )
    message = conversions.trajectory_from_motion(motion, 8.0, HEADER)
    assert "right_hand" not in message.joint_names
    index = list(message.joint_names).index("left_hand")
    places = [point.transforms[index].translation.x for point in message.points]
    np.testing.assert_allclose(places[:3], 0.02, atol=1e-6)
    assert places[5] == pytest.approx(places[4])
    path = conversions.path_from_track(motion.hands[0], HEADER)
    assert len(path.poses) == 6


def test_no_actor_leaves_the_target_alone():
    motion = make_motion(hands=(), body=(), contact=Contact())
    message = conversions.trajectory_from_motion(motion, 8.0, HEADER)
    assert list(message.joint_names) == ["target"]
    assert conversions.choose_hand(motion) is None
    assert not conversions.path_from_track(None, HEADER).poses


def test_nothing_seen_gives_an_empty_trajectory():
    motion = make_motion(hands=(), body=(), target=make_track("target", lost=range(9)))
    assert not conversions.trajectory_from_motion(motion, 8.0, HEADER).points


def test_measured_rotations_are_sent_and_lost_ones_held():
    turned = np.tile(np.float32([0, 0, 1, 0]), (9, 1))
    turned[4:] = np.nan
    hand = dataclasses.replace(make_track("left_hand"), quaternions_xyzw=turned)
    message = conversions.trajectory_from_motion(make_motion(hands=(hand,)), 8.0, HEADER)
    names = list(message.joint_names)
    for point in message.points:
        rotation = point.transforms[names.index("left_hand")].rotation
        assert (rotation.z, rotation.w) == (1.0, 0.0)
        assert point.transforms[names.index("head")].rotation.w == 1.0


def test_rate_must_be_positive():
    with pytest.raises(InputError, match="fps must be positive, got 0"):
        conversions.trajectory_from_motion(make_motion(), 0.0, HEADER)


def test_touching_hand_is_chosen_before_the_surer_one():
    assert conversions.choose_hand(make_motion()).name == "right_hand"
    motion = make_motion(hands=(make_track("left_hand"), make_track("right_hand", lost=(0, 1))))
    assert conversions.choose_hand(motion).name == "right_hand"
    motion = make_motion(hands=motion.hands, contact=Contact())
    assert conversions.choose_hand(motion).name == "left_hand"


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_held_values_are_finite_and_keep_the_known_ones(known):
    values = np.arange(len(known) * 3, dtype=np.float32).reshape(-1, 3)
    values[~np.array(known)] = np.nan
    held = hold_lost(values)
    if not any(known):
        assert held is None
        return
    assert np.isfinite(held).all()
    np.testing.assert_array_equal(held[known], values[known])


def test_camera_info_round_trip():
    intrinsics = CameraIntrinsics(fx=600.0, fy=610.0, cx=319.5, cy=239.5, width=640, height=480)
    message = conversions.message_from_intrinsics(intrinsics, HEADER)
    assert conversions.intrinsics_from_message(message) == intrinsics
    assert conversions.distortion_from_message(message) is None


def test_region_of_interest_and_binning_are_applied():
    message = CameraInfo(width=640, height=480, k=[600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1.0])
    message.roi.x_offset, message.roi.width, message.roi.height = 100, 400, 480
    message.binning_x = message.binning_y = 2
    read = conversions.intrinsics_from_message(message)
    assert (read.fx, read.cx, read.cy) == (300.0, 110.0, 120.0)
    assert (read.width, read.height) == (200, 240)


def test_uncalibrated_cameras_give_none_and_assumed_ones_are_sent_as_such():
    assert conversions.intrinsics_from_message(CameraInfo()) is None
    guess = CameraIntrinsics(
        fx=600.0, fy=600.0, cx=320.0, cy=240.0, width=640, height=480, is_assumed=True
    )
    message = conversions.message_from_intrinsics(guess, HEADER)
    assert message.width == 640
    assert conversions.intrinsics_from_message(message) is None


def test_region_outside_of_the_sensor_is_refused():
    message = CameraInfo(width=640, height=480, k=[600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1.0])
    message.roi.x_offset, message.roi.width = 600, 100
    with pytest.raises(InputError, match=r"camera_info\.roi must lie in 640x480"):
        conversions.intrinsics_from_message(message)


@given(
    k=st.lists(st.floats(width=64), min_size=9, max_size=9),
    size=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    binning=st.integers(0, 2**32 - 1),
    roi=st.tuples(*[st.integers(0, 2**32 - 1)] * 4),
)
def test_random_camera_infos_give_intrinsics_or_a_typed_error(k, size, binning, roi):
    message = CameraInfo(width=size[0], height=size[1], k=k, binning_x=binning)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = roi
    with contextlib.suppress(TavidError):
        conversions.intrinsics_from_message(message)


@given(st.floats(-1e6, 1e6))
def test_durations_keep_their_value(seconds):
    duration = conversions.duration_from_seconds(seconds)
    assert 0 <= duration.nanosec < 1_000_000_000
    assert conversions.seconds_from_duration(duration) == pytest.approx(seconds, abs=1e-8)


def test_unknown_durations_are_minus_one():
    assert conversions.duration_from_seconds(None).sec == -1
    assert conversions.duration_from_seconds(float("nan")).sec == -1


def test_stamps_keep_their_nanoseconds():
    assert conversions.nanoseconds_from_time(HEADER.stamp) == 1_700_000_000_000_000_007
    assert conversions.nanoseconds_from_time(Time()) == 0
