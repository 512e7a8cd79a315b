"""The client's own side: every way to wait, answers that come late, plans that were not saved."""

from __future__ import annotations

import asyncio
import threading
import time
from unittest.mock import Mock

import pytest
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future
from std_msgs.msg import String, UInt64
from tavid.action import PlanInteraction
from unique_identifier_msgs.msg import UUID

from tavid_core.errors import CanceledError, ConfigError, ErrorCode
from tavid_core.types import InteractionPlan
from tavid_ros import client as program
from tavid_ros import conversions
from tavid_ros.client import (
    PlanClient,
    PlanFailedError,
    PlanRejectedError,
    PlanTimeoutError,
    PlanUnreachableError,
    ServerLostError,
)
from tavid_ros.heartbeat import Heartbeat
from tests.ros.graph import finish, wait_for
from tests.ros.messages import make_request
from tests.stopwatch import Stopwatch

DISK_FULL = "the plan could not be saved to /full: No space left on device"


def make_goal(**fields):
    """A goal that the fake model answers in half a second."""
    return conversions.goal_from_request(make_request(**{"num_inference_steps": 4} | fields))


def spread(request):
    """The arguments of `plan`."""
    return request.image, request.target_mask, request.prompt


def start_goal(client, num_steps=100):
    """Send a goal and wait until the model works on it."""
    stages: list[str] = []
    future = client.request_plan_async(
        make_goal(num_inference_steps=num_steps),
        60.0,
        on_progress=lambda progress: stages.append(progress.stage),
    )
    wait_for(lambda: "denoise" in stages)
    return future


@pytest.fixture
def client(graph):
    """A client on a node that is spun elsewhere."""
    made = PlanClient(graph.node, keep_alive_sec=10.0)
    yield made
    made.destroy()


@pytest.fixture
def silent(client, monkeypatch):
    """A client whose planner lives but does not answer; `sent` is what it waits for."""
    client.sent = Future()
    link = client._link
    monkeypatch.setattr(type(link), "is_ready", True)
    monkeypatch.setattr(link.heartbeat, "check", lambda _: None)
    monkeypatch.setattr(link.actions, "send_goal_async", lambda *_, **__: client.sent)
    return client


@pytest.mark.parametrize("is_accepted", [True, False])
def test_goal_that_is_accepted_too_late_is_canceled(silent, is_accepted):
    watch = Stopwatch()
    with pytest.raises(PlanTimeoutError, match=r"answer a goal within 0\.\d+ s"):
        silent.request_plan(PlanInteraction.Goal(), 0.3)
    assert watch.stop() < 5.0
    handle = Mock(accepted=is_accepted)
    silent.sent.set_result(handle)
    assert handle.cancel_goal_async.called == is_accepted


def test_late_answer_that_failed_is_ignored(silent):
    with pytest.raises(PlanTimeoutError):
        silent.request_plan(PlanInteraction.Goal(), 0.1)
    silent.sent.set_exception(RuntimeError("the context is gone"))


@pytest.mark.parametrize(
    ("message", "match"), [(DISK_FULL, "No space left"), ("", "save_plans is off")]
)
def test_plan_that_was_not_saved_says_why(silent, monkeypatch, capsys, message, match):
    result = PlanInteraction.Result(error_msg=message)
    monkeypatch.setattr(PlanClient, "wait_for_planner", lambda *_: None)
    monkeypatch.setattr(PlanClient, "request_plan", lambda *_, **__: result)
    with pytest.raises(PlanUnreachableError, match=f"got no folder: .*{match}"):
        silent.plan(*spread(make_request()), 1.0)
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    assert program.main(["--prompt", "lift it"]) == 0
    assert match in capsys.readouterr().out


def test_every_form_gives_the_plan(graph, client, loner):
    graph.start(save_plans=True)
    request = make_request()
    stages: list[str] = []

    def note(progress):
        stages.append(progress.stage)

    blocking = client.plan(*spread(request), 30.0, on_progress=note, num_inference_steps=2)
    alone = loner.plan(*spread(request), 30.0, num_inference_steps=2)

    called: list[InteractionPlan] = []
    future = client.plan_async(*spread(request), 30.0, num_inference_steps=2)
    future.add_done_callback(lambda done: called.append(done.result()))
    wait_for(lambda: called)

    async def ask(asked):
        return await asked.plan_async(*spread(request), 30.0, num_inference_steps=2)

    in_rclpy = finish(graph.executor._executor.create_task(ask(client)))
    in_asyncio = asyncio.run(asyncio.wait_for(ask(client), 30.0))
    in_asyncio_alone = asyncio.run(asyncio.wait_for(ask(loner), 30.0))

    assert stages[0] == "queued"
    assert "denoise" in stages
    for plan in (blocking, alone, called[0], in_rclpy, in_asyncio, in_asyncio_alone):
        assert isinstance(plan, InteractionPlan)
        assert plan.request.prompt == request.prompt


