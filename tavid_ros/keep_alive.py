"""Which clients still say that they wait for their goal."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from unique_identifier_msgs.msg import UUID

from tavid_core.errors import InputError

__all__ = ["KEEP_ALIVE_TOPIC", "KeepAlive", "check_keep_alive"]

KEEP_ALIVE_TOPIC = "~/keep_alive"
_SHORTEST_SEC = 0.1
# Best effort hears every kind of publisher; a lost message is made up for by the next one.
_QOS = QoSProfile(depth=16, reliability=ReliabilityPolicy.BEST_EFFORT)


def check_keep_alive(keep_alive_sec: float) -> float | None:
    """Read what a goal says about its client's silence.

    Args:
        keep_alive_sec: As received.

    Returns:
        Longest silence, None for any.

    Raises:
        InputError: If it is no time, or shorter than a busy machine can keep.
    """
    if keep_alive_sec == 0.0:
        return None
    if not (math.isfinite(keep_alive_sec) and keep_alive_sec >= _SHORTEST_SEC):
        raise InputError(
            f"keep_alive_sec must be 0 or at least {_SHORTEST_SEC:g}, got {keep_alive_sec:g}. "
            "Use 0 for a client that may be silent, else some seconds."
        )
    return keep_alive_sec


class KeepAlive:
    """Listens to clients, and tells how long each has been silent.

    Args:
        node: That serves the action.
        clock_sec: Steady clock, seconds.
    """

    def __init__(self, node: Node, clock_sec: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._clock_sec = clock_sec
        self._lock = threading.Lock()
        self._heard_sec: dict[bytes, float] = {}
        # A group of its own: a client must not count as silent because others talk much.
        self._subscription = node.create_subscription(
            UUID,
            KEEP_ALIVE_TOPIC,
            self._hear,
            _QOS,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def destroy(self) -> None:
        """Take the topic away."""
        self._node.destroy_subscription(self._subscription)

    def watch(self, goal_id: bytes) -> None:
        """Begin with a goal; its client has just been heard.

        Args:
            goal_id: 16 bytes.
        """
        with self._lock:
            self._heard_sec[goal_id] = self._clock_sec()

    def forget(self, goal_id: bytes) -> None:
        """End with a goal.

        Args:
            goal_id: Of `watch`.
        """
        with self._lock:
            self._heard_sec.pop(goal_id, None)

    def silence_sec(self, goal_id: bytes) -> float:
        """Tell how long a goal's client has been silent.

        Args:
            goal_id: Of `watch`.

        Returns:
            Seconds; 0 for a goal that is not watched.
        """
        with self._lock:
            heard_sec = self._heard_sec.get(goal_id)
        return 0.0 if heard_sec is None else self._clock_sec() - heard_sec

    def _hear(self, message: UUID) -> None:
        goal_id = bytes(message.uuid)
        with self._lock:
            # Ids of others are not kept: anybody may send any number of them.
            if goal_id in self._heard_sec:
                self._heard_sec[goal_id] = self._clock_sec()
