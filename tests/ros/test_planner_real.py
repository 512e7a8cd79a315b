"""The node with the shipped model: cancels at every stage, and the best of two candidates."""

from __future__ import annotations

import json

import pytest
from sensor_msgs.msg import Image
from trajectory_msgs.msg import MultiDOFJointTrajectory

from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tavid_ros.client import path_from_uri
from tavid_ros.publishers import LATCHED_QOS
from tests.ros.graph import STATUS, Graph, finish, wait_for
from tests.ros.messages import make_request

# The model needs seconds where it is alone, and a minute where it is not.
PATIENCE_SEC = 300.0
ENDED_WITH_A_PLAN = (ErrorCode.NONE, ErrorCode.NO_ACTOR)


@pytest.fixture(scope="module")
def shared_graph(tmp_path_factory):
    """One planner with the model, which takes seconds to load."""
    graph = Graph(tmp_path_factory.mktemp("plans"))
    graph.start(backend="tavid", save_plans=True)
    yield graph
    graph.close()


@pytest.fixture(scope="module")
def published(shared_graph):
    """Everything that came on the latched topics."""
    plans = shared_graph.subscribe(MultiDOFJointTrajectory, "planner/plan", LATCHED_QOS)
    overlays = shared_graph.subscribe(Image, "planner/overlay", LATCHED_QOS)
    return plans, overlays


def make_goal(*, steps: int, stamp_sec: int = 1, candidates: int = 1):
    """Ask for a short plan of noise; what it shows does not matter."""
    request = make_request(
        num_inference_steps=steps,
        num_frames=None,
        num_candidates=candidates,
        stamp_ns=stamp_sec * 10**9,
    )
    return conversions.goal_from_request(request)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["condition", "denoise", "decode", "lift"])
def test_cancel_at_each_stage_ends_the_goal_once_and_publishes_nothing(
    shared_graph, published, stage
):
    graph, stamp_sec = shared_graph, 10 * (1 + len(stage))
    handle = graph.send(make_goal(steps=2, stamp_sec=stamp_sec))
    wait_for(lambda: stage in [f.stage for f in tuple(graph.feedback)], PATIENCE_SEC)
    answer = finish(handle.cancel_goal_async())
    status, result = end(handle)
    if status != STATUS.STATUS_CANCELED:
        # Lifting ended before the cancel came.
        assert stage == "lift"
        assert result.error_code in ENDED_WITH_A_PLAN
        return
    assert len(answer.goals_canceling) == 1
    assert result.error_code == ErrorCode.CANCELED
    assert (result.plan_uri, list(result.motion.points)) == ("", [])
    # The next goal shows that the worker is free again, and what was published before it.
    _, result = end(graph.send(make_goal(steps=1, stamp_sec=stamp_sec + 1)))
    assert result.error_code in ENDED_WITH_A_PLAN
    for messages in published:
        wait_for(lambda messages=messages: messages and stamp(messages[-1]) == stamp_sec + 1)
        assert stamp_sec not in [stamp(message) for message in messages]


def end(handle):
    """Wait for status and result of a goal that the model works on."""
    response = finish(handle.get_result_async(), PATIENCE_SEC)
    return response.status, response.result


def stamp(message) -> int:
    """Read which goal a message is of."""
    return message.header.stamp.sec


def test_best_of_two_candidates_is_told_with_both_scores(shared_graph):
    graph = shared_graph
    _, result = end(graph.send(make_goal(steps=1, candidates=2)))
    document = json.loads((path_from_uri(result.plan_uri) / "plan.json").read_text())
    tried = document["provenance"]["candidates"]
    assert [candidate["seed"] for candidate in tried] == [7, 8]
    best = max(tried, key=lambda candidate: candidate["score"])
    assert document["provenance"]["seed"] == best["seed"]
    assert document["request"]["num_candidates"] == 2
    assert {f.total_steps for f in graph.feedback if f.stage == "denoise"} == {2}
