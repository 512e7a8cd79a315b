"""Other nodes of the same name, which answer the same goals."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

__all__ = ["Namesakes"]

# DDS shows a process that was killed for 20 s more.
_GHOST_SEC = 25.0
_LOG_PERIOD_SEC = 30.0


class Namesakes:
    """Looks for nodes with the name and namespace of this one, and warns of them.

    ROS forbids none. Both take each goal, request and parameter then, and which one answers is
    left to chance. Several planners need namespaces: `--ros-args -r __ns:=/left`.

    Args:
        node: This one.
        clock_sec: Steady clock, seconds.
    """

    def __init__(self, node: Node, clock_sec: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._clock_sec = clock_sec
        self._seen_since_sec: float | None = None
        self._logged_sec: float | None = None
        self._count = 0

    @property
    def count(self) -> int:
        """How many there were at the last look."""
        return self._count

    @property
    def is_certain(self) -> bool:
        """Whether they have been there for longer than a killed process is shown."""
        since_sec = self._seen_since_sec
        return since_sec is not None and self._clock_sec() - since_sec > _GHOST_SEC

    def look(self) -> None:
        """Look again."""
        own = (self._node.get_name(), self._node.get_namespace())
        count = self._node.get_node_names_and_namespaces().count(own) - 1
        self._count = max(0, count)
        if not self._count:
            self._seen_since_sec = self._logged_sec = None
            return
        now_sec = self._clock_sec()
        if self._seen_since_sec is None:
            self._seen_since_sec = now_sec
        if self._logged_sec is None or now_sec - self._logged_sec >= _LOG_PERIOD_SEC:
            self._logged_sec = now_sec
            self._log()

    def _log(self) -> None:
        name = self._node.get_fully_qualified_name()
        fact = f"a node name must be unique, got {self._count + 1} nodes named {name}. "
        advice = "Both take each goal. End one, or give it a namespace (-r __ns:=/left)."
        if self.is_certain:
            self._node.get_logger().error(fact + advice)
        else:
            self._node.get_logger().warning(
                f"{fact}If the other one was killed a moment ago, it vanishes within 20 s. {advice}"
            )
