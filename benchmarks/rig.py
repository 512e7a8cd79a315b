"""What the benchmarks of the nodes stand on: node processes, a client that spins, and moments."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import rclpy
from rclpy.action.client import ClientGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.qos import QoSProfile
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
from tavid_ros.ros_domain import RosDomain
from tavid_ros.sources import open_source
from tavid_ros.spinning import BackgroundExecutor

__all__ = ["BenchmarkError", "Moment", "Rig", "check_planned", "make_goal"]

WAIT_SEC = 600.0
_POLL_SEC = 1.0
# ROS's own depth of 10 loses requests on the client's side when many are sent at once.
_REQUEST_QOS = QoSProfile(depth=256)
# A plan without an actor is planned to its end too.
_PLANNED = (ErrorCode.NONE, ErrorCode.NO_ACTOR)


class BenchmarkError(TavidError):
    """What was to be measured did not happen."""


class Moment:
    """A future, and when it was done.

    Args:
        future: Of a node that spins.

    Attributes:
        at_sec: On `time.perf_counter`, 0 before.
    """

    def __init__(self, future: Future) -> None:
        self._future = future
        self._done = threading.Event()
        self.at_sec = 0.0
        future.add_done_callback(self._note)

    def _note(self, _: Future) -> None:
        self.at_sec = time.perf_counter()
        self._done.set()

    def wait(self, timeout_sec: float = WAIT_SEC) -> object:
        """Wait for the answer.

        Args:
            timeout_sec: Longest wait.

        Returns:
            The future's result.

        Raises:
            BenchmarkError: If it does not come.
        """
        if not self._done.wait(timeout_sec):
            raise BenchmarkError(
                f"an answer must come within {timeout_sec:g} s, got none. See the planner's log."
            )
        return self._future.result()


class Rig:
    """Node processes in a ROS domain of their own, and a client's node that spins.

    A context manager: whatever was started ends with it.

    Args:
        folder: For parameter files, logs and plans.

    Attributes:
        node: The client's.
        group: Reentrant, for what is added to the node.
        client: Of the action `plan_interaction`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._num_started = 0

    def __enter__(self) -> Rig:
        with ExitStack() as stack:
            before = os.environ.get("ROS_DOMAIN_ID")
            stack.callback(_set_domain, before)
            _set_domain(str(stack.enter_context(RosDomain()).number))
            context = rclpy.Context()
            rclpy.init(args=["--ros-args", "--disable-rosout-logs"], context=context)
            stack.callback(rclpy.shutdown, context=context)
            self.node = rclpy.create_node("benchmark", context=context)
            stack.callback(self.node.destroy_node)
            self.group = ReentrantCallbackGroup()
            self.client = SafeActionClient(
                self.node,
                PlanInteraction,
                "plan_interaction",
                callback_group=self.group,
                goal_service_qos_profile=_REQUEST_QOS,
            )
            stack.callback(self.client.destroy)
            executor = BackgroundExecutor(self.node, num_threads=3)
            stack.callback(executor.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def start(
        self, module: str, parameters: Mapping[str, bool | int | float | str] | None = None
    ) -> NodeProcess:
        """Start a node; it ends with the rig.

        Args:
            module: As "tavid_ros.camera_node".
            parameters: Of the node.

        Returns:
            Its process, which may not be up yet.
        """
        self._num_started += 1
        folder = self._folder / f"{self._num_started}-{module.rpartition('.')[2]}"
        folder.mkdir(parents=True)
        return self._stack.enter_context(NodeProcess(module, parameters or {}, folder))

    def start_planner(
        self,
        parameters: Mapping[str, bool | int | float | str],
        module: str = "tavid_ros.planner_node",
    ) -> NodeProcess:
        """Start a planner and wait until it takes goals.

        Args:
            parameters: Of the node; output_dir is in the rig's folder unless given.
            module: That makes it.

        Returns:
            Its process.

        Raises:
            BenchmarkError: If it does not come up.
        """
        process = self.start(module, {"output_dir": str(self._folder / "plans"), **parameters})
        waiter, deadline_sec = PlanClient(self.node), time.monotonic() + WAIT_SEC
        try:
            while True:
                try:
                    waiter.wait_for_planner(_POLL_SEC)
                    return process
                except PlanTimeoutError as error:
                    if process.exit_status is not None or time.monotonic() > deadline_sec:
                        raise BenchmarkError(
                            f"the planner must come up within {WAIT_SEC:g} s, got none. It said "
                            f"last:\n{process.read_log_tail()}"
                        ) from error
        finally:
            waiter.destroy()

    def find_service(self, kind: type, name: str) -> Client:
        """Make a client of a service and wait for the service.

        Args:
            kind: Service type.
            name: As "planner/get_state".

        Returns:
            The client; it ends with the rig.

        Raises:
            BenchmarkError: If there is no such service.
        """
        client = self.node.create_client(kind, name, callback_group=self.group)
        self._stack.callback(self.node.destroy_client, client)
        if not client.wait_for_service(60.0):
            raise BenchmarkError(f"service {name} must be there, got none. See the node's log.")
        return client

    def send(self, goal: PlanInteraction.Goal) -> ClientGoalHandle:
        """Send a goal that must be accepted.

        Args:
            goal: What to plan.

        Returns:
            Its handle.

        Raises:
            BenchmarkError: If it is rejected or not answered.
        """
        handle = Moment(self.client.send_goal_async(goal)).wait()
        check_accepted(handle)
        return handle


def _set_domain(domain: str | None) -> None:
    if domain is None:
        os.environ.pop("ROS_DOMAIN_ID", None)
    else:
        os.environ["ROS_DOMAIN_ID"] = domain


def check_accepted(handle: ClientGoalHandle) -> None:
    """Refuse to go on with a goal that was rejected.

    Args:
        handle: As answered.

    Raises:
        BenchmarkError: If it was rejected.
    """
    if not handle.accepted:
        raise BenchmarkError(
            "goal must be accepted, got a rejection. Is another client using this planner?"
        )


def check_planned(result: PlanInteraction.Result) -> ErrorCode:
    """Refuse to count a plan that was not planned to its end.

    Args:
        result: Of the goal.

    Returns:
        NONE or NO_ACTOR.

    Raises:
        BenchmarkError: If it failed.
    """
    code = ErrorCode(result.error_code)
    if code not in _PLANNED:
        raise BenchmarkError(
            f"a plan must be made to be measured, got {code.name}: {result.error_msg}"
        )
    return code


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
