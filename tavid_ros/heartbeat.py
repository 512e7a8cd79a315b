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
        # Kept, because a beat may be on its way to `_hear` while the subscription is destroyed.
        self._topic_name = self._subscription.topic_name
        self._is_destroyed = False
        self._last_beat = 0
        self._last_beat_sec: float | None = None
        self._publishers: set[bytes] = set()
        self._num_restarts = 0

    @property
    def is_heard(self) -> bool:
        """Whether a planner beats now."""
        heard_sec = self._last_beat_sec
        return heard_sec is not None and time.monotonic() - heard_sec <= _LOST_AFTER_SEC

    @property
    def num_restarts(self) -> int:
        """How often another process took over the beat; to be remembered when a goal is sent."""
        return self._num_restarts

    def destroy(self) -> None:
        """Take the subscription away."""
        self._is_destroyed = True
        self._node.destroy_subscription(self._subscription)

    def check(self, num_restarts: int) -> None:
        """Refuse to wait for a planner that is gone.

        Args:
            num_restarts: Of the moment when the goal was sent.

        Raises:
            ServerLostError: If it is silent, or is another process than at that moment.
        """
        silence_sec = time.monotonic() - (self._last_beat_sec or 0.0)
        if silence_sec > _LOST_AFTER_SEC:
            raise ServerLostError(
                f"the planner must send a heartbeat, got none for {silence_sec:.1f} s. "
                "It died or cannot be reached, so ask again when it is back; or this node is not "
                "spun, so in a callback use plan_async, not plan."
            )
        if self._num_restarts != num_restarts:
            raise ServerLostError(
                "the planner must outlive its goal, got a new planner process. Ask again; if this "
                "stays, two planners have one name: give each a namespace."
            )

    def _hear(self, beat: UInt64) -> None:
        if self._is_destroyed:
            return
        # The count begins anew with the process. One that died young and came back at once may
        # count on where the old one stopped, so that the publisher counts too.
        publishers = {
            bytes(info.endpoint_gid)
            for info in self._node.get_publishers_info_by_topic(self._topic_name)
        }
        is_other = bool(self._publishers) and not publishers <= self._publishers
        if beat.data < self._last_beat or is_other:
            self._num_restarts += 1
        if publishers:
            self._publishers = publishers
        self._last_beat, self._last_beat_sec = beat.data, time.monotonic()
