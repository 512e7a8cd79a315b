"""An executor on its own thread that outlives failing callbacks."""

from __future__ import annotations

import threading

from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from tavid_ros.callback_guard import CallbackGuard

__all__ = ["BackgroundExecutor"]

_STOP_SEC = 1.0


class BackgroundExecutor:
    """Spins nodes until it is stopped.

    rclpy leaves `spin` when a callback raises, and a lifecycle request that is not possible in the
    present state raises inside rclpy itself. Here such an error is logged and spinning goes on.

    Args:
        nodes: Nodes of one context.
        num_threads: For their callbacks.
        guard: Logs and counts; None = one of its own.
    """

    def __init__(self, *nodes: Node, num_threads: int, guard: CallbackGuard | None = None) -> None:
        self._executor = MultiThreadedExecutor(num_threads, context=nodes[0].context)
        self._guard = guard or CallbackGuard(nodes[0].get_logger())
        self._nodes = nodes
        for node in nodes:
            self._executor.add_node(node)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="executor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let running callbacks end, up to a second, and stop."""
        self._stopping.set()
        self._executor.shutdown(_STOP_SEC)
        self._thread.join(_STOP_SEC)
        for node in self._nodes:
            self._executor.remove_node(node)

    def _spin(self) -> None:
        context = self._nodes[0].context
        while not self._stopping.is_set() and context.ok():
            try:
                self._executor.spin()
            except Exception as error:  # noqa: BLE001 - edge of the process, as in CallbackGuard
                if not self._stopping.is_set() and context.ok():
                    self._guard.note("a callback", error)
