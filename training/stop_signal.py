"""A wish to stop, sent by a signal, that a training loop obeys after the micro-batch it is at."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

__all__ = ["StopSignal"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Remembers SIGTERM and Ctrl-C while it is entered; a second one acts as without it.

    Outside the main thread, where Python hears no signals, it never fires.

    Attributes:
        number: Of the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
            for number in SIGNALS:
                signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def is_set(self) -> bool:
        """Say whether one came."""
        return self.number != 0

    def _remember(self, number: int, _: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
