"""One wrapper for callbacks: what fails is logged and counted, and the node lives on."""

from __future__ import annotations

import collections
import functools
import threading
import traceback
from collections.abc import Callable
from typing import Any

from rclpy._rclpy_pybind11 import InvalidHandle, RCLError
from rclpy.impl.rcutils_logger import RcutilsLogger

__all__ = ["CallbackGuard"]

# A timer that fails each time would fill the disk.
_NUM_LOGGED, _THEN_EVERY = 3, 100


class CallbackGuard:
    """Catches what callbacks raise.

    rclpy answers nobody when a callback fails: a client would wait for a service, a goal or a
    parameter without end. `wrap` gives such a callback an answer.

    Args:
        logger: Of the node.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._num_failures: collections.Counter[str] = collections.Counter()

    @property
    def num_failures(self) -> dict[str, int]:
        """How often which callback failed."""
        with self._lock:
            return dict(self._num_failures)

    def note(self, name: str, error: BaseException) -> None:
        """Log and count a failure, unless the node just took away what the callback was using.

        Args:
            name: Of the callback.
            error: What it raised.
        """
        if _is_of_destroyed(error):
            return
        with self._lock:
            self._num_failures[name] += 1
            count = self._num_failures[name]
        if count <= _NUM_LOGGED or count % _THEN_EVERY == 0:
            trace = "".join(traceback.format_exception(error))
            self._logger.error(f"{name} failed ({count} times so far):\n{trace}")

    def wrap(
        self,
        name: str,
        callback: Callable[..., Any],
        answer: Callable[[Exception], object] = lambda _: None,
    ) -> Callable[..., Any]:
        """Make a callback that does not raise.

        Args:
            name: For the log.
            callback: Any.
            answer: Makes the answer in place of that of a callback that failed.

        Returns:
            The callback to register.
        """

        @functools.wraps(callback)
        def guarded(*args: object) -> object:
            try:
                return callback(*args)
            except Exception as error:  # noqa: BLE001 - edge of the process: the node outlives it
                self.note(name, error)
                return answer(error)

        return guarded


def _is_of_destroyed(error: BaseException) -> bool:
    # The executor may be about to read from an entity while the node goes down; rclpy says so in
    # two ways.
    return isinstance(error, InvalidHandle) or (
        isinstance(error, RCLError) and "pointer is invalid" in str(error)
    )
