"""The latency benchmark, small: its figures, and that it counts what is lost."""

from __future__ import annotations

import json
import os

import pytest
from tavid.action import PlanInteraction

from benchmarks.rig import BenchmarkError, Rig, make_goal
from benchmarks.ros_latency import __main__ as ros_latency
from benchmarks.ros_latency.frames import count_frames
from benchmarks.ros_latency.plan_loop import PlanLoop
from benchmarks.summary import format_table, summarize

SECOND_NS = 1_000_000_000


@pytest.fixture(autouse=True)
def keep_domain(monkeypatch):
    """The benchmark goes to a domain of its own; the tests after it do not follow."""
    monkeypatch.setenv("ROS_DOMAIN_ID", os.environ["ROS_DOMAIN_ID"])


@pytest.mark.slow
def test_figures_have_their_names(capfd):
    words = ["--backend", "fake", "--trials", "2", "--frame-seconds", "0.5", "--json"]
    assert ros_latency.main(words) == 0
    figures = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert set(ros_latency.LIMITS) <= set(figures)
    assert figures["cancel_ack_n"] == figures["lifecycle_n"] == figures["frame_age_n"] == 2
    assert figures["parameter_n"] == 4
    assert figures["refusal_n"] + figures["refusal_burst_unanswered"] == 1
    timed = ("_median_ms", "_p99_ms", "_max_ms")
    assert all(value > 0 for name, value in figures.items() if name.endswith(timed))
    # Both plan with the same sleeps, 0.55 s; what they take beyond that is the machine's affair.
    direct_sec, node_sec = figures["direct_plan_seconds"], figures["node_plan_seconds"]
    assert min(direct_sec, node_sec) > 0.55
    assert figures["node_overhead_ratio"] == pytest.approx(node_sec / direct_sec, abs=0.005)
    assert 0 < figures["frames_delivered"] <= figures["frames_published"]


def test_flood_of_goals_is_answered(tmp_path):
    """Of ROS's own depth of 10 most goals of a flood are never answered."""
    from benchmarks.ros_latency.calls import measure_burst

    with Rig(tmp_path) as rig:
        rig.start_planner({"backend": "fake"})
        times_ms, num_unanswered = measure_burst(rig, make_goal(), 199)
    assert (len(times_ms), num_unanswered) == (199, 0)


def run_plans(rig, goal):
    with PlanLoop(rig, goal) as loop:
        while True:
            loop.wait_running()


def test_plan_that_fails_ends_the_loop(tmp_path):
    with Rig(tmp_path) as rig:
        rig.start_planner({"backend": "fake"})
        goal = PlanInteraction.Goal(prompt="lift it")
        with pytest.raises(BenchmarkError, match="a plan must be made to be measured, got STALE"):
            run_plans(rig, goal)


def test_lost_pictures_are_counted():
    sent = [number * SECOND_NS // 10 for number in range(100)]
    received = [stamp for stamp in sent if stamp not in sent[50:53]]
    # The first and the last second are left out; a picture that only the planner heard of counts.
    times = count_frames(sent[:-30] + sent[-20:], received, [5.0])
    assert (times.num_published, times.num_delivered) == (80, 77)
    assert times.camera_rate_hz == pytest.approx(10.0)
    with pytest.raises(BenchmarkError, match="pictures must be published, got 0"):
        count_frames([], [0, SECOND_NS], [])


def test_percentiles_are_values_that_occurred():
    figures = summarize("x", [float(number) for number in range(1, 201)])
    assert figures == {"x_n": 200, "x_median_ms": 101.0, "x_p99_ms": 199.0, "x_max_ms": 200.0}
    assert summarize("y", [3.0, 1.0])["y_p99_ms"] == 3.0


def test_table_says_what_is_missed():
    figures = {"a_ms": 2.5, "share": 0.5, "n": 3}
    lines = format_table(figures, {"a_ms": "<= 2.5", "share": ">= 0.9"}).splitlines()
    assert [line.split() for line in lines] == [
        ["a_ms", "2.5", "<=", "2.5", "holds"],
        ["share", "0.5", ">=", "0.9", "MISSED"],
        ["n", "3"],
    ]


def test_options_must_leave_something(capsys):
    parts = ("cancels", "calls", "refusals", "frames", "overhead")
    with pytest.raises(SystemExit):
        ros_latency.main([word for part in parts for word in ("--skip", part)])
    assert "must leave something" in capsys.readouterr().err
