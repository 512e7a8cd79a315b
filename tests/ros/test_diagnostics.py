"""What diagnostics say, and how loudly."""

from __future__ import annotations

import types

import psutil
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from tavid_core.errors import ErrorCode
from tavid_ros import diagnostics
from tavid_ros.goal_statistics import GoalStatistics
from tavid_ros.input_watchdog import InputProblem
from tavid_ros.output_frame import OutputFrame
from tavid_ros.transform_tree import MissingTransformError, TransformTree
from tests.ros.messages import make_request


def read_values(status):
    return {pair.key: pair.value for pair in status.values}


def test_memory_of_both_processes_is_told():
    worker = types.SimpleNamespace(pid=psutil.Process().pid, gpu_memory_bytes=3_000_000_000)
    values = read_values(diagnostics.describe_memory(worker))
    assert int(values["node_mb"]) > 20
    assert int(values["worker_mb"]) > 20
    assert values["worker_gpu_mb"] == "3000"


def test_memory_of_a_worker_that_is_gone_or_has_no_gpu_is_empty():
    for worker in (None, types.SimpleNamespace(pid=2**22 + 1, gpu_memory_bytes=None)):
        values = read_values(diagnostics.describe_memory(worker))
        assert (values["worker_mb"], values["worker_gpu_mb"]) == ("", "")


def test_a_machine_short_of_memory_is_a_warning(monkeypatch):
    for available, level in ((4, DiagnosticStatus.WARN), (6, DiagnosticStatus.OK)):
        machine = types.SimpleNamespace(total=100_000_000, available=available * 1_000_000)
        monkeypatch.setattr(psutil, "virtual_memory", lambda machine=machine: machine)
        assert diagnostics.describe_memory(None).level == level


def test_goals_are_counted_by_code_with_the_median_of_the_last_ten_plans():
    goals = GoalStatistics()
    assert diagnostics.describe_goals(goals).message == "0 goal(s)"
    for duration_sec in (100.0, *range(1, 11)):
        goals.add(ErrorCode.NONE, duration_sec)
    goals.add(ErrorCode.CANCELED, 500.0)
    status = diagnostics.describe_goals(goals)
    assert status.message == "12 goal(s)"
    assert read_values(status) == {"NONE": "11", "CANCELED": "1", "median_duration_sec": "5.50"}


def test_rates_are_told_beside_ages():
    status = diagnostics.describe_inputs({"image": 0.04}, {}, 2.0, {"image": 29.97})
    assert read_values(status) == {"image_age_sec": "0.04", "image_rate_hz": "30.0"}


def test_problems_of_inputs_set_the_level():
    gap = InputProblem("depth", "gap", "depth must be stamped")
    silent = InputProblem("image", "silent", "image must bring", is_error=True)
    missing = InputProblem("target_mask", "missing", "target_mask must have a publisher")

    def describe(*problems):
        status = diagnostics.describe_inputs({}, {}, 2.0, {}, {"image": 3}, problems)
        assert read_values(status)["image_lost"] == "3"
        return status.level, status.message

    assert describe() == (DiagnosticStatus.OK, "fine")
    assert describe(missing) == (DiagnosticStatus.OK, "no publisher of target_mask")
    assert describe(missing, gap) == (DiagnosticStatus.WARN, "depth: gap")
    assert describe(gap, silent) == (DiagnosticStatus.ERROR, "depth: gap; image: silent")


def test_a_missing_transform_is_an_error_until_it_is_found():
    output_frame = OutputFrame("base_link", TransformTree())
    assert diagnostics.describe_transforms(output_frame).level == DiagnosticStatus.OK
    with pytest.raises(MissingTransformError):
        output_frame.prepare(make_request(), 0.5)
    status = diagnostics.describe_transforms(output_frame)
    assert status.level == DiagnosticStatus.ERROR
    assert "must be on /tf" in status.message
    output_frame.prepare(make_request(frame_id="base_link"), 0.5)
    assert diagnostics.describe_transforms(output_frame).level == DiagnosticStatus.OK


def test_nothing_is_wrong_before_configuring():
    for describe in ("worker", "memory", "goals", "outputs", "transforms"):
        status = getattr(diagnostics, f"describe_{describe}")(None)
        assert (status.name, status.level) == (describe, DiagnosticStatus.OK)
