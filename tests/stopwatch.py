"""A clock for tests that say how soon something must answer."""

from __future__ import annotations

import threading
import time

__all__ = ["Stopwatch"]

TICK_SEC = 0.005
LONGEST_TICK_SEC = 0.02


class Stopwatch:
    """Measures time in which this machine ran at all.

    A machine that is shared stands still for seconds now and then, and no program on it can answer
    meanwhile. So time is counted in ticks of a thread that only sleeps: however long a tick took,
    it counts for `LONGEST_TICK_SEC` at most. On a machine that runs, this is a wall clock's time.
    """

    def __init__(self) -> None:
        self._elapsed_sec = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Stop counting and return the seconds since the start."""
        self._is_over.set()
        self._thread.join()
        return self._elapsed_sec

    def _tick(self) -> None:
        last_sec = time.monotonic()
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(TICK_SEC)
            now_sec = time.monotonic()
            self._elapsed_sec += min(now_sec - last_sec, LONGEST_TICK_SEC)
            last_sec = now_sec
