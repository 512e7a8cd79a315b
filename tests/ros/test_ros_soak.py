"""The soak, small: its figures, that its detectors detect, and that it cleans up after itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from action_msgs.msg import GoalInfo, GoalStatus, GoalStatusArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from unique_identifier_msgs.msg import UUID

from benchmarks.rig import Rig
from benchmarks.ros_soak import __main__ as ros_soak
from benchmarks.ros_soak.goal_ledger import GoalLedger
from benchmarks.ros_soak.plain_goals import make_plain_goal
from benchmarks.ros_soak.process_meter import ProcessMeter
from benchmarks.ros_soak.shared_memory import find_segments
from tavid_core.errors import ErrorCode
from tests.ros.graph import wait_for

ROOT = Path(__file__).resolve().parents[2]
# Answers each line, and keeps so many megabytes each time.
LEAKY = """
import sys
kept = []
for line in sys.stdin:
    kept.append(bytearray(b"x") * (int(sys.argv[1]) * 1024 * 1024))
    print(len(kept), flush=True)
"""


@pytest.fixture(autouse=True)
def keep_domain(monkeypatch):
    """The soak goes to a domain of its own; the tests after it do not follow."""
    monkeypatch.setenv("ROS_DOMAIN_ID", os.environ["ROS_DOMAIN_ID"])


@pytest.mark.parametrize(("leak_mb", "least_mb", "most_mb"), [(0, -2.0, 2.0), (1, 20.0, 40.0)])
def test_planted_leak_is_found(leak_mb, least_mb, most_mb):
    process = subprocess.Popen(
        [sys.executable, "-c", LEAKY, str(leak_mb)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        meter = ProcessMeter(process.pid)
        for _ in range(40):
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            meter.read()
        growth = meter.find_growth()
        process.stdin.close()
    # 26 steps lie between the middles of the two windows.
    assert least_mb <= growth.rss_mb <= most_mb
    assert growth.num_threads == growth.num_files == 0


def test_growth_needs_readings():
    with pytest.raises(ValueError, match="readings must be 3 or more, got 0"):
        ProcessMeter(os.getpid()).find_growth()


def test_goal_that_ends_in_two_ways_is_lost(tmp_path):
    with Rig(tmp_path) as rig:
        ledger = GoalLedger(rig)
        qos = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        publisher = rig.node.create_publisher(
            GoalStatusArray, "plan_interaction/_action/status", qos
        )
        for status in (GoalStatus.STATUS_ABORTED, GoalStatus.STATUS_SUCCEEDED):
            goal = GoalInfo(goal_id=UUID(uuid=list(range(16))))
            item = GoalStatus(goal_info=goal, status=status)
            publisher.publish(GoalStatusArray(status_list=[item]))
        wait_for(lambda: ledger.lost)
        assert "ended in two ways: [4, 6]" in ledger.lost[0]


def test_other_ends_and_rejections_are_wrong_and_segments_are_found(tmp_path):
    with Rig(tmp_path) as rig:
        planner = rig.start_planner({"backend": "fake"})
        ledger, goal = GoalLedger(rig), make_plain_goal()
        goal.prompt = "nan at condition"
        ledger.run("odd", goal, (ErrorCode.NONE,))
        assert [line.split(":")[:2] for line in ledger.wrong] == [
            ["odd", f" status {GoalStatus.STATUS_ABORTED}, NON_FINITE"]
        ]

        def disturb(first):
            ledger.run("second", make_plain_goal(), (ErrorCode.NONE,))
            assert first.cancel()

        ledger.run("first", make_plain_goal(step_ms=200), (ErrorCode.CANCELED,), disturb)
        assert ledger.wrong[1:] == ["second: rejected"]
        assert (ledger.num_goals, ledger.lost) == (2, [])
        segments = find_segments(planner.pid)
        assert segments
        assert all(path.exists() for path in segments)
        planner.end()
        assert not any(path.exists() for path in segments)


@pytest.mark.slow
def test_small_soak_loses_nothing(capfd):
    words = ["--goals", "20", "--faults", "10", "--cycles", "2", "--malformed", "0", "--json"]
    assert ros_soak.main(words) == 0
    told = capfd.readouterr()
    figures = json.loads(told.out.strip().splitlines()[-1])
    assert (figures["lost"], figures["wrong_ends"], figures["orphans"]) == (0, 0, 0), told.err
    # Each fault is followed by a plain goal, and each cycle too.
    assert figures["goals"] == 20 + 2 * 10 + 2
    assert (figures["faults"], figures["planner_kills"], figures["cycles"]) == (10, 1, 2)
    assert figures["transitions_failed"] == 0
    assert 0.5 < figures["server_lost_seconds_max"] < 10.0
    assert set(ros_soak.LIMITS) - set(figures) == {
        "node_deaths",
        "good_after_malformed_failed",
        "cycles_rss_growth_mb",
        "cycles_threads_growth",
        "cycles_files_growth",
    }


def test_small_flood_is_survived(capfd):
    words = ["--goals", "0", "--faults", "0", "--cycles", "0", "--malformed", "60", "--json"]
    assert ros_soak.main(words) == 0
    figures = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert figures["malformed_sent"] == 120
    assert figures["malformed_refused"] > 0
    assert (figures["node_deaths"], figures["good_after_malformed_failed"]) == (0, 0)


def is_alive(process):
    """Whether it still does anything; one that ended may wait long for init to take note of it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_signal_ends_everything_that_was_started():
    command = [sys.executable, "-m", "benchmarks.ros_soak", "--goals", "100000"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        # The planner and its worker.
        wait_for(lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 2)
        started = psutil.Process(process.pid).children(recursive=True)
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30.0) == 130
    finally:
        process.kill()
        said = process.communicate()[1]
    assert "ended by a signal" in said
    assert not [child for child in started if is_alive(child)]


def test_something_must_be_asked_for(capsys):
    with pytest.raises(SystemExit):
        ros_soak.main(["--goals", "0", "--faults", "0", "--cycles", "0", "--malformed", "0"])
    assert "one of them more than 0" in capsys.readouterr().err
