"""Feedback of one goal."""

from __future__ import annotations

import dataclasses
import time

from rclpy.action.server import ServerGoalHandle

from tavid_core.types import PlanProgress
from tavid_ros import conversions

__all__ = ["GoalFeedback"]

_QUEUED = PlanProgress(stage="queued", step=0, total_steps=0, elapsed_sec=0.0)
# A step of a large model takes many seconds, and who waits wants to see that the clock runs.
_REPEAT_SEC = 1.0


class GoalFeedback:
    """Sends feedback: every new stage at once, steps at most at the rate, a long step repeatedly.

    Args:
        goal_handle: The goal.
        accepted_sec: When it was accepted, steady clock.
        rate_hz: Most messages per second.
    """

    def __init__(self, goal_handle: ServerGoalHandle, accepted_sec: float, rate_hz: float) -> None:
        self._goal_handle = goal_handle
        self._accepted_sec = accepted_sec
        self._period_sec = 1.0 / rate_hz
        self._last: PlanProgress | None = None
        self._last_step_sec = self._last_sec = 0.0

    def tell_queued(self) -> None:
        """Say that the goal waits for its turn or for the worker."""
        self.tell(_QUEUED)

    def tell(self, progress: PlanProgress) -> None:
        """Send progress, if it is new or due.

        Args:
            progress: Of the worker.
        """
        now_sec = time.monotonic()
        is_new_stage = self._last is None or progress.stage != self._last.stage
        is_due = now_sec - self._last_sec >= self._period_sec
        self._last, self._last_step_sec = progress, now_sec
        if is_new_stage or is_due:
            self._send(progress, now_sec)

    def repeat(self) -> None:
        """Say once a second, at most at the rate, how the time of a long step passes."""
        now_sec = time.monotonic()
        if self._last is None or now_sec - self._last_sec < max(_REPEAT_SEC, self._period_sec):
            return
        progress, passed_sec = self._last, now_sec - self._last_step_sec
        if progress.remaining_sec is not None:
            left_sec = max(0.0, progress.remaining_sec - passed_sec)
            progress = dataclasses.replace(progress, remaining_sec=left_sec)
        self._send(progress, now_sec)

    def _send(self, progress: PlanProgress, now_sec: float) -> None:
        self._last_sec = now_sec
        since_accepted = dataclasses.replace(progress, elapsed_sec=now_sec - self._accepted_sec)
        self._goal_handle.publish_feedback(conversions.feedback_from_progress(since_accepted))
