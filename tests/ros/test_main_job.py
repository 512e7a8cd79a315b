"""The benchmark of the main job, with the fake model: its figures, and that failures end it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from benchmarks import main_job, plan_times
from benchmarks.rig import BenchmarkError

FIGURES = {
    "demo_seconds_warm",
    "goal_to_result_seconds",
    "cancel_ack_ms_median",
    "cancel_ack_ms_max",
    "canceled_ms_median",
    "canceled_ms_max",
}
WORDS = ["--backend", "fake", "--plans", "1", "--cancels", "2"]


@pytest.fixture(autouse=True)
def keep_domain(monkeypatch):
    """The benchmark goes to a domain of its own; the tests after it do not follow."""
    monkeypatch.setenv("ROS_DOMAIN_ID", os.environ["ROS_DOMAIN_ID"])


def test_figures_have_their_names(monkeypatch, capfd):
    monkeypatch.setattr(main_job, "measure_demo", lambda folder: 1.5)
    assert main_job.main([*WORDS, "--json"]) == 0
    figures = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert set(figures) == FIGURES
    assert figures["demo_seconds_warm"] == 1.5
    assert all(value > 0 for value in figures.values())
    assert figures["canceled_ms_median"] <= figures["canceled_ms_max"]


def test_plan_that_fails_ends_the_measurement(monkeypatch, capfd):
    make_goal = main_job.make_goal

    def make_failing_goal():
        goal = make_goal()
        goal.prompt = "nan at condition"
        return goal

    monkeypatch.setattr(main_job, "make_goal", make_failing_goal)
    assert main_job.main([*WORDS, "--skip-demo"]) == 1
    assert "error: a plan must be made to be measured, got NON_FINITE" in capfd.readouterr().err


def test_planner_that_does_not_come_up_is_quoted(capfd):
    assert main_job.main([*WORDS, "--skip-demo", "--model", "missing"]) == 1
    assert "model must be there, got 'missing'" in capfd.readouterr().err


def test_plans_that_are_always_ready_first_end_the_measurement(monkeypatch):
    monkeypatch.setattr(plan_times, "measure_cancel", lambda *_: None)
    with pytest.raises(BenchmarkError, match="2 goals must be canceled within 6 tries"):
        plan_times.measure_cancels(None, None, 2, 0.1)


def test_demo_that_fails_is_quoted(monkeypatch, tmp_path):
    failed = subprocess.CompletedProcess([], 2, "", "no compiler")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(BenchmarkError, match=r"exit status 2\. It said last:\nno compiler"):
        main_job.measure_demo(tmp_path)


def test_at_least_one_of_each(capsys):
    with pytest.raises(SystemExit):
        main_job.main(["--cancels", "0"])
    assert "must be 1 or more" in capsys.readouterr().err