def test_asyncio_that_gives_up_cancels_the_goal(graph, loner):
    graph.start()

    async def ask():
        future = loner.request_plan_async(make_goal(num_inference_steps=100), 60.0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(future, 1.0)
        with pytest.raises(CanceledError, match="got a cancel"):
            await future

    asyncio.run(ask())


def test_rejection_says_why(graph, client):
    graph.start()
    first = start_goal(client)
    with pytest.raises(PlanRejectedError, match="BUSY: another goal is running") as caught:
        client.request_plan(make_goal(), 30.0)
    assert caught.value.code is ErrorCode.BUSY
    client.cancel()
    with pytest.raises(CanceledError):
        finish(first)
    assert graph.planner.trigger_deactivate()
    with pytest.raises(PlanRejectedError, match="NOT_READY: the node was deactivated") as caught:
        client.request_plan(make_goal(), 30.0)
    assert caught.value.code is ErrorCode.NOT_READY


def test_rejection_without_a_word_names_the_log():
    error = PlanRejectedError("")
    assert error.code is ErrorCode.BUSY
    assert "the planner's log names the reason" in str(error)


def test_cancel_before_the_planner_is_there(client):
    future = client.request_plan_async(make_goal(), 60.0)
    client.cancel()
    with pytest.raises(CanceledError, match="before it began"):
        finish(future)
    timer = threading.Timer(0.2, client.cancel)
    timer.start()
    with pytest.raises(CanceledError, match="before it began"):
        client.wait_for_planner(30.0)
    # What is asked for after the cancel is not touched by it.
    with pytest.raises(PlanTimeoutError, match=r"a planner must be there within 0\.1 s"):
        client.request_plan(make_goal(), 0.1)


def test_progress_callback_that_fails_cancels_and_is_raised(graph, client):
    graph.start()

    def fail(progress):
        raise LookupError("my own bug")

    with pytest.raises(LookupError, match="my own bug"):
        client.request_plan(make_goal(num_inference_steps=100), 60.0, on_progress=fail)
    assert client.request_plan(make_goal(), 30.0).touches_target


def test_node_that_was_spun_once_is_spun_by_the_client(graph, loner):
    graph.start()
    # The executor keeps the node's reference alive, as rclpy's global one does.
    executor = SingleThreadedExecutor(context=graph.context)
    rclpy.spin_once(loner.node, executor=executor, timeout_sec=0.01)
    assert loner.node.executor is executor
    assert loner.request_plan(make_goal(num_inference_steps=1), 20.0).touches_target
    executor.shutdown()


def test_shutdown_of_the_context_ends_the_wait(graph):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("leaver", context=context)
    leaver = PlanClient(node)
    timer = threading.Timer(0.3, rclpy.shutdown, kwargs={"context": context})
    timer.start()
    with pytest.raises(ServerLostError, match="must stay in ROS"):
        leaver.request_plan(make_goal(), 20.0)
    timer.join()


def test_destroyed_client_ends_its_goal(graph):
    graph.start()
    leaver = PlanClient(graph.node)
    future = start_goal(leaver)
    leaver.destroy()
    with pytest.raises(CanceledError, match="destroyed client"):
        future.result()
    wait_for(lambda: graph.planner._runner.last_plan)
    assert graph.planner._runner.last_plan.code is ErrorCode.CANCELED


@pytest.mark.parametrize(
    ("is_known", "timeout_sec", "kind"),
    [
        (False, 0.5, PlanTimeoutError),
        (True, 0.5, PlanTimeoutError),
        # By then the heartbeats are missed that nobody takes.
        (True, 10.0, ServerLostError),
    ],
)
def test_blocking_call_in_a_callback_ends_with_advice(graph, is_known, timeout_sec, kind):
    graph.start()
    node = rclpy.create_node("blocked", context=graph.context)
    blocked, caught = PlanClient(node), []
    if is_known:
        blocked.wait_for_planner(20.0)

    def ask():
        timer.cancel()
        try:
            blocked.request_plan(make_goal(), timeout_sec)
        except (PlanTimeoutError, ServerLostError) as error:
            caught.append(error)

    timer = node.create_timer(0.01, ask, callback_group=MutuallyExclusiveCallbackGroup())
    executor = SingleThreadedExecutor(context=graph.context)
    executor.add_node(node)
    deadline = time.monotonic() + 20.0
    while not caught and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    blocked.destroy()
    node.destroy_node()
    assert isinstance(caught[0], kind)
    assert "n a callback use plan_async" in str(caught[0])


def test_two_threads_wait_on_a_node_that_nobody_spins(graph, loner):
    graph.start(goal_time_limit_sec=30.0)
    codes: list[object] = []

    def ask(steps):
        try:
            codes.append(loner.request_plan(make_goal(num_inference_steps=steps), 20.0).error_code)
        except PlanRejectedError as error:
            codes.append(error.code)

    # The one that spins the node for both is refused and leaves first.
    threads = [threading.Thread(target=ask, args=(steps,)) for steps in (12, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert sorted(codes) == [ErrorCode.NONE, ErrorCode.BUSY]


def test_waiting_client_says_that_it_is_there(graph, client):
    graph.start()
    heard = graph.subscribe(UUID, "planner/keep_alive")
    wait_for(lambda: graph.node.count_publishers("planner/keep_alive"))
    goal = make_goal(num_inference_steps=60)
    # A loaded machine has been seen to hold this process up for half a second.
    goal.keep_alive_sec = 2.0
    client.request_plan(goal, 30.0)
    # 3 s and more at one per 0.4 s; on a slow machine fewer.
    assert len(heard) >= 4
    assert len({bytes(message.uuid) for message in heard}) == 1


@pytest.mark.parametrize("keep_alive_sec", [0.05, -1.0, float("nan"), float("inf")])
def test_keep_alive_has_a_range(graph, keep_alive_sec):
    with pytest.raises(ConfigError, match=r"keep_alive_sec must be 0 or at least 0\.1"):
        PlanClient(graph.node, keep_alive_sec=keep_alive_sec)


def test_many_goals_leave_nothing_behind(graph, client):
    graph.start()
    client.request_plan(make_goal(num_inference_steps=1), 30.0)
    refused = make_goal(num_inference_steps=1)
    for number in range(12):
        running = start_goal(client, num_steps=4)
        if number % 3 == 1:
            with pytest.raises(PlanRejectedError):
                client.request_plan(refused, 30.0, on_progress=lambda _: None)
        elif number % 3 == 2:
            running.cancel()
        wait_for(running.done)
        assert running.exception() is None or isinstance(running.exception(), CanceledError)
    actions = client._link.actions
    for name, kept in vars(actions).items():
        if isinstance(kept, dict):
            wait_for(lambda kept=kept: not kept)
            assert not kept, name
    assert not client._pending
    wait_for(client._link._timer.is_canceled)
    assert "plan" not in {thread.name for thread in threading.enumerate()}


def test_failed_plan_carries_its_code_in_every_form(graph, client):
    graph.start()
    goal = make_goal(prompt="nan at denoise")
    future = client.request_plan_async(goal, 30.0)
    with pytest.raises(PlanFailedError, match="NON_FINITE: latents must be finite") as caught:
        finish(future)
    assert caught.value.code is ErrorCode.NON_FINITE


def test_quick_restart_is_noticed_even_when_the_count_goes_on(graph):
    heartbeat = Heartbeat(graph.node, "young/heartbeat", graph.group)
    first = graph.publisher(UInt64, "young/heartbeat")
    first.publish(UInt64(data=2))
    wait_for(lambda: heartbeat.is_heard)
    heartbeat.check(0)
    second = graph.publisher(UInt64, "young/heartbeat")
    deadline = time.monotonic() + 10.0
    while not heartbeat.num_restarts and time.monotonic() < deadline:
        second.publish(UInt64(data=3))
        time.sleep(0.05)
    with pytest.raises(ServerLostError, match="got a new planner process"):
        heartbeat.check(0)
    heartbeat.check(heartbeat.num_restarts)
    heartbeat.destroy()


def test_refusals_of_before_are_not_taken_for_ones_own(graph, client):
    teller = graph.publisher(String, "planner/refusal")
    teller.publish(String(data="BUSY: an old one"))
    wait_for(lambda: client._link.num_refusals)
    assert client._link.find_refusal(client._link.num_refusals) is None
    assert client._link.find_refusal(0) == "BUSY: an old one"
