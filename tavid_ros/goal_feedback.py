"""Feedback of one goal."""

from __future__ import annotations

import dataclasses
import time

from rclpy.action.server import ServerGoalHandle

from tavid_core.types import PlanProgress
from tavid_ros import conversions

__all__ = ["GoalFeedback"]

_QUEUED = PlanProgress(stage="queued", step=0, total_steps=0, elapsed_sec=0.0)


class GoalFeedback:
    """Sends feedback: every new stage at once, steps at most at the rate.

    Args:
        goal_handle: The goal.
        accepted_sec: When it was accepted, steady clock.
        rate_hz: Most messages per second.
    """

    def __init__(self, goal_handle: ServerGoalHandle, accepted_sec: float, rate_hz: float) -> None:
        self._goal_handle = goal_handle
        self._accepted_sec = accepted_sec
        self._period_sec = 1.0 / rate_hz
        self._last_stage = ""
        self._last_sec = 0.0

    def tell_queued(self) -> None:
        """Say that the goal waits for its turn or for the worker."""
        self.tell(_QUEUED)

    def tell(self, progress: PlanProgress) -> None:
        """Send progress, if it is new or due.

        Args:
            progress: Of the worker.
        """
        now_sec = time.monotonic()
        is_due = now_sec - self._last_sec >= self._period_sec
        if progress.stage == self._last_stage and not is_due:
            return
        self._last_stage, self._last_sec = progress.stage, now_sec
        since_accepted = dataclasses.replace(progress, elapsed_sec=now_sec - self._accepted_sec)
        self._goal_handle.publish_feedback(conversions.feedback_from_progress(since_accepted))
