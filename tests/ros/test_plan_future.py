"""Ctrl-C while a plan is waited for, wherever Python lets it come."""

from __future__ import annotations

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
