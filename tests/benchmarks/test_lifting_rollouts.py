"""Planner's own videos and clips taken twice: what is summarised, by hand-worked rows."""

import math

import numpy as np
import pytest

from benchmarks.lifting_regrasp import play_again, summarize_regrasps
from benchmarks.lifting_rollouts import VERDICTS, summarize_rollouts, verdict_of
from tavid_core.types import Contact
from tests.benchmarks.test_lifting_metrics import make_motion, make_truth

BENCHMARK_KEYS = {
    "wrist_error_m",
    "mpjpe_m",
    "object_error_m",
    "object_rotation_error_deg",
    "contact_frame_error_median",
    "contact_within_one_frame",
    "contact_f1",
    "instance_accuracy",
    "seconds_per_49_frames",
    "worst_confidence_decile_failure_share",
    "worst_confidence_decile_chance_share",
    "jitter",
}


def row(said, judged, confidence, wrist_error_m=0.02):
    return {
        "wrist_error_m": wrist_error_m,
        "mpjpe_m": 0.01,
        "w_mpjpe_m": 0.02,
        "object_error_m": 0.01,
        "wrist_change_m": 0.0,
        "object_change_m": math.nan,
        "jitter": 1.5,
        "seconds_per_frame": 0.1,
        "said": float(VERDICTS.index(said)),
        "judged": float(VERDICTS.index(judged)),
        "contact_frame": 8.0 if said == "target_contact" else math.nan,
        "confidence": confidence,
        "confidence_contact": confidence,
    }


def test_every_key_of_the_benchmark_is_there_and_agreement_is_counted():
    rows = [row("target_contact", "target_contact", 0.9) for _ in range(7)]
    rows += [
        row("target_contact", "wrong_target", 0.1),
        row("no_contact", "target_contact", 0.5),
        row("target_contact", "target_contact", 0.8, wrist_error_m=0.3),
    ]
    found = summarize_rollouts(rows)
    assert set(found) >= BENCHMARK_KEYS
    assert found["contact_f1"] == pytest.approx(2 * 8 / (9 + 9), abs=1e-4)
    assert found["instance_accuracy"] == pytest.approx(0.8)
    assert found["wrong_instance_rate"] == pytest.approx(0.1)
    assert found["no_contact_share"] == pytest.approx(0.1)
    assert found["seconds_per_49_frames"] == pytest.approx(4.9)
    # Three fail; the surest tenth has room for one, and holds one.
    assert (found["num_failures"], found["worst_confidence_decile_failure_share"]) == (3, 1.0)
    assert found["worst_confidence_decile_chance_share"] == pytest.approx(0.3)
    assert found["jitter"] == 1.5
    assert found["contact_frame_error_median"] is None
    assert found["object_change_m"] is None


def test_verdicts_are_the_referees_words():
    truth = make_truth()
    assert verdict_of(make_motion(truth)) == "target_contact"
    assert verdict_of(make_motion(truth, contact=Contact(touches_other=True))) == "wrong_target"
    assert verdict_of(make_motion(truth, contact=Contact())) == "no_contact"


def test_a_clip_there_and_back_and_there_holds_two_contacts():
    truth = make_truth()
    order, again, (first, second) = play_again(truth)
    assert order.tolist() == [*range(10), *range(8, -1, -1), *range(1, 10)]
    assert len(again.joints_m) == len(order) == 28
    np.testing.assert_array_equal(again.joints_m[9], truth.joints_m[9])
    # What holds in frame 4 holds in its mirror images too.
    assert [order[frame] for frame in (*first, *second)] == [4, 4, 4, 9]


def test_contacts_that_are_missing_count_as_wrong():
    rows = [
        {
            "wrist_error_m": 0.02,
            "object_error_m": 0.01,
            "num_contacts": count,
            "first_start_error": 1.0,
            "first_end_error": 3.0,
            "second_start_error": error,
        }
        for count, error in ((2.0, 0.0), (1.0, math.inf))
    ]
    found = summarize_regrasps(rows)
    assert (found["two_contacts"], found["first_start_within_1"]) == (0.5, 1.0)
    assert (found["first_end_within_2"], found["second_start_within_1"]) == (0.0, 0.5)
