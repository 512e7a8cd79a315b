"""From a click on the camera's image to target_mask: `python -m tavid_ros.segmenter_node`.

Every mask carries the stamp and frame of its image, so that the planner can pair the two.
"""

from __future__ import annotations

import collections
import signal
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, PolygonStamped
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from tavid_core.errors import InputError, TavidError
from tavid_core.segment import Segmentation, make_segmenter
from tavid_core.segment_follow import TargetFollower
from tavid_core.visualize import draw_overlay
from tavid_ros import conversions, diagnostics
from tavid_ros.inputs import StaleInputError
from tavid_ros.parameters import SegmenterParameters, declare, read
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.spinning import BackgroundExecutor

__all__ = ["SegmenterNode", "main"]

_LOG_THROTTLE_SEC = 1.0
_DIAGNOSTICS_PERIOD_SEC = 1.0
_NUM_THREADS = 4
_NUM_REMEMBERED_IMAGES = 8
_MAX_REMEMBERED_BYTES = 64 * 1024 * 1024

AnyImage = Image | CompressedImage


class SegmenterNode(Node):
    """Marks what is clicked, and follows it from image to image until the next click.

    A click works in a callback group of its own: while it is computed, images, diagnostics and
    parameters are served.

    Args:
        context: For tests; None = the default one.
        parameter_overrides: For tests; ROS takes them from the command line otherwise.

    Raises:
        TavidError: If the segmenter cannot be made as the parameters say.
    """

    def __init__(
        self,
        *,
        context: Context | None = None,
        parameter_overrides: list[Parameter] | None = None,
    ) -> None:
        super().__init__("segmenter", context=context, parameter_overrides=parameter_overrides)
        declare(self, SegmenterParameters)
        settings = read(self, SegmenterParameters)
        self._segmenter = make_segmenter(
            settings.method,
            checkpoint=settings.checkpoint,
            model_type=settings.model_type,
            device=settings.device,
        )
        self._images = _Images()
        self._embedded: AnyImage | None = None
        self._follower: TargetFollower | None = None
        self._last_followed: AnyImage | None = None
        self._state = "waiting for a click"
        self._found: Segmentation | None = None
        self._num_refused: collections.Counter[str] = collections.Counter()
        self._mask = self.create_publisher(Image, "target_mask", LATCHED_QOS)
        self._overlay = self.create_publisher(Image, "~/overlay", LATCHED_QOS)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._listen(settings)

    def _listen(self, settings: SegmenterParameters) -> None:
        # Best effort and volatile connects to every kind of publisher.
        image_qos = QoSProfile(
            depth=1,
            reliability=qos_profile_sensor_data.reliability,
            durability=qos_profile_sensor_data.durability,
        )
        kind, topic = Image, "image"
        if settings.use_compressed_image:
            kind, topic = CompressedImage, "image/compressed"
        self.create_subscription(
            kind,
            topic,
            self._receive_image,
            image_qos,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        # One group: the segmenter holds one image at a time. Depth 1: the newest click counts.
        work = MutuallyExclusiveCallbackGroup()
        for kind, topic, callback in (
            (PointStamped, "clicked_point", self._receive_point),
            (PolygonStamped, "clicked_points", self._receive_points),
            (RegionOfInterest, "clicked_box", self._receive_box),
        ):
            self.create_subscription(kind, topic, callback, 1, callback_group=work)
        self.create_service(Trigger, "~/clear", self._clear, callback_group=work)
        # Steady, because a simulated clock may stand still while the node lives.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        period_sec = 1.0 / settings.follow_rate_hz
        self.create_timer(period_sec, self._follow, callback_group=work, clock=steady)
        group = MutuallyExclusiveCallbackGroup()
        self.create_timer(
            _DIAGNOSTICS_PERIOD_SEC, self._diagnose, callback_group=group, clock=steady
        )

    def _receive_image(self, message: AnyImage) -> None:
        try:
            conversions.check_image_message(message)
        except TavidError as error:
            self._refuse("image", error)
        else:
            self._images.put(message)

    def _receive_point(self, message: PointStamped) -> None:
        self._mark("clicked_point", message.header, [(message.point.x, message.point.y)], [1])

    def _receive_points(self, message: PolygonStamped) -> None:
        points = [(point.x, point.y) for point in message.polygon.points]
        labels = [int(point.z >= 0) for point in message.polygon.points]
        self._mark("clicked_points", message.header, points, labels)

    def _receive_box(self, message: RegionOfInterest) -> None:
        left, top = message.x_offset, message.y_offset
        box = (left, top, left + message.width, top + message.height)
        self._mark("clicked_box", Header(), [], [], box)

    def _mark(
        self,
        topic: str,
        header: Header,
        points: Sequence[tuple[float, float]],
        labels: Sequence[int],
        box: Sequence[float] | None = None,
    ) -> None:
        settings = read(self, SegmenterParameters)
        try:
            message = self._images.pick(topic, header, settings.image_max_age_sec)
            image = conversions.image_from_message(message)
            if message is not self._embedded:
                self._embedded = None
                self._segmenter.set_image(image)
                self._embedded = message
            found = self._segmenter.segment(points, labels, box)
            follower = TargetFollower(image, found.mask) if settings.follow else None
        except TavidError as error:
            # The target before, if any, stays.
            self._refuse(topic, error)
            return
        self._follower, self._last_followed = follower, message
        self._state = "marked" if follower is None else "following"
        self._publish(found, message.header, image)
        self.get_logger().info(
            f"target marked by {found.method}: {int(found.mask.sum())} pixels, score "
            f"{found.score:.2f}"
        )

    def _follow(self) -> None:
        message = self._images.latest
        if self._follower is None or message is None or message is self._last_followed:
            return
        self._last_followed = message
        try:
            image = conversions.image_from_message(message)
        except TavidError as error:
            self._refuse("image", error)
            return
        try:
            if not read(self, SegmenterParameters).follow:
                self._forget("marked")
                return
            found = self._follower.follow(image)
        except InputError as error:
            self._forget("lost")
            self.get_logger().warning(f"target lost: {error}")
            return
        if found is None:
            self._forget("lost")
            self.get_logger().warning("target lost: nothing looks like it any more. Click again.")
            return
        self._publish(found, message.header, image)

    def _publish(self, found: Segmentation, header: Header, image: NDArray[np.uint8]) -> None:
        self._found = found
        self._mask.publish(conversions.message_from_mask(found.mask, header))
        overlay = draw_overlay(image, found.mask)
        self._overlay.publish(conversions.message_from_image(overlay, header))

    def _forget(self, state: str) -> None:
        self._follower = None
        self._state = state

    def _clear(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        had_target = self._follower is not None
        self._forget("waiting for a click")
        self._found = None
        response.success = True
        response.message = "target forgotten" if had_target else "no target was followed"
        return response

    def _refuse(self, topic: str, error: TavidError) -> None:
        self._num_refused[topic] += 1
        self.get_logger().warning(
            f"refused {topic} ({self._num_refused[topic]} so far): {error}",
            throttle_duration_sec=_LOG_THROTTLE_SEC,
        )

    def _diagnose(self) -> None:
        found, age_sec = self._found, self._images.age_sec
        values: dict[str, object] = {"image_age_sec": "" if age_sec is None else f"{age_sec:.2f}"}
        if found is not None:
            values |= {"method": found.method, "score": f"{found.score:.2f}"}
            values["pixels"] = int(found.mask.sum())
        values |= {f"{topic}_refused": n for topic, n in sorted(self._num_refused.copy().items())}
        status = diagnostics.describe_target(self._state, values)
        header = Header(stamp=self.get_clock().now().to_msg())
        name = self.get_fully_qualified_name()
        self._diagnostics.publish(diagnostics.make_diagnostics(name, header, [status]))


class _Images:
    """The last images, for clicks that name the one they mean by its stamp."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: collections.deque[tuple[AnyImage, float]] = collections.deque(
            maxlen=_NUM_REMEMBERED_IMAGES
        )

    def put(self, message: AnyImage) -> None:
        with self._lock:
            self._received.append((message, time.monotonic()))
            while len(self._received) > 1 and (
                sum(len(image.data) for image, _ in self._received) > _MAX_REMEMBERED_BYTES
            ):
                self._received.popleft()

    @property
    def latest(self) -> AnyImage | None:
        with self._lock:
            return self._received[-1][0] if self._received else None

    @property
    def age_sec(self) -> float | None:
        with self._lock:
            return time.monotonic() - self._received[-1][1] if self._received else None

    def pick(self, topic: str, header: Header, max_age_sec: float) -> AnyImage:
        """Pick the image that a click means: that of its stamp, else the latest."""
        with self._lock:
            received = list(self._received)
        if not received:
            raise StaleInputError(
                f"image must come before {topic}, got none since the start. "
                "Check the topic's name and that somebody publishes it."
            )
        stamp_ns = conversions.nanoseconds_from_time(header.stamp)
        message, arrival_sec = next(
            (
                item
                for item in received
                if stamp_ns and conversions.nanoseconds_from_time(item[0].header.stamp) == stamp_ns
            ),
            received[-1],
        )
        age_sec = time.monotonic() - arrival_sec
        if max_age_sec and age_sec > max_age_sec:
            raise StaleInputError(
                f"image must be at most {max_age_sec:g} s old, got {age_sec:.1f} s. "
                "Has its publisher stopped? Or raise image_max_age_sec."
            )
        frame_id = message.header.frame_id
        if header.frame_id not in ("", frame_id):
            # Rviz clicks on the world, in metres; taken for pixels they would mark a corner.
            raise InputError(
                f"{topic} must be in pixels of the image (frame '{frame_id}'), got frame "
                f"'{header.frame_id}'. Click on the image itself, or leave the frame empty."
            )
        return message


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: Command line; None = that of the process.

    Returns:
        0 after a signal, 1 if the segmenter cannot be made.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopping = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopping.set())
    try:
        node = SegmenterNode()
    except (TavidError, rclpy.exceptions.ParameterException) as error:
        rclpy.logging.get_logger("segmenter").fatal(str(error))
        rclpy.shutdown()
        return 1
    executor = BackgroundExecutor(node, num_threads=_NUM_THREADS)
    stopping.wait()
    executor.stop()
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
