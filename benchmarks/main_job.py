"""Measure the main job: the demo, a plan, and how quickly a plan can be canceled.

    python -m benchmarks.main_job --json

Prints what it does, then one line of JSON:

- demo_seconds_warm: `make demo` in an environment that is already built.
- goal_to_result_seconds: median of the plans of a running planner, goal and result over DDS.
- cancel_ack_ms_*: from sending a cancel to its acknowledgement.
- canceled_ms_*: from sending a cancel to the result CANCELED.

Cancels come at random moments of a plan, all in one process that also spins the client. A plan that
fails ends the measurement: its times would be those of a failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action.client import ClientGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, TavidError
from tavid_ros.action_client import SafeActionClient
from tavid_ros.client import PlanClient, PlanTimeoutError
from tavid_ros.conversions import (
    header_from_stamp,
    message_from_depth,
    message_from_image,
    message_from_intrinsics,
    message_from_mask,
)
from tavid_ros.parameters import CameraParameters
from tavid_ros.processes import NodeProcess
from tavid_ros.sources import open_source
from tavid_ros.spinning import BackgroundExecutor

__all__ = ["BenchmarkError", "CancelTimes", "main"]

ROOT = Path(__file__).resolve().parent.parent
_WAIT_SEC = 600.0
_POLL_SEC = 1.0
_NUM_DOMAINS = 100
# A plan without an actor is planned to its end too.
_PLANNED = (ErrorCode.NONE, ErrorCode.NO_ACTOR)
# Of the delays at most one in twenty comes after the plan.
_TRIES_PER_CANCEL = 3


class BenchmarkError(TavidError):
    """What was to be measured did not happen."""


@dataclasses.dataclass(frozen=True)
class CancelTimes:
    """One cancel.

    Args:
        ack_ms: From sending to the acknowledgement.
        canceled_ms: From sending to the result.
    """

    ack_ms: float
    canceled_ms: float


class _Moment:
    """A future and when it was done."""

    def __init__(self, future: Future) -> None:
        self._future = future
        self._done = threading.Event()
        self.at_sec = 0.0
        future.add_done_callback(self._note)

    def _note(self, _: Future) -> None:
        self.at_sec = time.perf_counter()
        self._done.set()

    def wait(self) -> object:
        if not self._done.wait(_WAIT_SEC):
            raise BenchmarkError(
                f"an answer must come within {_WAIT_SEC:g} s, got none. See the planner's log."
            )
        return self._future.result()


def make_goal() -> PlanInteraction.Goal:
    """Make a goal of the default scene.

    Returns:
        A goal that needs no topics.
    """
    picture = next(open_source(CameraParameters()))
    header = header_from_stamp(1, "camera_optical_frame")
    return PlanInteraction.Goal(
        image=message_from_image(picture.image, header),
        target_mask=message_from_mask(picture.mask, header),
        depth=message_from_depth(picture.depth_m, header),
        camera_info=message_from_intrinsics(picture.intrinsics, header),
        prompt=picture.prompt,
    )


def measure_demo(folder: Path) -> float:
    """Time the demo from its first to its last line.

    Args:
        folder: Where its plan may go.

    Returns:
        Seconds.

    Raises:
        BenchmarkError: If the demo fails.
    """
    command = [sys.executable, "-m", "tavid_ros.demo", "--out", str(folder)]
    if (ROOT / "Makefile").exists() and shutil.which("make"):
        command = ["make", "--no-print-directory", "-C", str(ROOT), "demo", f"OUT={folder}"]
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_WAIT_SEC)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise BenchmarkError(
            f"the demo must end well, got exit status {done.returncode}. It said last:\n"
            f"{done.stderr[-2000:]}"
        )
    print(f"demo: {seconds:.1f} s; {done.stdout.strip().splitlines()[-1]}", flush=True)
    return seconds


@contextmanager
def run_planner(
    folder: Path, parameters: dict[str, str]
) -> Iterator[tuple[Node, SafeActionClient]]:
    """Start a planner process and a client node that spins.

    Args:
        folder: For its plans and log.
        parameters: Of the node.

    Yields:
        The client's node and action client.
    """
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % _NUM_DOMAINS)
    values = {"output_dir": str(folder), **parameters}
    with ExitStack() as stack:
        process = stack.enter_context(NodeProcess("tavid_ros.planner_node", values, folder))
        context = rclpy.Context()
        rclpy.init(context=context)
        stack.callback(rclpy.shutdown, context=context)
        node = rclpy.create_node("benchmark", context=context)
        stack.callback(node.destroy_node)
        client = SafeActionClient(
            node, PlanInteraction, "plan_interaction", callback_group=ReentrantCallbackGroup()
        )
        executor = BackgroundExecutor(node, num_threads=3)
        stack.callback(executor.stop)
        _wait_for_planner(node, process)
        yield node, client


def _wait_for_planner(node: Node, process: NodeProcess) -> None:
    waiter, deadline_sec = PlanClient(node), time.monotonic() + _WAIT_SEC
    try:
        while True:
            try:
                return waiter.wait_for_planner(_POLL_SEC)
            except PlanTimeoutError as error:
                if process.exit_status is not None or time.monotonic() > deadline_sec:
                    raise BenchmarkError(
                        f"the planner must come up within {_WAIT_SEC:g} s, got none. It said "
                        f"last:\n{process.read_log_tail()}"
                    ) from error
    finally:
        waiter.destroy()


def _send(client: SafeActionClient, goal: PlanInteraction.Goal) -> ClientGoalHandle:
    handle = _Moment(client.send_goal_async(goal)).wait()
    if not handle.accepted:
        raise BenchmarkError(
            "goal must be accepted, got a rejection. Is another client using this planner?"
        )
    return handle


def _check_planned(result: PlanInteraction.Result) -> ErrorCode:
    code = ErrorCode(result.error_code)
    if code not in _PLANNED:
        raise BenchmarkError(
            f"a plan must be made to be measured, got {code.name}: {result.error_msg}"
        )
    return code


def measure_plan(client: SafeActionClient, goal: PlanInteraction.Goal) -> float:
    """Time one plan from goal to result.

    Args:
        client: Of `run_planner`.
        goal: What to plan.

    Returns:
        Seconds.

    Raises:
        BenchmarkError: If it is rejected or fails.
    """
    start = time.perf_counter()
    result = _Moment(_send(client, goal).get_result_async())
    code = _check_planned(result.wait().result)
    seconds = result.at_sec - start
    print(f"plan: {seconds:.2f} s, {code.name}", flush=True)
    return seconds


def measure_cancel(
    client: SafeActionClient, goal: PlanInteraction.Goal, delay_sec: float
) -> CancelTimes | None:
    """Time one cancel.

    Args:
        client: Of `run_planner`.
        goal: What to plan.
        delay_sec: From the acceptance to the cancel.

    Returns:
        The times, or None if the plan was ready first.

    Raises:
        BenchmarkError: If it is rejected or fails.
    """
    handle = _send(client, goal)
    result = _Moment(handle.get_result_async())
    time.sleep(delay_sec)
    start = time.perf_counter()
    ack = _Moment(handle.cancel_goal_async())
    answer = ack.wait()
    response = result.wait()
    if not answer.goals_canceling or response.status != GoalStatus.STATUS_CANCELED:
        _check_planned(response.result)
        return None
    return CancelTimes(1000.0 * (ack.at_sec - start), 1000.0 * (result.at_sec - start))


def measure_cancels(
    client: SafeActionClient, goal: PlanInteraction.Goal, num_cancels: int, plan_sec: float
) -> list[CancelTimes]:
    """Time cancels at random moments of a plan.

    Args:
        client: Of `run_planner`.
        goal: What to plan.
        num_cancels: How many to time.
        plan_sec: How long a plan takes.

    Returns:
        One entry per cancel.

    Raises:
        BenchmarkError: If a goal is rejected or fails, or nearly all are ready before their cancel.
    """
    rng = np.random.default_rng(0)
    cancels: list[CancelTimes] = []
    for _ in range(_TRIES_PER_CANCEL * num_cancels):
        delay_sec = rng.uniform(0.0, 0.95 * plan_sec)
        times = measure_cancel(client, goal, delay_sec)
        if times is None:
            continue
        cancels.append(times)
        print(
            f"cancel {len(cancels)} after {delay_sec:.2f} s: acknowledged "
            f"{times.ack_ms:.1f} ms, canceled {times.canceled_ms:.1f} ms",
            flush=True,
        )
        if len(cancels) == num_cancels:
            return cancels
    raise BenchmarkError(
        f"{num_cancels} goals must be canceled within {_TRIES_PER_CANCEL * num_cancels} tries, got "
        f"{len(cancels)}. Is the plan shorter than the {plan_sec:.2f} s measured before?"
    )


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Measure everything.

    Args:
        options: Of the command line.

    Returns:
        Figures by name.
    """
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.skip_demo:
            figures["demo_seconds_warm"] = measure_demo(folder / "demo")
        parameters = {
            "backend": options.backend,
            "model": options.model,
            "adapter": options.adapter,
        }
        with run_planner(folder, parameters) as (_, client):
            goal = make_goal()
            # The first plan of a process is slower: caches fill, memory grows.
            measure_plan(client, goal)
            plans = [measure_plan(client, goal) for _ in range(options.plans)]
            figures["goal_to_result_seconds"] = statistics.median(plans)
            cancels = measure_cancels(
                client, goal, options.cancels, figures["goal_to_result_seconds"]
            )
    for field in dataclasses.fields(CancelTimes):
        values = [getattr(times, field.name) for times in cancels]
        figures[f"{field.name}_median"] = statistics.median(values)
        figures[f"{field.name}_max"] = max(values)
    names = {"ack_ms_median": "cancel_ack_ms_median", "ack_ms_max": "cancel_ack_ms_max"}
    return {names.get(name, name): round(value, 3) for name, value in figures.items()}


def main(args: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0, or 1 if something could not be measured.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.main_job", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON last")
    parser.add_argument("--cancels", type=int, default=50)
    parser.add_argument("--plans", type=int, default=3)
    parser.add_argument("--skip-demo", action="store_true")
    parser.add_argument("--backend", choices=("tavid", "fake"), default="tavid")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--adapter", default="default")
    options = parser.parse_args(args)
    if min(options.cancels, options.plans) < 1:
        parser.error("--cancels and --plans must be 1 or more")
    try:
        figures = measure(options)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name}: {value:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
