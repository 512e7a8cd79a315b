"""Ctrl-C in a program that waits for a plan: the goal is canceled, and the wait ends in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from tavid_ros.stop_signal import SIGNALS, StopSignal

__all__ = ["CancelOnSignal"]

_AGAIN_SEC = 0.05


class CancelOnSignal:
    """Answers the first SIGINT or SIGTERM with a cancel; a second one acts as without it.

    Python's own answer to Ctrl-C, a `KeyboardInterrupt`, comes between any two instructions: also
    where rclpy has taken a message and not yet delivered it, between taking a lock and the block
    that releases it, or in a destructor, from which no exception gets out. Here the program goes on
    to the `CanceledError` of its wait. A context manager, for the main thread; on another thread,
    where Python hears no signals, it does nothing.

    Args:
        cancel: As `PlanClient.cancel`; called until the block is left, because a wait that begins a
            moment after the signal must end too.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._signal = StopSignal()
        self._is_over = threading.Event()
        self._before: dict[int, object] = {}
        self._thread = threading.Thread(target=self._run, name="cancel on signal", daemon=True)

    def __enter__(self) -> CancelOnSignal:
        self._thread.start()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
            for number in SIGNALS:
                signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        self._is_over.set()
        self._signal.set()
        self._thread.join()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._restore()
        self._signal.set()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _run(self) -> None:
        self._signal.wait()
        while not self._is_over.is_set():
            self._cancel()
            time.sleep(_AGAIN_SEC)
