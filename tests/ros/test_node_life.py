"""The node's life: loading, going up and down, failing callbacks, namesakes."""

from __future__ import annotations

import gc
import random
import threading
import time
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy._rclpy_pybind11 import InvalidHandle, RCLError
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String, UInt64
from std_srvs.srv import Trigger
from tavid.action import PlanInteraction

import tavid_ros.planner_node
import tavid_ros.vital_signs
from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tavid_ros.callback_guard import CallbackGuard
from tavid_ros.diagnostics import describe_namesakes
from tavid_ros.namesakes import Namesakes
from tavid_ros.planner_node import PlannerNode
from tavid_ros.spinning import BackgroundExecutor
from tests.ros.graph import STATUS, finish, wait_for
from tests.ros.messages import make_request
from tests.stopwatch import Stopwatch

SUCCESS = TransitionCallbackReturn.SUCCESS
# From each state: what can be asked of it, and where that leads.
TRANSITIONS = {
    "unconfigured": {"configure": "inactive"},
    "inactive": {"activate": "active", "cleanup": "unconfigured"},
    "active": {"deactivate": "inactive"},
}


def get_label(graph) -> str:
    """Ask for the state of the node; it must answer at once."""
    watch = Stopwatch()
    label = graph.call(GetState, "planner/get_state").current_state.label
    assert watch.stop() < 1.0
    return label


def test_what_is_published_while_the_model_loads_is_used_and_services_answer(graph):
    planner = graph.start(is_active=False, model="slow", input_max_age_sec=0.0)
    change = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    client = graph.node.create_client(ChangeState, "planner/change_state")
    assert client.wait_for_service(10.0)
    future = client.call_async(change)
    publishers = [
        (graph.publisher(Image, "image"), graph_image()),
        (graph.publisher(Image, "target_mask"), graph_mask()),
        (graph.publisher(String, "prompt"), String(data="lift the cup")),
    ]

    def is_heard() -> bool:
        for publisher, message in publishers:
            publisher.publish(message)
        time.sleep(0.05)
        return {"image", "target_mask", "prompt"} <= set(planner._inputs.ages_sec())

    wait_for(is_heard)
    assert get_label(graph) == "configuring"
    names = GetParameters.Request(names=["model"])
    assert graph.call(GetParameters, "planner/get_parameters", names).values[0].string_value
    assert not future.done()
    assert finish(future).success
    assert planner.trigger_activate() == SUCCESS
    assert graph.client.wait_for_server(10.0)
    status, result = graph.plan(PlanInteraction.Goal())
    assert (status, result.error_msg) == (STATUS.STATUS_SUCCEEDED, "")


def graph_image() -> Image:
    """An image with the stamp and frame of its mask."""
    return conversions.message_from_image(make_request().image, Header(frame_id="optical"))


def graph_mask() -> Image:
    """Its mask."""
    return conversions.message_from_mask(make_request().target_mask, Header(frame_id="optical"))


def count_resources(planner) -> dict[str, int]:
    """Count what a cycle must give back."""
    gc.collect()
    return {
        "fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        # The executor's pool starts its threads when it first needs them.
        "threads": sum("ThreadPool" not in thread.name for thread in threading.enumerate()),
        "entities": sum(entity() is not None for entity in planner._reentrant.entities),
        "timers": len(list(planner.timers)),
        "subscriptions": len(list(planner.subscriptions)),
        "publishers": len(list(planner.publishers)),
    }


def test_ups_and_downs_leave_nothing_behind(graph):
    planner = graph.start()

    def cycle() -> None:
        for transition in ("deactivate", "cleanup", "configure", "activate"):
            assert getattr(planner, f"trigger_{transition}")() == SUCCESS

    cycle()
    before = count_resources(planner)
    for _ in range(5):
        cycle()

    def is_given_back() -> bool:
        # A thread or a socket of the first cycle may have ended only after it was counted, so of
        # these there must not be more; of what the node itself makes there is as much as before.
        after = count_resources(planner)
        at_most = {name: min(before[name], after[name]) for name in ("fds", "threads")}
        return after == before | at_most

    # The thread of the last worker may end a moment later.
    wait_for(is_given_back)
    # What rclpy remembers of those that are gone is forgotten at the next cleanup.
    cycle()
    assert len(planner._reentrant.entities) < 2 * before["entities"]
    assert graph.client.wait_for_server(10.0)
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED
    assert planner.guard.num_failures == {}


def test_a_planner_beats_as_soon_as_it_is_active(graph, monkeypatch):
    # Not by its timer.
    monkeypatch.setattr(tavid_ros.vital_signs, "HEARTBEAT_PERIOD_SEC", 60.0)
    planner = graph.start(is_active=False)
    beats = graph.subscribe(UInt64, "planner/heartbeat")
    assert planner.trigger_configure() == SUCCESS
    wait_for(lambda: planner.count_subscribers("planner/heartbeat"))
    time.sleep(0.3)
    assert not beats
    assert planner.trigger_activate() == SUCCESS
    wait_for(lambda: beats)


