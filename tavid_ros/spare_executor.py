"""Spinning for a node that nobody else spins."""

from __future__ import annotations

import time
from types import TracebackType

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

__all__ = ["SpareExecutor"]


class SpareExecutor:
    """Spins a node while it has no executor; a context manager.

    Whoever spins it first keeps it, and when they stop before the wait is over, this one goes on.

    Args:
        node: Of the caller.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._executor: SingleThreadedExecutor | None = None

    def __enter__(self) -> SpareExecutor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._executor is not None:
            if self._node.executor is self._executor:
                self._node.executor = None
            self._executor.shutdown()

    def wait(self, timeout_sec: float) -> None:
        """Spin once if nobody else does, else sleep.

        Args:
            timeout_sec: Longest time spent here.
        """
        if not self._spin_once(timeout_sec):
            time.sleep(timeout_sec)

    def spin_what_is_ready(self) -> None:
        """Run one callback that is ready, without waiting, if nobody else spins."""
        self._spin_once(0.0)

    def _spin_once(self, timeout_sec: float) -> bool:
        if not self._node.context.ok():
            return False
        owner = self._node.executor
        # rclpy.spin_once and its like leave the node pointing at an executor that has let it go.
        if owner is None or self._node not in owner.get_nodes():
            if self._executor is None:
                self._executor = SingleThreadedExecutor(context=self._node.context)
            self._executor.add_node(self._node)
        if self._executor is None or self._node.executor is not self._executor:
            return False
        try:
            self._executor.spin_once(timeout_sec=timeout_sec)
        except ExternalShutdownException:
            return False
        return True
