"""What happens to a goal that comes while another runs, and to one whose client falls silent."""

from __future__ import annotations

import threading
import time

import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger
from unique_identifier_msgs.msg import UUID

from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tests.ros.graph import STATUS, Graph, finish, wait_for
from tests.ros.messages import make_request

LONG = {"prompt": "hang at denoise"}


@pytest.fixture(scope="module")
def shared_graph(tmp_path_factory):
    """One running planner; a test sets the policy that it needs."""
    graph = Graph(tmp_path_factory.mktemp("plans"))
    graph.start(drain_timeout_sec=0.2, input_wait_sec=0.0)
    yield graph
    graph.close()


def send(graph: Graph, **fields):
    """Send a goal with its own list of feedback."""
    stages: list[str] = []
    goal = conversions.goal_from_request(make_request(**fields))
    future = graph.client.send_goal_async(
        goal, lambda message: stages.append(message.feedback.stage)
    )
    return finish(future), stages


def set_policy(graph: Graph, policy: str) -> None:
    """Change the parameter of the running node."""
    graph.planner.set_parameters([Parameter("goal_policy", value=policy)])


def outcome(graph: Graph, handle) -> tuple[int, int]:
    """Wait for status and error code of a goal."""
    status, result = graph.result(handle)
    assert bool(result.error_msg) == (result.error_code != ErrorCode.NONE)
    return status, result.error_code


def test_queue_lets_one_wait_and_runs_it_then(shared_graph, monkeypatch):
    graph = shared_graph
    set_policy(graph, "queue")
    inputs, gate, nums_inside = graph.planner._inputs, graph.planner._gate, []
    wait_request = inputs.wait_request

    def count_and_wait(*arguments):
        nums_inside.append(gate.num_inside)
        return wait_request(*arguments)

    monkeypatch.setattr(inputs, "wait_request", count_and_wait)
    refusals = graph.subscribe(String, "planner/refusal")
    first, first_stages = send(graph, num_inference_steps=12)
    second, second_stages = send(graph, num_inference_steps=2)
    third, _ = send(graph)
    assert first.accepted
    assert second.accepted
    assert not third.accepted
    wait_for(lambda: refusals)
    assert refusals[-1].data.startswith("BUSY: another goal is running and one waits.")
    assert outcome(graph, first) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)
    assert outcome(graph, second) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)
    # It was told to wait, and began when the first had left.
    assert second_stages[0] == "queued"
    assert len(nums_inside) == 2
    assert nums_inside[1] == 1
    assert "lift" in first_stages
    assert "lift" in second_stages


def test_waiting_goal_is_canceled_at_once_and_the_running_one_goes_on(shared_graph):
    graph = shared_graph
    set_policy(graph, "queue")
    first, _ = send(graph, num_inference_steps=20)
    second, stages = send(graph)
    wait_for(lambda: stages)
    assert len(finish(second.cancel_goal_async()).goals_canceling) == 1
    assert outcome(graph, second) == (STATUS.STATUS_CANCELED, ErrorCode.CANCELED)
    assert set(stages) == {"queued"}
    # Its place is free again.
    third, _ = send(graph, num_inference_steps=1)
    assert third.accepted
    assert outcome(graph, first) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)
    assert outcome(graph, third) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)


def test_newest_supersedes_the_running_and_the_waiting_goal(shared_graph):
    graph = shared_graph
    set_policy(graph, "newest")
    first, stages = send(graph, **LONG)
    wait_for(lambda: "denoise" in stages)
    second, _ = send(graph, **LONG)
    third, _ = send(graph, num_inference_steps=2)
    assert outcome(graph, first) == (STATUS.STATUS_ABORTED, ErrorCode.SUPERSEDED)
    assert outcome(graph, second) == (STATUS.STATUS_ABORTED, ErrorCode.SUPERSEDED)
    # The worker hangs in the first goal; the third waits until it is restarted.
    assert outcome(graph, third) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)


