"""How goals ended since the node started."""

from __future__ import annotations

import collections
import statistics
import threading

from tavid_core.errors import ErrorCode

__all__ = ["GoalStatistics"]

_NUM_DURATIONS = 10
_PLANNED = (ErrorCode.NONE, ErrorCode.NO_ACTOR)


class GoalStatistics:
    """A thread-safe count of ends, and the durations of the last ten plans."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[ErrorCode] = collections.Counter()
        self._durations_sec: collections.deque[float] = collections.deque(maxlen=_NUM_DURATIONS)

    @property
    def counts(self) -> dict[ErrorCode, int]:
        """Number of goals by outcome; what never happened is missing."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    @property
    def median_sec(self) -> float | None:
        """Median duration of the last ten goals that got a plan, None before the first."""
        with self._lock:
            return statistics.median(self._durations_sec) if self._durations_sec else None

    def add(self, code: ErrorCode, duration_sec: float) -> None:
        """Count a goal.

        Args:
            code: Its outcome.
            duration_sec: From acceptance to its end; counts only if there was a plan.
        """
        with self._lock:
            self._counts[code] += 1
            if code in _PLANNED:
                self._durations_sec.append(duration_sec)
