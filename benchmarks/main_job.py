"""Measure the main job: the demo, a plan, and how quickly a plan can be canceled.

    python -m benchmarks.main_job --json

Prints what it does, then one line of JSON:

- demo_seconds_warm: `make demo` in an environment that is already built.
- goal_to_result_seconds: median of the plans of a running planner, goal and result over DDS.
- cancel_ack_ms_*: from sending a cancel to its acknowledgement.
- canceled_ms_*: from sending a cancel to the result CANCELED.

Cancels come at random moments of a plan, all in one process that also spins the client.
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
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from tavid.action import PlanInteraction

from tavid_ros.action_client import SafeActionClient
from tavid_ros.client import PlanClient
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

__all__ = ["CancelTimes", "main"]

ROOT = Path(__file__).resolve().parent.parent
_WAIT_SEC = 600.0
_NUM_DOMAINS = 100


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
            raise TimeoutError(f"an answer must come within {_WAIT_SEC:g} s, got none.")
        return self._future.result()


def make_goal() -> PlanInteraction.Goal:
    """Make a goal of the first shipped scene.

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
    """
    command = [sys.executable, "-m", "tavid_ros.demo", "--out", str(folder)]
    if (ROOT / "Makefile").exists() and shutil.which("make"):
        command = ["make", "--no-print-directory", "-C", str(ROOT), "demo", f"OUT={folder}"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_WAIT_SEC)
    seconds = time.perf_counter() - start
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
        stack.enter_context(NodeProcess("tavid_ros.planner_node", values, folder))
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
        waiter = PlanClient(node)
        waiter.wait_for_planner(_WAIT_SEC)
        waiter.destroy()
        yield node, client


def measure_plan(client: SafeActionClient, goal: PlanInteraction.Goal) -> float:
    """Time one plan from goal to result.

    Args:
        client: Of `run_planner`.
        goal: What to plan.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    handle = _Moment(client.send_goal_async(goal)).wait()
    result = _Moment(handle.get_result_async())
    response = result.wait()
    seconds = result.at_sec - start
    print(f"plan: {seconds:.2f} s, error code {response.result.error_code}", flush=True)
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
    """
    handle = _Moment(client.send_goal_async(goal)).wait()
    result = _Moment(handle.get_result_async())
    time.sleep(delay_sec)
    start = time.perf_counter()
    ack = _Moment(handle.cancel_goal_async())
    answer = ack.wait()
    response = result.wait()
    if not answer.goals_canceling or response.status != GoalStatus.STATUS_CANCELED:
        return None
    return CancelTimes(1000.0 * (ack.at_sec - start), 1000.0 * (result.at_sec - start))


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
            rng = np.random.default_rng(0)
            cancels: list[CancelTimes] = []
            while len(cancels) < options.cancels:
                delay_sec = rng.uniform(0.0, 0.95 * figures["goal_to_result_seconds"])
                times = measure_cancel(client, goal, delay_sec)
                if times is not None:
                    cancels.append(times)
                    print(
                        f"cancel {len(cancels)} after {delay_sec:.2f} s: acknowledged "
                        f"{times.ack_ms:.1f} ms, canceled {times.canceled_ms:.1f} ms",
                        flush=True,
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
        0.
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
    figures = measure(options)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name}: {value:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
