"""The topics that the planner listens to."""

from __future__ import annotations

import collections
import functools

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from tavid_core.errors import TavidError
from tavid_ros import conversions
from tavid_ros.inputs import LatestInputs

__all__ = ["InputTopics"]

_LOG_THROTTLE_SEC = 5.0
_DISTORTION_THROTTLE_SEC = 60.0


class InputTopics:
    """Subscribes to the inputs and remembers what comes.

    Args:
        node: Owner of the topics.
        inputs: Where messages go.
        num_malformed: Refused messages by topic; counted on.
        use_compressed_image: Listen to image/compressed instead of image.
    """

    def __init__(
        self,
        node: LifecycleNode,
        inputs: LatestInputs,
        num_malformed: collections.Counter[str],
        *,
        use_compressed_image: bool,
    ) -> None:
        self._node = node
        self._inputs = inputs
        self._num_malformed = num_malformed
        image_topic, image_type = "image", Image
        if use_compressed_image:
            image_topic, image_type = "image/compressed", CompressedImage
        # As a camera driver's launch file remaps it; "rect" is in the name of every rectified one.
        self._image_topic = node.resolve_topic_name(image_topic)
        group = MutuallyExclusiveCallbackGroup()
        # Best effort and volatile connects to every kind of publisher; depth 1, because an old
        # picture is worth nothing.
        qos = QoSProfile(
            depth=1,
            reliability=qos_profile_sensor_data.reliability,
            durability=qos_profile_sensor_data.durability,
        )
        self._subscriptions = [
            node.create_subscription(
                message_type,
                topic,
                functools.partial(self._receive, name),
                qos,
                callback_group=group,
            )
            for name, topic, message_type in (
                ("image", image_topic, image_type),
                ("target_mask", "target_mask", Image),
                ("camera_info", "camera_info", CameraInfo),
                ("depth", "depth", Image),
                ("prompt", "prompt", String),
            )
        ]

    def destroy(self) -> None:
        """Take the topics away."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _receive(self, name: str, message: Image | CameraInfo | CompressedImage | String) -> None:
        try:
            self._inputs.put(name, message)
        except TavidError as error:
            self._num_malformed[name] += 1
            self._node.get_logger().warning(
                f"refused a message ({self._num_malformed[name]} so far): {error}",
                throttle_duration_sec=_LOG_THROTTLE_SEC,
            )
            return
        if name == "camera_info":
            self._warn_of_distortion(message)

    def _warn_of_distortion(self, camera_info: CameraInfo) -> None:
        # A driver sends the same camera_info for the raw and for the rectified image, so that only
        # the topic tells which one this is.
        if not conversions.has_distortion(camera_info) or "rect" in self._image_topic:
            return
        self._node.get_logger().warning(
            f"image must be rectified, got {self._image_topic} from a camera whose camera_info has "
            "distortion. Distortion is not applied, so that positions are off towards the edges: "
            "remap image to the output of image_proc (image_rect).",
            throttle_duration_sec=_DISTORTION_THROTTLE_SEC,
        )
