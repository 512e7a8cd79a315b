"""The planner as a process: signals, exit status, orphans, and a client that sees it die."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

from tavid_core.errors import CanceledError, ErrorCode, InputError
from tavid_ros import conversions
from tavid_ros.client import (
    PlanClient,
    PlanFailedError,
    PlanRejectedError,
    PlanTimeoutError,
    PlanUnreachableError,
    ServerLostError,
    path_from_uri,
)
from tavid_ros.processes import NodeProcess
from tavid_ros.ros_domain import RosDomain
from tavid_ros.spare_executor import SpareExecutor
from tests.ros.graph import WAIT_SEC, Graph, wait_for
from tests.ros.messages import make_request
from tests.stopwatch import Stopwatch

# Two seconds, and what a busy machine adds until the signal is heard and the end is seen.
LONGEST_END_SEC = 3.0
PARAMETERS = {"backend": "fake", "worker_niceness": 0}


def find_children(pid: int) -> list[int]:
    """Process ids of the direct children."""
    answer = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True)
    return [int(word) for word in answer.stdout.split()]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def start_planner(tmp_path, own_domain):
    processes = []

    def start(**parameters) -> NodeProcess:
        folder = tmp_path / str(len(processes))
        folder.mkdir()
        values = {**PARAMETERS, "output_dir": str(folder), **parameters}
        processes.append(NodeProcess("tavid_ros.planner_node", values, folder))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


@pytest.fixture
def own_domain(monkeypatch):
    """A DDS domain for one test: a killed planner haunts its domain for 20 s."""
    with RosDomain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain.number))
        yield


@pytest.fixture
def caller(own_domain):
    """A client in its own node, which nobody spins."""
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "--disable-rosout-logs"], context=context)
    node = rclpy.create_node("caller", context=context)
    client = PlanClient(node)
    yield client
    client.destroy()
    node.destroy_node()
    rclpy.shutdown(context=context)


def ask(client, timeout_sec=60.0, **fields):
    """Send a request as a goal."""
    goal = conversions.goal_from_request(make_request(**fields))
    return client.request_plan(goal, timeout_sec)


def wait_for_exit(process: NodeProcess, timeout_sec: float = WAIT_SEC) -> int:
    """Wait until a node has ended, and say what it said last if it does not."""
    try:
        wait_for(lambda: process.exit_status is not None, timeout_sec)
    except AssertionError:
        pytest.fail(f"the node did not end; it said last:\n{process.read_log_tail()}")
    return process.exit_status


def send_when(process: NodeProcess, stage: str, signal_number: int, hits: list):
    """Make a progress callback that sends a signal at a stage, once."""

    def on_progress(progress):
        if progress.stage == stage and not hits:
            hits.append(Stopwatch())
            os.kill(process.pid, signal_number)

    return on_progress


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_goal_process_and_worker_in_time(start_planner, caller, signal_number):
    planner = start_planner()
    caller.wait_for_planner(60.0)
    workers = find_children(planner.pid)
    assert len(workers) == 1
    hits: list[Stopwatch] = []
    goal = conversions.goal_from_request(make_request(num_inference_steps=100))
    with pytest.raises(PlanFailedError, match="the node is shutting down") as caught:
        caller.request_plan(
            goal, 60.0, on_progress=send_when(planner, "denoise", signal_number, hits)
        )
    assert caught.value.code is ErrorCode.SHUTTING_DOWN
    assert wait_for_exit(planner) == 0
    assert hits[0].stop() < LONGEST_END_SEC
    assert not is_alive(workers[0])


def test_signals_while_the_model_loads_end_the_process_without_a_fault(start_planner):
    planner = start_planner(model="slow")
    workers = wait_for(lambda: find_children(planner.pid))
    watch = Stopwatch()
    for _ in range(2):
        os.kill(planner.pid, signal.SIGINT)
        time.sleep(0.05)
    assert wait_for_exit(planner) == 0
    assert watch.stop() < LONGEST_END_SEC
    assert "Traceback" not in planner.read_log_tail()
    assert not is_alive(workers[0])


def test_signal_while_a_plan_is_published_lets_it_reach_its_client(start_planner, caller):
    planner = start_planner()
    caller.wait_for_planner(60.0)
    hits: list[Stopwatch] = []
    goal = conversions.goal_from_request(make_request(prompt="steps of 0 ms"))
    try:
        result = caller.request_plan(
            goal, 60.0, on_progress=send_when(planner, "lift", signal.SIGTERM, hits)
        )
        assert result.touches_target
    except PlanFailedError as error:
        assert error.code is ErrorCode.SHUTTING_DOWN  # noqa: PT017 - either end is right
    # Sent at the latest with the result: whatever is told before it reaches the caller.
    assert hits
    assert wait_for_exit(planner) == 0
    assert hits[0].stop() < LONGEST_END_SEC


def test_planner_that_is_killed_is_noticed_and_leaves_no_worker(start_planner, caller):
    planner = start_planner()
    caller.wait_for_planner(60.0)
    worker = find_children(planner.pid)[0]
    hits: list[Stopwatch] = []
    goal = conversions.goal_from_request(make_request(num_inference_steps=100))
    with pytest.raises(ServerLostError, match="must send a heartbeat, got none"):
        caller.request_plan(
            goal, 60.0, on_progress=send_when(planner, "denoise", signal.SIGKILL, hits)
        )
    assert hits[0].stop() < 3.0
    wait_for(lambda: not is_alive(worker), 2.0)


def test_without_autostart_a_lifecycle_manager_brings_the_node_up(start_planner, caller):
    planner = start_planner(autostart=False)
    node = caller._node
    states = node.create_client(GetState, "planner/get_state")
    changes = node.create_client(ChangeState, "planner/change_state")
    assert states.wait_for_service(60.0)
    assert ask_service(node, states, GetState.Request()).current_state.label == "unconfigured"
    assert find_children(planner.pid) == []
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert ask_service(node, changes, request).success
    assert ask(caller).touches_target


def ask_service(node, client, request):
    """Call a service of a node that nobody spins."""
    future = client.call_async(request)
    with SpareExecutor(node) as spare:
        wait_for(lambda: spare.wait(0.05) or future.done())
    return future.result()


@pytest.mark.parametrize(
    "parameters", [{"model": "missing"}, {"backend": "nonsense"}, {"executor_threads": 1}]
)
def test_unusable_parameters_end_the_process_with_one_line(start_planner, parameters):
    planner = start_planner(**parameters)
    assert wait_for_exit(planner, 60.0) == 1
    log = planner.read_log_tail()
    assert "Traceback" not in log
    assert "must" in log or "range" in log


def test_client_plans_and_loads_the_plan(start_planner, caller):
    start_planner()
    caller.wait_for_planner(60.0)
    request = make_request()
    progress = []
    plan = caller.plan(
        request.image,
        request.target_mask,
        request.prompt,
        60.0,
        on_progress=progress.append,
        depth_m=request.depth_m,
        intrinsics=request.intrinsics,
        num_inference_steps=3,
    )
    assert (plan.request.image == request.image).all()
    assert plan.motion.contact.touches_target
    assert {event.stage for event in progress} >= {"condition", "denoise", "decode", "lift"}
    with pytest.raises(PlanFailedError, match="NON_FINITE") as caught:
        ask(caller, prompt="nan at denoise")
    assert caught.value.code is ErrorCode.NON_FINITE
    with pytest.raises(PlanFailedError) as caught:
        ask(caller, prompt="no_actor at lift")
    assert not caller.load(caught.value.plan_uri).motion.has_actor
    with pytest.raises(PlanTimeoutError, match="a plan must be ready within 1 s"):
        ask(caller, timeout_sec=1.0, num_inference_steps=200)
    with pytest.raises(InputError, match="image must be uint8"):
        caller.plan(request.image.astype(float), request.target_mask, "x", 1.0)


def test_planner_that_comes_back_is_waited_for(start_planner, caller):
    killed = start_planner()
    caller.wait_for_planner(60.0)
    os.kill(killed.pid, signal.SIGKILL)
    # DDS still shows the server that was killed.
    start_planner()
    time.sleep(2.0)
    caller.wait_for_planner(60.0)
    assert ask(caller).touches_target


def test_client_without_a_planner_says_so(caller):
    with pytest.raises(PlanTimeoutError, match=r"a planner must be there within 0\.3 s"):
        caller.wait_for_planner(0.3)


def test_client_on_a_spinning_node_cancels_and_is_rejected(graph: Graph):
    graph.start()
    first, second = PlanClient(graph.node), PlanClient(graph.node)
    try:

        def on_progress(progress):
            if progress.stage == "denoise":
                with pytest.raises(PlanRejectedError, match="BUSY: another goal is running"):
                    ask(second)
                first.cancel()

        goal = conversions.goal_from_request(make_request(num_inference_steps=100))
        with pytest.raises(CanceledError):
            first.request_plan(goal, 60.0, on_progress=on_progress)
    finally:
        first.destroy()
        second.destroy()


@pytest.mark.parametrize("uri", ["", "http://robot/plan", "file:///nowhere/at/all", "file:"])
def test_other_uris_are_unreachable(uri):
    if uri == "file:":
        uri = "file:///etc/hostname"
    with pytest.raises(PlanUnreachableError, match="plan_uri must be a folder on this machine"):
        path_from_uri(uri)


def test_uris_with_odd_characters_come_back(tmp_path):
    folder = tmp_path / "a b%20#ü"
    folder.mkdir()
    assert path_from_uri(folder.as_uri()) == folder