def test_of_many_goals_at_once_the_newest_policy_ends_each_once(shared_graph):
    graph = shared_graph
    set_policy(graph, "newest")
    goal = conversions.goal_from_request(make_request(num_inference_steps=4))
    futures = [graph.client.send_goal_async(goal) for _ in range(8)]
    handles = [finish(future) for future in futures]
    assert all(handle.accepted for handle in handles)
    outcomes = [outcome(graph, handle) for handle in handles]
    assert outcomes.count((STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)) >= 1
    superseded = (STATUS.STATUS_ABORTED, ErrorCode.SUPERSEDED)
    assert set(outcomes) <= {(STATUS.STATUS_SUCCEEDED, ErrorCode.NONE), superseded}
    assert superseded in outcomes
    wait_for(lambda: graph.planner._gate.num_inside == 0)


def test_trigger_services_follow_the_policy(shared_graph):
    graph = shared_graph
    set_policy(graph, "queue")
    first, stages = send(graph, **LONG)
    wait_for(lambda: "denoise" in stages)
    second, _ = send(graph, **LONG)
    answer = graph.call(Trigger, "planner/plan")
    assert not answer.success
    assert "one waits" in answer.message
    assert graph.call(Trigger, "planner/cancel").message == "2 goal(s) canceling"
    for handle in (first, second):
        assert outcome(graph, handle) == (STATUS.STATUS_CANCELED, ErrorCode.CANCELED)
    set_policy(graph, "newest")
    third, stages = send(graph, **LONG)
    wait_for(lambda: "denoise" in stages)
    assert graph.call(Trigger, "planner/plan").success
    assert outcome(graph, third) == (STATUS.STATUS_ABORTED, ErrorCode.SUPERSEDED)
    # The goal of the service finds no image.
    wait_for(lambda: graph.planner._gate.num_inside == 0)


def test_goal_of_a_silent_client_ends_and_that_of_one_that_speaks_goes_on(shared_graph):
    graph = shared_graph
    set_policy(graph, "queue")
    publisher = graph.publisher(UUID, "planner/keep_alive")
    goal = conversions.goal_from_request(make_request(num_inference_steps=140))
    goal.keep_alive_sec = 4.0
    speaking, silent = (finish(graph.client.send_goal_async(goal)) for _ in range(2))
    is_over = threading.Event()

    def speak() -> None:
        while not is_over.wait(0.1):
            publisher.publish(speaking.goal_id)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        start = time.monotonic()
        # It waits for its turn, and is asked to be heard all the same.
        assert outcome(graph, silent) == (STATUS.STATUS_ABORTED, ErrorCode.CLIENT_LOST)
        assert time.monotonic() - start >= 3.0
        assert outcome(graph, speaking) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)
        assert time.monotonic() - start > 5.0
    finally:
        is_over.set()
        speaker.join()


@pytest.mark.parametrize("keep_alive_sec", [-1.0, 0.01, float("nan"), float("inf")])
def test_impossible_keep_alive_is_refused(shared_graph, keep_alive_sec):
    goal = conversions.goal_from_request(make_request())
    goal.keep_alive_sec = keep_alive_sec
    status, result = shared_graph.plan(goal)
    assert (status, result.error_code) == (STATUS.STATUS_ABORTED, ErrorCode.INVALID_INPUT)
    assert "keep_alive_sec must be 0 or at least 0.1, got" in result.error_msg


def test_cancel_while_the_plan_is_published_is_acknowledged_and_the_goal_succeeds(graph):
    publishers = graph.start()._plan_publishers
    publish, acknowledged, handles = publishers.publish, [], []

    def cancel_and_publish(plan, **words):
        wait_for(lambda: handles)
        acknowledged.append(finish(handles[0].cancel_goal_async()))
        publish(plan, **words)

    publishers.publish = cancel_and_publish
    handles.append(graph.send())
    status, result = graph.result(handles[0])
    assert len(acknowledged[0].goals_canceling) == 1
    assert (status, result.error_code) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)


def test_results_can_be_fetched_for_their_time_and_are_forgotten_then(graph):
    graph.start(result_timeout_sec=1)
    handle = graph.send()
    assert graph.result(handle)[0] == STATUS.STATUS_SUCCEEDED
    # Still there for who asks again, and a second later no more: kept results are memory.
    assert graph.result(handle)[0] == STATUS.STATUS_SUCCEEDED
    wait_for(lambda: graph.result(handle)[0] == STATUS.STATUS_UNKNOWN, 10.0)
