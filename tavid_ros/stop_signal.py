"""The wish that a program ends, made by SIGINT, SIGTERM or one of its threads."""

from __future__ import annotations

import contextlib
import queue
import signal

__all__ = ["SIGNALS", "StopSignal"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Remembers the wish to end and wakes the one thread that waits for it.

    Not a `threading.Event`: setting one takes a lock, which the wait that a signal handler
    interrupts may hold, and then neither goes on. Putting into a `SimpleQueue` is made for that.
    """

    def __init__(self) -> None:
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_set = False

    def listen(self) -> None:
        """Be set by SIGINT and SIGTERM from now on; only in the main thread."""
        for number in SIGNALS:
            signal.signal(number, lambda *_: self.set())

    def set(self) -> None:
        """Wish that the program ends: in a signal handler or on any thread."""
        self._is_set = True
        self._wakes.put(None)

    def is_set(self) -> bool:
        """Say whether it was wished."""
        return self._is_set

    def wait(self, timeout_sec: float | None = None) -> bool:
        """Wait for the wish, on one thread.

        Args:
            timeout_sec: Longest wait; None = without end.

        Returns:
            Whether it was wished.
        """
        if not self._is_set:
            with contextlib.suppress(queue.Empty):
                self._wakes.get(timeout=timeout_sec)
        return self._is_set
