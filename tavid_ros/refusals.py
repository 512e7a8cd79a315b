"""Why goals were rejected: a rejected goal has no result in ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.node import Node
from std_msgs.msg import String

__all__ = ["Refusals"]

_LOG_PERIOD_SEC = 1.0


class Refusals:
    """Tells each refusal on `~/refusal`, and in the log the same reason at most once a second.

    A line of the log takes rclpy longer than the refusal itself, so that in a flood of goals the
    log is what the last one would wait for.

    Args:
        node: That refuses.
        clock_sec: Steady clock, seconds.
    """

    def __init__(self, node: Node, clock_sec: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._clock_sec = clock_sec
        self._publisher = node.create_publisher(String, "~/refusal", 10)
        self._lock = threading.Lock()
        self._last_reason = ""
        self._last_sec = 0.0
        self._num_untold = 0

    def destroy(self) -> None:
        """Take the topic away."""
        self._node.destroy_publisher(self._publisher)

    def tell(self, refusal: str) -> None:
        """Tell why a goal was rejected.

        Args:
            refusal: As "CODE: reason".
        """
        self._publisher.publish(String(data=refusal))
        with self._lock:
            now_sec = self._clock_sec()
            if refusal == self._last_reason and now_sec - self._last_sec < _LOG_PERIOD_SEC:
                self._num_untold += 1
                return
            num_untold, self._num_untold = self._num_untold, 0
            self._last_reason, self._last_sec = refusal, now_sec
        more = f" ({num_untold} more rejected before it)" if num_untold else ""
        self._node.get_logger().warning(f"goal rejected, {refusal}{more}")
