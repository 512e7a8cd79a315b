"""The topics that the planner listens to."""

from __future__ import annotations

import collections
import functools

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from tavid_core.errors import TavidError
from tavid_ros import conversions
from tavid_ros.clock_jumps import ClockJumps
from tavid_ros.input_qos import choose_input_qos
from tavid_ros.input_subscription import InputSubscription
from tavid_ros.input_watchdog import InputProblem, InputWatchdog, WatchedTopic
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters, read
from tavid_ros.topic_memory import AnyInput

__all__ = ["InputTopics"]

_LOG_THROTTLE_SEC = 5.0
_DISTORTION_THROTTLE_SEC = 60.0
_WATCHDOG_PERIOD_SEC = 1.0


class InputTopics:
    """Subscribes to the inputs and remembers what comes.

    Args:
        node: Owner of the topics.
        inputs: Where messages go.
        num_malformed: Refused messages by topic; counted on.
        parameters: Snapshot of the node's, for what is fixed at start.
    """

    def __init__(
        self,
        node: LifecycleNode,
        inputs: LatestInputs,
        num_malformed: collections.Counter[str],
        parameters: PlannerParameters,
    ) -> None:
        self._node = node
        self._inputs = inputs
        self._num_malformed = num_malformed
        image = ("image", Image)
        if parameters.use_compressed_image:
            image = ("image/compressed", CompressedImage)
        kinds = {
            "image": image,
            "target_mask": ("target_mask", Image),
            "camera_info": ("camera_info", CameraInfo),
            "depth": ("depth", Image),
            "prompt": ("prompt", String),
        }
        watched = [
            WatchedTopic(
                name,
                # As a camera driver's launch file remaps it.
                node.resolve_topic_name(topic),
                f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}",
                choose_input_qos(name, parameters),
            )
            for name, (topic, kind) in kinds.items()
        ]
        self._image_topic = watched[0].topic
        inputs.set_image_topic(self._image_topic)
        self._watchdog = InputWatchdog(node, inputs, watched, num_malformed, self._read_parameters)
        group = MutuallyExclusiveCallbackGroup()
        self._subscriptions = {
            item.name: InputSubscription(
                node,
                item.name,
                *kinds[item.name],
                item.qos,
                functools.partial(self._receive, item.name),
                group,
                self._watchdog.check,
            )
            for item in watched
        }
        self._timer = node.create_timer(
            _WATCHDOG_PERIOD_SEC,
            self._check,
            callback_group=MutuallyExclusiveCallbackGroup(),
            # Steady, because a simulated clock may be what is missing.
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._jumps = ClockJumps(node, inputs.clear_paired)

    @property
    def problems(self) -> tuple[InputProblem, ...]:
        """Why inputs do not come, as of the last second."""
        return self._watchdog.problems

    @property
    def num_lost(self) -> dict[str, int]:
        """Messages that DDS gave up on the way, by topic, where any were."""
        counts = {name: item.num_lost for name, item in self._subscriptions.items()}
        return {name: count for name, count in counts.items() if count}

    def destroy(self) -> None:
        """Take the topics away."""
        self._jumps.destroy()
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions.values():
            subscription.destroy()

    def _check(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.match()
        self._watchdog.check()

    def _read_parameters(self) -> PlannerParameters:
        return read(self._node, PlannerParameters)

    def _receive(self, name: str, message: AnyInput) -> None:
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
        bend, rectify = (
            conversions.distortion_from_message(camera_info),
            self._read_parameters().rectify,
        )
        is_done = rectify == "done" or (
            rectify == "auto" and conversions.is_rectified_topic(self._image_topic)
        )
        if bend is None or is_done or (bend.is_known and rectify != "never"):
            return
        self._node.get_logger().warning(
            f"image must be rectified, got {self._image_topic} with {bend.model or 'unnamed'} "
            "distortion, which is not undone, so that positions are off towards the edges. "
            "Set rectify to auto, or remap image to the output of image_proc (image_rect).",
            throttle_duration_sec=_DISTORTION_THROTTLE_SEC,
        )
