"""Every error code is reached by a goal, each with a message that says what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tests.ros.graph import STATUS, Graph, finish, wait_for
from tests.ros.messages import make_request

HANG = "hang at denoise"


def no_action(graph: Graph, handle) -> None:
    """Let the goal come to its end by itself."""


def cancel(graph: Graph, handle) -> None:
    """Cancel the goal."""
    finish(handle.cancel_goal_async())


def supersede(graph: Graph, handle) -> None:
    """Send a newer one, and end that too."""
    graph.planner.set_parameters([Parameter("goal_policy", value="newest")])
    newer = finish(graph.client.send_goal_async(make_goal("x")))
    graph.planner.set_parameters([Parameter("goal_policy", value="reject")])
    graph.result(newer)


def deactivate(graph: Graph, handle) -> None:
    """Take the node down and up again."""
    assert graph.planner.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert graph.planner.trigger_activate() == TransitionCallbackReturn.SUCCESS


def shut_down(graph: Graph, handle) -> None:
    """End the node as a signal does; the last one of the table."""
    graph.planner.end()


def limit_time(graph: Graph) -> None:
    """Shorten the time limit of the next goal."""
    graph.planner.set_parameters([Parameter("goal_time_limit_sec", value=0.3)])


def fail_unforeseen(graph: Graph) -> None:
    """Break the node from within, once."""
    inputs, right = graph.planner._inputs, graph.planner._inputs.make_request

    def fail(*_, **__):
        inputs.make_request = right
        raise KeyError("pretended")

    inputs.make_request = fail


def make_goal(prompt: str, **fields) -> PlanInteraction.Goal:
    """Make a goal with everything that it needs."""
    goal = conversions.goal_from_request(make_request(prompt=prompt))
    for name, value in fields.items():
        setattr(goal, name, value)
    return goal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """How a code is reached, and what its message must say."""

    code: ErrorCode
    advice: str
    goal: PlanInteraction.Goal
    before: Callable[[Graph], None] = lambda _: None
    during: Callable[..., None] = no_action
    status: int = STATUS.STATUS_ABORTED


CASES = [
    Case(code=ErrorCode.NONE, advice="", goal=make_goal("x"), status=STATUS.STATUS_SUCCEEDED),
    Case(
        code=ErrorCode.UNKNOWN,
        advice="See the node's log.",
        goal=make_goal("x"),
        before=fail_unforeseen,
    ),
    Case(
        code=ErrorCode.INVALID_INPUT,
        advice="Try 17 or 49.",
        goal=make_goal("x", num_frames=12),
    ),
    Case(
        code=ErrorCode.CANCELED,
        advice="Ask again",
        goal=make_goal(HANG),
        during=cancel,
        status=STATUS.STATUS_CANCELED,
    ),
    Case(
        code=ErrorCode.TIMEOUT,
        advice="raise goal_time_limit_sec",
        goal=make_goal(HANG),
        before=limit_time,
    ),
    Case(code=ErrorCode.NO_ACTOR, advice="Look at", goal=make_goal("no_actor at lift")),
    Case(code=ErrorCode.OUT_OF_MEMORY, advice="fewer frames", goal=make_goal("oom at denoise")),
    Case(
        code=ErrorCode.MODEL_ERROR, advice="See the worker's log", goal=make_goal("error at lift")
    ),
    Case(code=ErrorCode.NON_FINITE, advice="pretended", goal=make_goal("nan at decode")),
    Case(
        code=ErrorCode.STALE_INPUT,
        advice="Check the topic's name",
        goal=PlanInteraction.Goal(prompt="x"),
    ),
    Case(
        code=ErrorCode.NOT_READY,
        advice="Activate it and ask again.",
        goal=make_goal(HANG),
        during=deactivate,
    ),
    Case(code=ErrorCode.WORKER_DIED, advice="out of memory?", goal=make_goal("crash at denoise")),
    Case(
        code=ErrorCode.WORKER_DIED,
        advice="raise watchdog_sec if",
        goal=make_goal(HANG),
    ),
    Case(
        code=ErrorCode.SUPERSEDED,
        advice="set goal_policy to queue",
        goal=make_goal(HANG),
        during=supersede,
    ),
    Case(
        code=ErrorCode.CLIENT_LOST,
        advice="Publish the goal's id there",
        goal=make_goal(HANG, keep_alive_sec=0.3),
    ),
    Case(
        code=ErrorCode.SHUTTING_DOWN,
        advice="Ask again later.",
        goal=make_goal(HANG),
        during=shut_down,
    ),
]


@pytest.fixture(scope="module")
def shared_graph(tmp_path_factory):
    """One running planner that is taken down by the last case."""
    graph = Graph(tmp_path_factory.mktemp("plans"))
    graph.start(watchdog_sec=5.0, drain_timeout_sec=0.2, input_wait_sec=0.0)
    yield graph
    graph.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code.name)
def test_code_comes_with_advice_and_one_terminal_state(shared_graph, case):
    graph = shared_graph
    graph.planner.set_parameters([Parameter("goal_time_limit_sec", value=60.0)])
    case.before(graph)
    handle = graph.send(case.goal)
    assert handle.accepted
    if case.during is not no_action:
        graph.wait_stage("denoise")
        case.during(graph, handle)
    status, result = graph.result(handle)
    assert (status, ErrorCode(result.error_code)) == (case.status, case.code)
    assert case.advice in result.error_msg
    assert bool(result.error_msg) == (case.code is not ErrorCode.NONE)
    assert bool(result.motion.points) == (case.code in (ErrorCode.NONE, ErrorCode.NO_ACTOR))


def test_busy_and_not_active_are_told_by_refusal_and_service(graph):
    graph.start(drain_timeout_sec=0.2)
    refusals = graph.subscribe(String, "planner/refusal")
    handle = graph.send(prompt=HANG)
    graph.wait_stage("denoise")
    assert not graph.send().accepted
    answer = graph.call(Trigger, "planner/plan")
    reason = "BUSY: another goal is running. Cancel it, or wait for its result."
    assert (answer.success, answer.message) == (False, f"goal rejected, {reason}")
    wait_for(lambda: [refusal.data for refusal in refusals] == [reason, reason])
    graph.planner.trigger_deactivate()
    assert graph.result(handle)[1].error_code == ErrorCode.NOT_READY
    answer = graph.call(Trigger, "planner/plan")
    assert answer.message == (
        "goal rejected, NOT_READY: the node was deactivated. Activate it and ask again."
    )


def test_weights_that_are_missing_are_told_at_configure(graph):
    planner = graph.start(is_active=False, model="missing")
    assert planner.trigger_configure() == TransitionCallbackReturn.FAILURE
    # Nothing is left behind, and the node can be asked again.
    assert planner.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert planner._owned == []


def test_no_code_is_left_out():
    reached = {case.code for case in CASES} | {ErrorCode.BUSY}
    assert reached == set(ErrorCode)
