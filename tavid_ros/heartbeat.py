"""A planner's heartbeat, as its client hears it."""

from __future__ import annotations

import time

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import UInt64

from tavid_ros.client_errors import ServerLostError

__all__ = ["Heartbeat"]

# Six heartbeats; together with the client's poll a dead planner is noticed within two seconds.
_LOST_AFTER_SEC = 1.5


class Heartbeat:
    """Tells whether a planner lives; DDS would say so for 20 s after its death.

    Args:
        node: Of the caller.
        topic: Where the planner beats.
        callback_group: Of the subscription.
    """

    def __init__(self, node: Node, topic: str, callback_group: CallbackGroup) -> None:
        self._node = node
        self._subscription = node.create_subscription(
            UInt64, topic, self._hear, QoSProfile(depth=1), callback_group=callback_group
        )
        self._last_beat = 0
        self._last_beat_sec: float | None = None
        self._num_restarts = 0

    @property
    def is_heard(self) -> bool:
        """Whether there was a beat since the start or the last `forget_old`."""
        return self._last_beat_sec is not None

    def destroy(self) -> None:
        """Take the subscription away."""
        self._node.destroy_subscription(self._subscription)

    def forget_old(self) -> None:
        """Forget a planner that has been silent for too long."""
        heard_sec = self._last_beat_sec
        if heard_sec is not None and time.monotonic() - heard_sec > _LOST_AFTER_SEC:
            self._last_beat_sec = None

    def forget_restarts(self) -> None:
        """Take the planner that beats now for the one to watch."""
        self._num_restarts = 0

    def check(self) -> None:
        """Refuse to wait for a planner that is gone.

        Raises:
            ServerLostError: If it is silent, or is another process than at `forget_restarts`.
        """
        silence_sec = time.monotonic() - (self._last_beat_sec or 0.0)
        if silence_sec > _LOST_AFTER_SEC:
            raise ServerLostError(
                f"the planner must send a heartbeat, got none for {silence_sec:.1f} s. "
                "It died or cannot be reached; ask again when it is back."
            )
        if self._num_restarts:
            raise ServerLostError(
                "the planner must outlive its goal, got a new planner process. Ask again."
            )

    def _hear(self, beat: UInt64) -> None:
        # The count begins anew with the process.
        if beat.data < self._last_beat:
            self._num_restarts += 1
        self._last_beat, self._last_beat_sec = beat.data, time.monotonic()
