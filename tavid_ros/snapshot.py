"""One moment of a camera's topics, for a client that fills its goal from them."""

from __future__ import annotations

import functools
import time

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, TavidError
from tavid_ros.conversions import is_rectified_topic, rectify_camera_info
from tavid_ros.input_subscription import InputSubscription
from tavid_ros.topic_memory import Received, TopicMemory

__all__ = ["Snapshot", "SnapshotTimeoutError"]

_TOPICS = {
    "image": Image,
    "target_mask": Image,
    "depth": Image,
    "camera_info": CameraInfo,
    "actor_mask": Image,
    "prompt": String,
}
_STAMPED = ("target_mask", "depth", "camera_info", "actor_mask")
# Depth and prompt may never come; they get this long after image and mask are there.
_OPTIONAL_WAIT_SEC = 1.0
_POLL_SEC = 0.05
_NUM_REMEMBERED, _MAX_BYTES = 32, 64 * 1024 * 1024


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
        # A mask may be made while the next images come.
        self._memories = {topic: TopicMemory(_NUM_REMEMBERED, _MAX_BYTES) for topic in _TOPICS}
        self._pair: dict[str, Image | CameraInfo | String] = {}
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        group = MutuallyExclusiveCallbackGroup()
        self._subscriptions = [
            InputSubscription(
                node, topic, topic, kind, qos, functools.partial(self._put, topic), group
            )
            for topic, kind in _TOPICS.items()
        ]

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            subscription.destroy()

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
            missing = [topic for topic in ("image", "target_mask") if self._latest(topic) is None]
            raise SnapshotTimeoutError(
                f"image and target_mask must come within {timeout_sec:g} s with one stamp, got "
                f"{'no ' + ' and no '.join(missing) if missing else 'different stamps'}. "
                "Is camera_node running, and do its log and topics look right?"
            )
        for topic in ("image", *_STAMPED):
            if topic in self._pair:
                setattr(goal, topic, self._pair[topic])
        # The planner cannot know the topic's name, and would undo what is undone.
        if is_rectified_topic(self._node.resolve_topic_name("image")):
            goal.camera_info = rectify_camera_info(goal.camera_info)
        prompt = self._latest("prompt")
        if not goal.prompt and prompt is not None:
            goal.prompt = prompt.data

    def _is_complete(self) -> bool:
        wanted = {"image", *_STAMPED}
        # Few cameras know where the actor is, and nobody shall wait for those that do not.
        if self._node.count_publishers(self._node.resolve_topic_name("actor_mask")) == 0:
            wanted.remove("actor_mask")
        return wanted <= self._pair.keys() and self._latest("prompt") is not None

    def _latest(self, topic: str) -> Image | CameraInfo | String | None:
        received = self._memories[topic].latest
        return None if received is None else received.message

    def _put(self, topic: str, message: Image | CameraInfo | String) -> None:
        self._memories[topic].put(Received(message, time.monotonic()))
        if topic == "prompt":
            return
        for image in self._memories["image"].newest_first:
            pair = {"image": image.message}
            for name in _STAMPED:
                for other in self._memories[name].newest_first:
                    if other.stamp_ns == image.stamp_ns:
                        pair[name] = other.message
                        break
            if len(pair) > len(self._pair):
                self._pair = pair
