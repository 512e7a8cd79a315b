"""Every goal that was accepted, and how often each one ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from action_msgs.msg import GoalStatus, GoalStatusArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from tavid.action import PlanInteraction

from benchmarks.rig import BenchmarkError, Moment, Rig
from tavid_core.errors import ErrorCode
from tavid_ros.action_client import SafeActionClient

__all__ = ["Goal", "GoalLedger"]

_TERMINAL = (
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_CANCELED,
    GoalStatus.STATUS_ABORTED,
)
_ANSWER_SEC = 30.0
_END_SEC = 120.0
_POLL_SEC = 0.005


class Goal:
    """One goal that was accepted.

    Args:
        client: That sends it.
        message: What to plan.
    """

    def __init__(self, client: SafeActionClient, message: PlanInteraction.Goal) -> None:
        self._stages: list[str] = []
        future = client.send_goal_async(
            message, feedback_callback=lambda told: self._stages.append(told.feedback.stage)
        )
        self._handle = Moment(future).wait(_ANSWER_SEC)
        self.is_accepted = self._handle.accepted
        self.identity = bytes(self._handle.goal_id.uuid)
        self._response = self._handle.get_result_async() if self.is_accepted else None

    @property
    def is_over(self) -> bool:
        """Whether its result is there."""
        return self._response.done()

    def wait_stage(self, stage: str) -> None:
        """Wait until the goal is in a stage, or over.

        Args:
            stage: As in the feedback.
        """
        deadline_sec = time.monotonic() + _END_SEC
        while stage not in self._stages and not self.is_over and time.monotonic() < deadline_sec:
            time.sleep(_POLL_SEC)

    def cancel(self) -> bool:
        """Cancel it, and wait for the acknowledgement.

        Returns:
            Whether it is being canceled; a goal that is over is not.
        """
        answer = Moment(self._handle.cancel_goal_async()).wait(_ANSWER_SEC)
        return bool(answer.goals_canceling)

    def wait(self) -> PlanInteraction.Impl.GetResultService.Response:
        """Wait for the end.

        Returns:
            Status and result.

        Raises:
            BenchmarkError: If it does not come.
        """
        return Moment(self._response).wait(_END_SEC)


class GoalLedger:
    """Books goals; each must end exactly once.

    Args:
        rig: With a planner.

    Attributes:
        num_goals: Goals that were accepted.
        lost: What happened to each goal without exactly one end.
        wrong: What happened to each goal with another end than it should have.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._lock = threading.Lock()
        self._ends: dict[bytes, set[int]] = {}
        self._seen: set[bytes] = set()
        self.num_goals = 0
        self.lost: list[str] = []
        self.wrong: list[str] = []
        # The node's own account, which covers goals of clients that are gone too.
        rig.node.create_subscription(
            GoalStatusArray,
            "plan_interaction/_action/status",
            self._hear,
            QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL),
            callback_group=rig.group,
        )

    def _hear(self, message: GoalStatusArray) -> None:
        for item in message.status_list:
            goal_id = bytes(item.goal_info.goal_id.uuid)
            with self._lock:
                self._seen.add(goal_id)
            if item.status in _TERMINAL:
                self._book(goal_id, item.status)

    def _book(self, goal_id: bytes, status: int) -> None:
        with self._lock:
            ends = self._ends.setdefault(goal_id, set())
            ends.add(status)
            is_second = len(ends) == 2
        if is_second:
            self.lost.append(f"goal {goal_id.hex()} ended in two ways: {sorted(ends)}")

    def run(
        self,
        name: str,
        message: PlanInteraction.Goal,
        codes: tuple[ErrorCode, ...],
        disturb: Callable[[Goal], tuple[ErrorCode, ...] | None] = lambda _: None,
    ) -> None:
        """Send a goal, disturb it, and book its end.

        Args:
            name: What the books call it.
            message: What to plan.
            codes: Of the ends that are right.
            disturb: Called while it runs; may return other codes that are right now.
        """
        try:
            goal = Goal(self._rig.client, message)
            if not goal.is_accepted:
                self.wrong.append(f"{name}: rejected")
                return
            self.num_goals += 1
            codes = disturb(goal) or codes
            response = goal.wait()
        except BenchmarkError as error:
            self.lost.append(f"{name}: {error}")
            return
        self._book(goal.identity, response.status)
        code = ErrorCode(response.result.error_code)
        if code not in codes or response.status not in _TERMINAL:
            self.wrong.append(
                f"{name}: status {response.status}, {code.name}: {response.result.error_msg}"
            )

    def known_ids(self) -> set[bytes]:
        """Tell which goals the planner has shown.

        Returns:
            Their ids.
        """
        with self._lock:
            return self._seen.copy()

    def wait_new(self, before: set[bytes], timeout_sec: float) -> bytes | None:
        """Wait until the planner shows a goal that was not there before; it is booked then.

        Args:
            before: Of `known_ids`.
            timeout_sec: Longest wait.

        Returns:
            Its id, or None.
        """
        deadline_sec = time.monotonic() + timeout_sec
        while time.monotonic() < deadline_sec:
            new = self.known_ids() - before
            if new:
                self.num_goals += 1
                return new.pop()
            time.sleep(_POLL_SEC)
        return None

    def wait_end(self, name: str, goal_id: bytes) -> None:
        """Wait until the planner shows the end of a goal whose client is gone.

        Args:
            name: What the books call it.
            goal_id: Of `wait_new`.
        """
        deadline_sec = time.monotonic() + _END_SEC
        while time.monotonic() < deadline_sec:
            with self._lock:
                if self._ends.get(goal_id):
                    return
            time.sleep(_POLL_SEC)
        self.lost.append(f"{name}: no end within {_END_SEC:g} s")
