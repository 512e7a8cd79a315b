"""A wait for a plan that Ctrl-C interrupts, wherever Python lets it, or that is held up."""

from __future__ import annotations

import time

import pytest

from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tests.ros.graph import wait_for
from tests.ros.messages import make_request
from tests.stopwatch import Stopwatch


def make_goal():
    """A goal that takes the fake model a while."""
    return conversions.goal_from_request(make_request(num_inference_steps=100))


def test_interrupted_wait_cancels_its_goal(graph, loner):
    graph.start()

    hit: list[Stopwatch] = []

    def interrupt(progress):
        if progress.stage == "denoise":
            hit.append(Stopwatch())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loner.request_plan(make_goal(), 60.0, on_progress=interrupt)
    wait_for(lambda: graph.planner._runner.last_plan)
    assert graph.planner._runner.last_plan.code is ErrorCode.CANCELED
    # Not left to a deadline: who presses Ctrl-C wants to be gone.
    assert hit[0].stop() < 1.0


def test_ctrl_c_in_the_midst_of_a_poll_does_not_keep_the_client_alive(graph, loner):
    graph.start()

    def interrupt(progress):
        if progress.stage == "denoise":
            (future,) = loner._pending
            # Where a KeyboardInterrupt right after the first instruction of a poll leaves it.
            future._polling.acquire(blocking=False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loner.request_plan(make_goal(), 60.0, on_progress=interrupt)
    watch = Stopwatch()
    loner.destroy()
    assert watch.stop() < 5.0
    wait_for(lambda: graph.planner._runner.last_plan)
    assert graph.planner._runner.last_plan.code is ErrorCode.CANCELED


def test_caller_that_was_held_up_is_told_every_stage(graph, loner):
    graph.start()
    stages: list[str] = []

    def note(progress):
        stages.append(progress.stage)
        if progress.stage == "condition":
            wait_for(lambda: graph.planner._runner.last_plan)
            # Until the result is there too, beside what was told before it.
            time.sleep(0.5)

    loner.request_plan(conversions.goal_from_request(make_request()), 60.0, on_progress=note)
    assert list(dict.fromkeys(stages)) == ["queued", "condition", "denoise", "decode", "lift"]
