"""Why a goal has to end before its plan is ready."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.action.server import ServerGoalHandle

from tavid_core.errors import ErrorCode
from tavid_ros.goal_gate import GoalTicket
from tavid_ros.goal_outcome import GoalOutcome
from tavid_ros.keep_alive import KeepAlive, check_keep_alive

__all__ = ["GoalWatch"]


class GoalWatch:
    """Asked again and again while a goal waits and while it is planned.

    Args:
        goal_handle: The goal.
        ticket: Its place.
        keep_alive: What clients say.
        limit_sec: Longest time since its acceptance.
        find_interrupt: Tells whether the node wants all goals to end.

    Raises:
        InputError: If the goal's keep_alive_sec is unusable.
    """

    def __init__(
        self,
        goal_handle: ServerGoalHandle,
        ticket: GoalTicket,
        keep_alive: KeepAlive,
        limit_sec: float,
        find_interrupt: Callable[[], GoalOutcome | None],
    ) -> None:
        self._goal_handle = goal_handle
        self._ticket = ticket
        self._keep_alive = keep_alive
        self._limit_sec = limit_sec
        self._find_interrupt = find_interrupt
        self._longest_silence_sec = check_keep_alive(goal_handle.request.keep_alive_sec)

    @property
    def is_canceled(self) -> bool:
        """Whether a client asked the goal to stop."""
        return bool(self._goal_handle.is_cancel_requested)

    def find_end(self) -> GoalOutcome | None:
        """Tell whether the goal has to end now.

        Returns:
            Why, or None.
        """
        return (
            self._find_interrupt()
            or self._find_cancel()
            or self._find_successor()
            or self._find_overtime()
            or self._find_silence()
        )

    def _find_cancel(self) -> GoalOutcome | None:
        if not self.is_canceled:
            return None
        return GoalOutcome(ErrorCode.CANCELED, "plan was canceled. Ask again if that was not you.")

    def _find_successor(self) -> GoalOutcome | None:
        if not self._ticket.is_superseded:
            return None
        return GoalOutcome(
            ErrorCode.SUPERSEDED,
            "a plan must be of the newest goal, got a newer one. Wait for that one, or set "
            "goal_policy to queue.",
        )

    def _find_overtime(self) -> GoalOutcome | None:
        if time.monotonic() - self._ticket.accepted_sec <= self._limit_sec:
            return None
        return GoalOutcome(
            ErrorCode.TIMEOUT,
            f"a plan must be ready within {self._limit_sec:g} s, got no result. Ask for fewer "
            "steps or raise goal_time_limit_sec.",
        )

    def _find_silence(self) -> GoalOutcome | None:
        if self._longest_silence_sec is None:
            return None
        silence_sec = self._keep_alive.silence_sec(self._ticket.goal_id)
        if silence_sec <= self._longest_silence_sec:
            return None
        return GoalOutcome(
            ErrorCode.CLIENT_LOST,
            f"the client must be heard on ~/keep_alive every {self._longest_silence_sec:g} s, got "
            f"{silence_sec:.1f} s of silence. Publish the goal's id there, or send keep_alive_sec "
            "0.",
        )
