"""/tf and /tf_static: listening to the robot's frames, and showing a motion as frames.

tf2_msgs is part of every ROS installation and not on PyPI; it is imported when a parameter asks
for transforms. The names are absolute, as tf2's own; remap them (/tf:=tf) for robots that keep
their frames apart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile

from tavid_core.errors import InputError, MissingExtraError
from tavid_ros.transform_tree import TransformTree

__all__ = ["TransformListener", "TransformSender", "import_tf_message"]

# As tf2's own listeners and broadcasters have it.
_TF_QOS = QoSProfile(depth=100)
_TF_STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_LOG_THROTTLE_SEC = 5.0


def import_tf_message() -> Any:
    """Import the type of /tf.

    Returns:
        tf2_msgs.msg.TFMessage.

    Raises:
        MissingExtraError: If it is not installed; the message names the package.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        distribution = os.environ.get("ROS_DISTRO", "jazzy")
        raise MissingExtraError(
            "tf2_msgs must be installed for target_frame and publish_tf, got an ImportError. "
            f"Install it with: apt-get install ros-{distribution}-tf2-msgs"
        ) from error
    return TFMessage


class TransformListener:
    """Puts what is said on /tf and /tf_static into a tree.

    Args:
        node: Owner of the subscriptions.
        tree: Where transforms go.
    """

    def __init__(self, node: LifecycleNode, tree: TransformTree) -> None:
        message_type = import_tf_message()
        self._node = node
        self._tree = tree
        group = MutuallyExclusiveCallbackGroup()
        self._subscriptions = [
            node.create_subscription(
                message_type, "/tf", self._receive, _TF_QOS, callback_group=group
            ),
            node.create_subscription(
                message_type,
                "/tf_static",
                self._receive_static,
                _TF_STATIC_QOS,
                callback_group=group,
            ),
        ]

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _receive(self, message: Any) -> None:
        self._put(message.transforms, is_static=False)

    def _receive_static(self, message: Any) -> None:
        self._put(message.transforms, is_static=True)

    def _put(self, transforms: Sequence[TransformStamped], *, is_static: bool) -> None:
        for transform in transforms:
            try:
                self._tree.put(transform, is_static=is_static)
            except InputError as error:
                self._node.get_logger().warning(
                    f"refused a transform: {error}", throttle_duration_sec=_LOG_THROTTLE_SEC
                )


class TransformSender:
    """Sends transforms on /tf.

    Args:
        node: Owner of the topic.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._message_type = import_tf_message()
        self._node = node
        self._publisher = node.create_lifecycle_publisher(self._message_type, "/tf", _TF_QOS)

    def send(self, transforms: list[TransformStamped]) -> None:
        """Publish transforms.

        Args:
            transforms: Stamped with now.
        """
        self._publisher.publish(self._message_type(transforms=transforms))

    def destroy(self) -> None:
        """Take the topic away."""
        self._node.destroy_lifecycle_publisher(self._publisher)