def test_storm_of_transitions_ends_each_goal_once(graph):
    planner, state, dice = graph.start(), "active", random.Random(7)
    graph.client.wait_for_server(10.0)
    outcomes = []
    for _ in range(16):
        handle = None
        if state == "active" and graph.client.server_is_ready() and dice.random() < 0.8:
            handle = graph.send(prompt="hang at denoise")
        transition, state = dice.choice(sorted(TRANSITIONS[state].items()))
        assert getattr(planner, f"trigger_{transition}")() == SUCCESS
        assert get_label(graph) == state
        if handle is not None and handle.accepted:
            status, result = graph.result(handle)
            outcomes.append((status, result.error_code))
    assert set(outcomes) == {(STATUS.STATUS_ABORTED, ErrorCode.NOT_READY)}
    while state != "active":
        transition, state = sorted(TRANSITIONS[state].items())[0]
        assert getattr(planner, f"trigger_{transition}")() == SUCCESS
    assert graph.client.wait_for_server(10.0)
    # A goal that hung keeps its worker for drain_timeout_sec; this one has a new worker.
    planner.trigger_deactivate()
    planner.trigger_cleanup()
    planner.trigger_configure()
    planner.trigger_activate()
    assert graph.client.wait_for_server(10.0)
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED


def test_transition_that_fails_unforeseen_is_logged_and_can_be_repeated(graph, monkeypatch, capfd):
    planner = graph.start(is_active=False)

    def fail(*_):
        raise KeyError("pretended")

    with monkeypatch.context() as patch:
        patch.setattr(tavid_ros.planner_node, "PlanPublishers", fail)
        assert planner.trigger_configure() == TransitionCallbackReturn.ERROR
    assert planner._worker is None
    assert "KeyError: 'pretended'" in capfd.readouterr().err
    assert get_label(graph) == "unconfigured"
    assert planner.trigger_configure() == SUCCESS


def test_callbacks_that_fail_are_counted_answered_for_and_survived(graph, monkeypatch):
    planner = graph.start()
    image = graph.publisher(Image, "image")
    heard = graph.subscribe(DiagnosticArray, "/diagnostics")
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=1)
    change = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])

    def fail(*_, **__):
        raise KeyError("pretended")

    def is_counted(name: str) -> bool:
        image.publish(Image())
        time.sleep(0.02)
        return planner.guard.num_failures.get(name, 0) > 0

    with monkeypatch.context() as patch:
        patch.setattr(tavid_ros.planner_node, "read", fail)
        patch.setattr(planner._inputs, "put", fail)
        patch.setattr(planner._server._services, "_explain_refusal", fail)
        assert not graph.send().accepted
        answer = graph.call(SetParameters, "planner/set_parameters", change).results[0]
        assert not answer.successful
        assert "KeyError('pretended')" in answer.reason
        answer = graph.call(Trigger, "planner/plan")
        assert not answer.success
        assert "KeyError('pretended')" in answer.message
        for name in ("the goal callback", "the parameter callback", "diagnostics", "~/plan"):
            wait_for(lambda name=name: is_counted(name))
        # Subscriptions are caught by whatever spins the node.
        wait_for(lambda: is_counted("a callback"))
    assert graph.call(SetParameters, "planner/set_parameters", change).results[0].successful
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED

    def is_told() -> bool:
        statuses = [status for array in heard for status in array.status]
        return any(
            status.name.endswith("callbacks") and status.level == DiagnosticStatus.ERROR
            for status in statuses
        )

    wait_for(is_told)


def test_guard_logs_the_first_failures_only():
    logged = []

    class Logger:
        error = staticmethod(logged.append)

    guard = CallbackGuard(Logger())

    def fail(number):
        return 1 / number

    guarded = guard.wrap("a timer", fail, lambda error: repr(error))
    assert guarded(1) == 1.0
    for _ in range(100):
        assert guarded(0) == "ZeroDivisionError('division by zero')"
    assert guard.num_failures == {"a timer": 100}
    assert len(logged) == 4
    assert "in fail" in logged[0]
    guard.note("a callback", InvalidHandle("destruction was requested"))
    guard.note("a callback", RCLError("Failed to take result: action client pointer is invalid"))
    assert guard.num_failures == {"a timer": 100}
    guard.note("a callback", RCLError("Failed to take result: another reason"))
    assert guard.num_failures == {"a timer": 100, "a callback": 1}


def test_namesake_is_warned_of(graph, capfd):
    planner = graph.start(is_active=False)
    second = PlannerNode(context=graph.context)
    executor = BackgroundExecutor(second, num_threads=2)
    try:
        for namesakes in (second._vital_signs._namesakes, planner._vital_signs._namesakes):
            wait_for(lambda namesakes=namesakes: namesakes.count == 1)
        log: list[str] = []
        wait_for(
            lambda: (
                log.append(capfd.readouterr().err)
                or "a node name must be unique, got 2 nodes named" in "".join(log)
            )
        )
    finally:
        executor.stop()
        second.destroy_node()
    # rclpy's state machine keeps the name until it is collected, and a thread that is just ending
    # may hold the node a moment longer.
    del second, executor, namesakes
    wait_for(lambda: gc.collect() >= 0 and planner._vital_signs._namesakes.count == 0)


@pytest.mark.parametrize(("waited_sec", "is_certain"), [(20.0, False), (26.0, True)])
def test_namesake_may_be_the_shadow_of_a_killed_process(graph, waited_sec, is_certain):
    now = [100.0]
    namesakes = Namesakes(graph.node, lambda: now[0])
    twin = rclpy.create_node(
        graph.node.get_name(), context=graph.context, namespace=graph.node.get_namespace()
    )
    try:
        wait_for(lambda: namesakes.look() or namesakes.count == 1)
        now[0] += waited_sec
        namesakes.look()
        assert namesakes.is_certain is is_certain
        level = describe_namesakes(namesakes).level
        assert level == (DiagnosticStatus.ERROR if is_certain else DiagnosticStatus.WARN)
    finally:
        twin.destroy_node()
