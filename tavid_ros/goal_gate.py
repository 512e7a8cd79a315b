"""Who may plan: one goal at a time, the others are told why not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["GoalGate"]

# Between the answer to a goal and its hold lie milliseconds. If its client vanishes in between,
# rclpy never executes it; the place it took is free again after this time.
_RESERVATION_SEC = 2.0


class GoalGate:
    """Admits one goal at a time; closed at first.

    Args:
        clock_sec: Steady clock, seconds.
    """

    def __init__(self, clock_sec: Callable[[], float] = time.monotonic) -> None:
        self._clock_sec = clock_sec
        self._lock = threading.Lock()
        self._closed_because = "NOT_READY: the node is not active."
        self._holders: set[bytes] = set()
        self._reserved_until_sec: float | None = None
        self._last_refusal = ""

    @property
    def last_refusal(self) -> str:
        """Why the last goal was refused."""
        return self._last_refusal

    def open(self) -> None:
        """Admit goals from now on."""
        with self._lock:
            self._closed_because = ""

    def close(self, reason: str) -> None:
        """Refuse goals from now on.

        Args:
            reason: What they are told.
        """
        with self._lock:
            self._closed_because = f"NOT_READY: {reason}"

    def enter(self) -> str | None:
        """Ask for a goal to be admitted, and take its place.

        Returns:
            None if it is, else why not.
        """
        with self._lock:
            now_sec = self._clock_sec()
            is_reserved = self._reserved_until_sec is not None and (
                now_sec < self._reserved_until_sec
            )
            if self._closed_because:
                self._last_refusal = self._closed_because
            elif self._holders or is_reserved:
                self._last_refusal = (
                    "BUSY: another goal is running. Cancel it, or wait for its result."
                )
            else:
                self._reserved_until_sec = now_sec + _RESERVATION_SEC
                return None
            return self._last_refusal

    def hold(self, goal_id: bytes) -> None:
        """Keep the place while an admitted goal runs.

        On a machine that is short of time a reservation can run out before its goal comes. Then
        two goals are in, and the place is free when both have left.

        Args:
            goal_id: Of the goal.
        """
        with self._lock:
            self._holders.add(goal_id)
            self._reserved_until_sec = None

    def leave(self, goal_id: bytes) -> None:
        """Give the place back; a goal that does not hold it changes nothing.

        Args:
            goal_id: As for `hold`.
        """
        with self._lock:
            self._holders.discard(goal_id)
