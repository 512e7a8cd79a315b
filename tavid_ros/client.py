"""Ask a planner node for plans from a robot program.

    rclpy.init()
    node = rclpy.create_node("my_robot")
    client = PlanClient(node)
    plan = client.plan(image, mask, "the person lifts the mug", timeout_sec=60.0)
    client.destroy()

Every way in which a plan can fail is its own exception, and no call waits without end.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from action_msgs.msg import GoalStatus
from numpy.typing import NDArray
from rclpy.action.client import ClientGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from rclpy.utilities import remove_ros_args
from std_msgs.msg import Header
from tavid.action import PlanInteraction

from tavid_core.errors import CanceledError, ErrorCode, TavidError
from tavid_core.files import read_image, read_mask
from tavid_core.io import load_plan
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest
from tavid_ros import conversions
from tavid_ros.action_client import SafeActionClient
from tavid_ros.client_errors import (
    SAVING_IS_OFF,
    PlanFailedError,
    PlanRejectedError,
    PlanTimeoutError,
    PlanUnreachableError,
    ServerLostError,
    check_saved,
    path_from_uri,
)
from tavid_ros.heartbeat import Heartbeat
from tavid_ros.progress_bar import ProgressBar

__all__ = [
    "PlanClient",
    "PlanFailedError",
    "PlanRejectedError",
    "PlanTimeoutError",
    "PlanUnreachableError",
    "ServerLostError",
    "path_from_uri",
]

_POLL_SEC = 0.02
_SEND_TIMEOUT_SEC = 10.0


class PlanClient:
    """Sends goals to one planner node and waits for them.

    If nobody spins `node`, the calls do it themselves; else they wait for whoever does, and must
    not be made from one of the node's callbacks unless its executor has several threads.

    Args:
        node: Of the caller; stays theirs.
        action_name: Of the planner, in the caller's namespace.
        planner_name: Name of the planner node, for its heartbeat.
    """

    def __init__(
        self,
        node: Node,
        *,
        action_name: str = "plan_interaction",
        planner_name: str = "planner",
    ) -> None:
        self._node = node
        group = ReentrantCallbackGroup()
        self._client = SafeActionClient(node, PlanInteraction, action_name, callback_group=group)
        self._heartbeat = Heartbeat(node, f"{planner_name}/heartbeat", group)
        self._cancel_requested = threading.Event()

    def destroy(self) -> None:
        """Take the client's topics and services away."""
        self._heartbeat.destroy()
        self._client.destroy()

    def wait_for_planner(self, timeout_sec: float) -> None:
        """Wait until a planner is there and configured.

        Args:
            timeout_sec: Longest wait.

        Raises:
            PlanTimeoutError: If there is none in time.
            CanceledError: If `cancel` was called.
        """

        def is_over() -> bool:
            is_there = self._client.server_is_ready() and self._heartbeat.is_heard
            return is_there or self._cancel_requested.is_set()

        is_in_time = self._wait(is_over, time.monotonic() + timeout_sec)
        if self._cancel_requested.is_set():
            self._cancel_requested.clear()
            raise CanceledError("plan must not go on, got a cancel before it began. Ask again.")
        if not is_in_time:
            raise PlanTimeoutError(
                f"a planner must be there within {timeout_sec:g} s, got none. Is planner_node "
                "running, in this namespace and ROS_DOMAIN_ID, and has it loaded its model?"
            )

    def plan(
        self,
        image: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        prompt: str,
        timeout_sec: float,
        *,
        on_progress: Callable[[PlanProgress], None] | None = None,
        **fields: object,
    ) -> InteractionPlan:
        """Ask for a plan and wait for it.

        Args:
            image: RGB, uint8 (H, W, 3).
            mask: The target, bool (H, W).
            prompt: What should happen.
            timeout_sec: Longest wait; the goal is canceled then.
            on_progress: Called with the node's feedback, on the thread that spins the node.
            **fields: Further fields of `PlanRequest`, as depth_m, intrinsics, seed.

        Returns:
            The plan, read from the folder where the node saved it.

        Raises:
            InputError: If the request is unusable; nothing was sent.
            CanceledError: If `cancel` was called.
            PlanRejectedError: If the planner is busy or not active.
            PlanFailedError: If the planner failed; carries its code.
            PlanTimeoutError: If the time passed.
            ServerLostError: If the planner went away.
            PlanUnreachableError: If the plan was not saved, or its folder is not on this machine.
        """
        request = PlanRequest(image=image, target_mask=mask, prompt=prompt, **fields)
        goal = conversions.goal_from_request(request)
        result = self.request_plan(goal, timeout_sec, on_progress=on_progress)
        check_saved(result.plan_uri, result.error_msg)
        return self.load(result.plan_uri)

    def request_plan(
        self,
        goal: PlanInteraction.Goal,
        timeout_sec: float,
        *,
        on_progress: Callable[[PlanProgress], None] | None = None,
    ) -> PlanInteraction.Result:
        """Send a goal as it is and wait for its result.

        Args:
            goal: Empty fields mean the planner's topics and defaults.
            timeout_sec: Longest wait; the goal is canceled then, which takes milliseconds if all
                is well and is itself waited for at most 10 s.
            on_progress: As for `plan`.

        Returns:
            The result; its error_code is NONE.

        Raises:
            CanceledError: If `cancel` was called.
            PlanRejectedError: If the planner is busy or not active.
            PlanFailedError: If the planner failed; carries its code.
            PlanTimeoutError: If the time passed.
            ServerLostError: If the planner went away.
        """
        deadline_sec = time.monotonic() + timeout_sec
        self._heartbeat.forget_old()
        self.wait_for_planner(min(timeout_sec, _SEND_TIMEOUT_SEC))
        self._heartbeat.forget_restarts()
        try:
            handle = self._send(goal, on_progress, deadline_sec)
            response_future = handle.get_result_async()
            is_in_time = self._wait(
                lambda: response_future.done() or self._cancel_requested.is_set(),
                deadline_sec,
                must_live=True,
            )
            if not response_future.done():
                self._cancel_and_wait(handle, response_future)
        finally:
            self._cancel_requested.clear()
        return _judge(response_future.result(), timeout_sec, is_timeout=not is_in_time)

    def cancel(self) -> None:
        """Cancel the goal that another thread waits for; that wait raises `CanceledError`.

        With nobody waiting, the next wait is over at once.
        """
        self._cancel_requested.set()

    @staticmethod
    def load(plan_uri: str) -> InteractionPlan:
        """Read a saved plan.

        Args:
            plan_uri: Of a result or a `PlanFailedError`.

        Returns:
            The plan.

        Raises:
            PlanUnreachableError: If the folder is not on this machine.
            TavidError: If it is damaged.
        """
        return load_plan(path_from_uri(plan_uri))

    def _send(
        self,
        goal: PlanInteraction.Goal,
        on_progress: Callable[[PlanProgress], None] | None,
        deadline_sec: float,
    ) -> ClientGoalHandle:
        def forward(message: PlanInteraction.Impl.FeedbackMessage) -> None:
            on_progress(conversions.progress_from_feedback(message.feedback))

        callback = None if on_progress is None else forward
        future = self._client.send_goal_async(goal, feedback_callback=callback)
        start_sec, is_answered = time.monotonic(), False
        deadline_sec = min(deadline_sec, start_sec + _SEND_TIMEOUT_SEC)
        try:
            is_answered = self._wait(future.done, deadline_sec, must_live=True)
        finally:
            if not is_answered:
                # Accepted later, it would run for nobody and keep others out.
                future.add_done_callback(_cancel_late)
        if not is_answered:
            limit_sec = max(0.0, deadline_sec - start_sec)
            raise PlanTimeoutError(
                f"the planner must answer a goal within {limit_sec:.3g} s, got nothing. "
                "Is its image larger than the DDS transport allows? See config/fastdds_profile.xml."
            )
        handle = future.result()
        if not handle.accepted:
            raise PlanRejectedError(
                "goal must be accepted, got a rejection: the planner is busy or not active. "
                "Wait for the other goal, or cancel it; the planner's log names the reason."
            )
        return handle

    def _cancel_and_wait(self, handle: ClientGoalHandle, response_future: Future) -> None:
        handle.cancel_goal_async()
        if not self._wait(
            response_future.done, time.monotonic() + _SEND_TIMEOUT_SEC, must_live=True
        ):
            raise PlanTimeoutError(
                f"a canceled goal must end within {_SEND_TIMEOUT_SEC:g} s, got nothing. "
                "Restart the planner."
            )

    def _wait(
        self, is_over: Callable[[], bool], deadline_sec: float, *, must_live: bool = False
    ) -> bool:
        """Wait until something is over (True) or the deadline passed (False)."""
        executor = None
        if self._node.executor is None:
            executor = SingleThreadedExecutor(context=self._node.context)
            executor.add_node(self._node)
        try:
            while not is_over():
                if must_live:
                    self._heartbeat.check()
                if time.monotonic() >= deadline_sec:
                    return False
                if executor is None:
                    time.sleep(_POLL_SEC)
                else:
                    executor.spin_once(timeout_sec=_POLL_SEC)
            return True
        finally:
            if executor is not None:
                executor.remove_node(self._node)
                executor.shutdown()


