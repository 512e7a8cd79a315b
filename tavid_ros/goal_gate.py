"""Who may plan: one goal at a time, by a policy one more may wait, the others are told why not."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable

__all__ = ["GoalGate", "GoalTicket"]

# Between the answer to a goal and its hold lie milliseconds. If its client vanishes in between,
# rclpy never executes it; the place it took is free again after this time.
_RESERVATION_SEC = 2.0
_NUM_PLACES = {"reject": 1, "queue": 2}


class GoalTicket:
    """The place of an accepted goal.

    Args:
        goal_id: 16 bytes.
        accepted_sec: Steady clock, seconds.

    Attributes:
        is_superseded: Whether a newer goal has taken the place.
    """

    def __init__(self, goal_id: bytes, accepted_sec: float) -> None:
        self.goal_id = goal_id
        self.accepted_sec = accepted_sec
        self.is_superseded = False


class GoalGate:
    """Admits goals by a policy; closed at first.

    The oldest goal inside runs, the next one waits. With the policy "newest" a goal that comes
    supersedes those before it, which leave within milliseconds.

    Args:
        clock_sec: Steady clock, seconds.
    """

    def __init__(self, clock_sec: Callable[[], float] = time.monotonic) -> None:
        self._clock_sec = clock_sec
        self._changed = threading.Condition()
        self._closed_because = "NOT_READY: the node is not active. Activate it and ask again."
        self._tickets: list[GoalTicket] = []
        self._reserved_until_sec: collections.deque[float] = collections.deque()
        self._last_refusal = ""

    @property
    def last_refusal(self) -> str:
        """Why the last goal was refused."""
        return self._last_refusal

    @property
    def num_inside(self) -> int:
        """Goals that run, wait, or are about to end."""
        return len(self._tickets)

    def open(self) -> None:
        """Admit goals from now on."""
        with self._changed:
            self._closed_because = ""

    def close(self, reason: str) -> None:
        """Refuse goals from now on.

        Args:
            reason: What they are told.
        """
        with self._changed:
            self._closed_because = f"NOT_READY: {reason}"

    def enter(self, policy: str) -> str | None:
        """Ask for a goal to be admitted, and take its place.

        Args:
            policy: "reject" (none beside another), "queue" (one may wait) or "newest" (always).

        Returns:
            None if it is, else why not.
        """
        with self._changed:
            now_sec = self._clock_sec()
            while self._reserved_until_sec and self._reserved_until_sec[0] <= now_sec:
                self._reserved_until_sec.popleft()
            num_taken = len(self._tickets) + len(self._reserved_until_sec)
            if self._closed_because:
                self._last_refusal = self._closed_because
            elif num_taken >= _NUM_PLACES.get(policy, num_taken + 1):
                others = "another goal is running" + (" and one waits" if num_taken > 1 else "")
                self._last_refusal = f"BUSY: {others}. Cancel it, or wait for its result."
            else:
                self._reserved_until_sec.append(now_sec + _RESERVATION_SEC)
                return None
            return self._last_refusal

    def hold(self, goal_id: bytes, policy: str) -> GoalTicket:
        """Keep the place of an admitted goal until it leaves.

        On a machine that is short of time a reservation can run out before its goal comes. Then
        one goal more is in than the policy wants; it waits too.

        Args:
            goal_id: Of the goal.
            policy: As for `enter`.

        Returns:
            Its place.
        """
        ticket = GoalTicket(goal_id, self._clock_sec())
        with self._changed:
            if self._reserved_until_sec:
                self._reserved_until_sec.popleft()
            if policy == "newest":
                for older in self._tickets:
                    older.is_superseded = True
            self._tickets.append(ticket)
        return ticket

    def is_first(self, ticket: GoalTicket) -> bool:
        """Tell whether it is a goal's turn.

        Args:
            ticket: Of `hold`.

        Returns:
            Whether no older goal is inside.
        """
        with self._changed:
            return bool(self._tickets) and self._tickets[0] is ticket

    def leave(self, ticket: GoalTicket) -> None:
        """Give a place back; a goal that has left changes nothing.

        Args:
            ticket: Of `hold`.
        """
        with self._changed:
            self._tickets = [other for other in self._tickets if other is not ticket]
            self._changed.notify_all()

    def wait_empty(self, timeout_sec: float) -> bool:
        """Wait until every goal has left.

        Args:
            timeout_sec: Longest wait.

        Returns:
            Whether all have.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._tickets, timeout_sec)
