"""The benchmark's arithmetic on motions whose errors are known by hand."""

import math

import numpy as np
import pytest

from benchmarks.lifting_metrics import (
    Truth,
    chance_share_of_worst,
    failure_share_of_worst,
    mean_jitter,
    measure,
    summarize,
)
from tavid_core.types import Contact, InteractionMotion, PointTrack
from training.sources.sim.motion import JOINT_NAMES

NUM_FRAMES, CONTACT_FRAME = 10, 4


def track(name, positions_m):
    positions_m = np.asarray(positions_m, dtype=np.float32)
    pixels = np.zeros((len(positions_m), 2), np.float32)
    return PointTrack(
        name=name,
        pixels=pixels,
        positions_camera_m=positions_m,
        confidence=np.ones(len(positions_m), np.float32),
    )


def make_truth():
    joints_m = np.random.default_rng(0).normal(0, 0.3, (NUM_FRAMES, len(JOINT_NAMES), 3))
    return Truth(
        joints_m=joints_m,
        target_m=np.tile([0.0, 0.0, 1.0], (NUM_FRAMES, 1)),
        target_rotations=np.tile(np.eye(3), (NUM_FRAMES, 1, 1)),
        target_points_m=0.05 * np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]),
        diameter_m=0.1,
        contact_frame=CONTACT_FRAME,
        hand="left_hand",
    )


def make_motion(truth, *, shift_m=(0, 0, 0), turn_deg=0.0, contact=None, dof=6):
    tracks = {
        name: track(name, truth.joints_m[:, i] + shift_m) for i, name in enumerate(JOINT_NAMES)
    }
    half = math.radians(turn_deg) / 2
    quaternion = np.float32([0, 0, math.sin(half), math.cos(half)])
    return InteractionMotion(
        hands=(tracks.pop("left_hand"), tracks.pop("right_hand")),
        body=tuple(tracks.values()),
        target=track("target", truth.target_m + shift_m),
        target_quaternions_xyzw=np.tile(quaternion, (NUM_FRAMES, 1)),
        target_dof=dof,
        contact=contact
        or Contact(
            hand="left_hand",
            start_frame=CONTACT_FRAME,
            end_frame=NUM_FRAMES - 1,
            touches_target=True,
            confidence=0.9,
        ),
        scale_source="sensor",
        confidence={"actor": 0.5, "hands": 0.5, "target": 1.0, "contact": 1.0, "scale": 1.0},
        reasons={},
    )


def test_the_truth_has_no_error():
    truth = make_truth()
    row = measure(make_motion(truth), truth)
    for key in ("wrist_error_m", "mpjpe_m", "w_mpjpe_m", "object_error_m"):
        assert row[key] == pytest.approx(0, abs=1e-6)
    assert row["add_below_10_percent"] == 1
    assert row["contact_frame_error"] == 0
    assert row["confidence"] == 0.25
    assert row["jitter"] == pytest.approx(row["truth_jitter"], rel=1e-5)


def test_a_common_shift_counts_unless_joints_are_taken_from_the_shoulders():
    truth = make_truth()
    row = measure(make_motion(truth, shift_m=(0.0, 0.03, 0.04)), truth)
    assert row["wrist_error_m"] == pytest.approx(0.05, abs=1e-6)
    assert row["w_mpjpe_m"] == pytest.approx(0.05, abs=1e-6)
    assert row["object_error_m"] == pytest.approx(0.05, abs=1e-6)
    assert row["mpjpe_m"] == pytest.approx(0, abs=1e-6)
    # 5 cm is more than a tenth of 10 cm.
    assert row["add_below_10_percent"] == 0


def test_a_turn_is_an_angle_and_moves_points():
    truth = make_truth()
    row = measure(make_motion(truth, turn_deg=12), truth)
    assert row["object_rotation_error_deg"] == pytest.approx(12, abs=1e-3)
    # A point 5 cm off the axis moves by 2 * 5 cm * sin(6 deg) = 1.05 cm.
    assert row["add_below_10_percent"] == 0
    assert measure(make_motion(truth, turn_deg=11), truth)["add_below_10_percent"] == 1
    assert math.isnan(measure(make_motion(truth, dof=3), truth)["object_rotation_error_deg"])


def test_contact_frames_are_counted_one_by_one():
    truth = make_truth()
    early = Contact(
        hand="left_hand", start_frame=2, end_frame=7, touches_target=True, confidence=0.9
    )
    right = measure(make_motion(truth), truth)
    row = measure(make_motion(truth, contact=early), truth)
    assert row["contact_frame_error"] == 2
    counts = [row[f"num_{n}"] for n in ("true_positives", "false_positives", "false_negatives")]
    assert counts == [4, 2, 2]
    missed = measure(make_motion(truth, contact=Contact()), truth)
    summary = summarize([row, right, missed], [missed])
    assert summary["contact_precision"] == pytest.approx(10 / 12, abs=1e-3)
    assert summary["contact_recall"] == pytest.approx(10 / 18, abs=1e-3)
    assert summary["contact_within_one_frame"] == pytest.approx(1 / 3, abs=1e-3)
    assert summary["contact_frame_error_median"] == 2
    assert summary["instance_accuracy"] == 0.75
    assert summary["wrong_instance_rate"] == 0
    assert summary["num_failures"] == 1


def test_contact_with_an_untouched_look_alike_is_wrong_in_every_frame():
    truth = make_truth()
    row = measure(make_motion(truth), truth)
    summary = summarize([row], [row])
    assert summary["wrong_instance_rate"] == 1
    assert summary["instance_accuracy"] == 0.5
    assert summary["contact_precision"] == 0.5


def test_failures_among_the_least_sure():
    confidence = np.arange(20) / 20
    assert failure_share_of_worst(confidence, [False] * 20) is None
    failed = np.zeros(20, bool)
    failed[[0, 10]] = True
    assert failure_share_of_worst(confidence, failed) == 0.5
    # Of twenty, two are the worst tenth: five failures cannot all be there.
    failed[:5] = True
    assert failure_share_of_worst(confidence, failed) == 1.0


@pytest.mark.parametrize(("num_failed", "chance"), [(1, 0.1), (5, 0.1), (10, 0.1), (77, 0.77)])
def test_chance_is_what_random_confidences_reach(num_failed, chance):
    failed = np.arange(100) < num_failed
    rng = np.random.default_rng(3)
    shares = [failure_share_of_worst(rng.random(100), failed) for _ in range(3000)]
    assert chance_share_of_worst(failed) == pytest.approx(chance)
    assert np.mean(shares) == pytest.approx(chance, abs=0.02)


def test_chance_is_in_the_summary():
    truth = make_truth()
    good, bad = (measure(make_motion(truth, shift_m=(0, 0, shift)), truth) for shift in (0, 1))
    summary = summarize([good, *[bad] * 3], [])
    assert summary["worst_confidence_decile_failure_share"] == 0.0
    assert summary["worst_confidence_decile_chance_share"] == 0.75
    assert chance_share_of_worst([False] * 9) is None


def test_jitter_is_the_third_difference_in_tens():
    path_m = np.zeros((6, 3))
    path_m[:, 0] = np.arange(6.0) ** 3 / 8**3
    # The third derivative of t^3 is 6 m/s^3.
    assert mean_jitter(path_m) == pytest.approx(0.6)
    assert math.isnan(mean_jitter(path_m[:3]))