def _cancel_late(future: Future) -> None:
    if not future.cancelled() and future.exception() is None and future.result().accepted:
        future.result().cancel_goal_async()


def _judge(
    response: PlanInteraction.Impl.GetResultService.Response,
    timeout_sec: float,
    *,
    is_timeout: bool,
) -> PlanInteraction.Result:
    result = response.result
    if response.status == GoalStatus.STATUS_SUCCEEDED:
        return result
    if response.status == GoalStatus.STATUS_CANCELED and is_timeout:
        raise PlanTimeoutError(
            f"a plan must be ready within {timeout_sec:g} s, got none. The goal was canceled; "
            "allow more time or ask for fewer steps."
        )
    if response.status == GoalStatus.STATUS_CANCELED:
        raise CanceledError("plan must not go on, got a cancel. Ask again.")
    if response.status == GoalStatus.STATUS_UNKNOWN:
        raise ServerLostError("the planner must know the goal, got an unknown one. Ask again.")
    known = {int(code) for code in ErrorCode}
    code = ErrorCode(result.error_code) if result.error_code in known else ErrorCode.UNKNOWN
    raise PlanFailedError(result.error_msg, code, result.plan_uri)


def _parse(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="client", description="Ask the planner for one plan and say where it is."
    )
    parser.add_argument("--prompt", default="", help="empty = the prompt topic's or the node's")
    parser.add_argument("--image", type=Path, help="JPEG or PNG; without it the topics are used")
    parser.add_argument("--mask", type=Path, help="of the image, white = target")
    parser.add_argument("--steps", type=int, default=0, help="denoising steps, 0 = default")
    parser.add_argument("--seed", type=int, default=0, help="0 = the node's default")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds")
    words = parser.parse_args(remove_ros_args(args)[1:] if args is None else args)
    if (words.image is None) != (words.mask is None):
        parser.error("--image and --mask go together")
    return words


def _make_goal(words: argparse.Namespace) -> PlanInteraction.Goal:
    goal = PlanInteraction.Goal(
        prompt=words.prompt, num_inference_steps=words.steps, seed=words.seed
    )
    if words.image is not None:
        image = read_image(words.image)
        mask = read_mask(words.mask, image.shape[:2])
        header = Header(frame_id="camera_optical_frame")
        goal.image = conversions.message_from_image(image, header)
        goal.target_mask = conversions.message_from_mask(mask, header)
    return goal


def main(args: list[str] | None = None) -> int:
    """Ask for one plan from the command line.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0 with a plan, 1 without.
    """
    words = _parse(args)
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("plan_client", context=context)
    client = PlanClient(node)
    # Who ends the program does not leave its goal behind.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: client.cancel())
    try:
        client.wait_for_planner(words.timeout)
        with ProgressBar(sys.stderr) as bar:
            result = client.request_plan(_make_goal(words), words.timeout, on_progress=bar.show)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        client.destroy()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    verdict = "target touched" if result.touches_target else "target not touched"
    unsaved = f"not saved: {result.error_msg or SAVING_IS_OFF}"
    print(f"{verdict}; plan {f'in {result.plan_uri}' if result.plan_uri else unsaved}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
