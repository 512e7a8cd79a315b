"""One moment of a camera's topics, for a client that fills its goal from them."""

from __future__ import annotations

import functools
import time

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, TavidError
from tavid_ros.conversions import nanoseconds_from_time

__all__ = ["Snapshot", "SnapshotTimeoutError"]

_TOPICS = {
    "image": Image,
    "target_mask": Image,
    "depth": Image,
    "camera_info": CameraInfo,
    "prompt": String,
}
_STAMPED = ("target_mask", "depth", "camera_info")
# Depth and prompt may never come; they get this long after image and mask are there.
_OPTIONAL_WAIT_SEC = 1.0
_POLL_SEC = 0.05


class SnapshotTimeoutError(TavidError, TimeoutError):
    """Image and mask did not come in time."""

    code = ErrorCode.STALE_INPUT


class Snapshot:
    """Listens to a camera's topics until image and mask of one stamp are there.

    Args:
        node: Of the caller; must not be spun by others meanwhile.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._latest: dict[str, Image | CameraInfo | String] = {}
        self._pair: dict[str, Image | CameraInfo | String] = {}
        qos = QoSProfile(
            depth=1,
            reliability=qos_profile_sensor_data.reliability,
            durability=qos_profile_sensor_data.durability,
        )
        group = ReentrantCallbackGroup()
        self._subscriptions = [
            node.create_subscription(
                kind, topic, functools.partial(self._put, topic), qos, callback_group=group
            )
            for topic, kind in _TOPICS.items()
        ]

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def fill(self, goal: PlanInteraction.Goal, timeout_sec: float) -> None:
        """Wait for image and mask of one stamp and put them, and what goes with them, into a goal.

        Args:
            goal: Changed in place; a prompt that it has stays.
            timeout_sec: Longest wait.

        Raises:
            SnapshotTimeoutError: If image or mask do not come, or never with one stamp.
        """
        executor = SingleThreadedExecutor(context=self._node.context)
        executor.add_node(self._node)
        try:
            deadline_sec = time.monotonic() + timeout_sec
            while "target_mask" not in self._pair and time.monotonic() < deadline_sec:
                executor.spin_once(timeout_sec=_POLL_SEC)
            deadline_sec = time.monotonic() + _OPTIONAL_WAIT_SEC
            while not self._is_complete() and time.monotonic() < deadline_sec:
                executor.spin_once(timeout_sec=_POLL_SEC)
        finally:
            executor.remove_node(self._node)
            executor.shutdown()
        if "target_mask" not in self._pair:
            missing = [topic for topic in ("image", "target_mask") if topic not in self._latest]
            raise SnapshotTimeoutError(
                f"image and target_mask must come within {timeout_sec:g} s with one stamp, got "
                f"{'no ' + ' and no '.join(missing) if missing else 'different stamps'}. "
                "Is camera_node running, and do its log and topics look right?"
            )
        for topic in ("image", *_STAMPED):
            if topic in self._pair:
                setattr(goal, topic, self._pair[topic])
        if not goal.prompt and "prompt" in self._latest:
            goal.prompt = self._latest["prompt"].data

    def _is_complete(self) -> bool:
        return {"image", *_STAMPED} <= self._pair.keys() and "prompt" in self._latest

    def _put(self, topic: str, message: Image | CameraInfo | String) -> None:
        self._latest[topic] = message
        image = self._latest.get("image")
        if topic == "prompt" or image is None:
            return
        stamp_ns = nanoseconds_from_time(image.header.stamp)
        pair = {"image": image}
        for name in _STAMPED:
            other = self._latest.get(name)
            if other is not None and nanoseconds_from_time(other.header.stamp) == stamp_ns:
                pair[name] = other
        if len(pair) > len(self._pair):
            self._pair = pair
