"""From a click on the camera's image to target_mask: `python -m tavid_ros.segmenter_node`.

Every mask carries the stamp and frame of its image, so that the planner can pair the two.
"""

from __future__ import annotations

import collections
import sys
import threading
from collections.abc import Callable
from typing import Any

import rclpy
from geometry_msgs.msg import PointStamped, PolygonStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tavid.srv import SegmentTarget

from tavid_core.errors import CanceledError, ErrorCode, TavidError
from tavid_core.segment import check_method
from tavid_ros import conversions
from tavid_ros.conversions import targets
from tavid_ros.parameters import SegmenterParameters, declare, read
from tavid_ros.recent_images import AnyImage, RecentImage, RecentImages
from tavid_ros.segment_job import JobKind, SegmentJob, SegmentResult, TargetQuery
from tavid_ros.segment_process import SegmentOptions, SegmentProcess
from tavid_ros.spinning import BackgroundExecutor
from tavid_ros.stop_signal import StopSignal
from tavid_ros.target_state import TargetState

__all__ = ["SegmenterNode", "main"]

_LOG_THROTTLE_SEC = 1.0
_NUM_THREADS = 4

Outcome = SegmentResult | TavidError


class SegmenterNode(Node):
    """Marks what is clicked, and follows it from image to image until the next click.

    No callback waits: the worker process segments, and its answers are published by the thread
    that watches it.

    Args:
        context: For tests; None = the default one.
        parameter_overrides: For tests; ROS takes them from the command line otherwise.

    Attributes:
        is_failed: Set when the worker cannot load what the parameters say.

    Raises:
        TavidError: If a parameter is not possible.
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
        check_method(
            settings.method, checkpoint=settings.checkpoint, model_type=settings.model_type
        )
        self.is_failed = threading.Event()
        self._images = RecentImages()
        self._num_refused: collections.Counter[str] = collections.Counter()
        names = ("method", "checkpoint", "model_type", "device", "detector", "detector_min_score")
        self._process = SegmentProcess(
            SegmentOptions(
                segmenter={name: getattr(settings, name) for name in names},
                load_timeout_sec=settings.load_timeout_sec,
                work_timeout_sec=settings.work_timeout_sec,
            ),
            on_load_failed=self._fail,
            on_death=lambda reason: self.get_logger().error(reason),
        )
        self._target = TargetState(self, self._images, self._process, self._num_refused)
        self._listen(settings)

    def destroy_node(self) -> None:
        """End the worker process too."""
        self._process.stop()
        super().destroy_node()

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
        group = MutuallyExclusiveCallbackGroup()
        self.create_subscription(kind, topic, self._receive_image, image_qos, callback_group=group)
        clicks = MutuallyExclusiveCallbackGroup()
        # Depth 1: the newest click counts.
        for kind, topic, callback in (
            (PointStamped, "clicked_point", self._receive_point),
            (PolygonStamped, "clicked_points", self._receive_points),
            (RegionOfInterest, "clicked_box", self._receive_box),
            (String, "clicked_label", self._receive_label),
        ):
            self.create_subscription(kind, topic, callback, 1, callback_group=clicks)
        self.create_service(Trigger, "~/clear", self._clear, callback_group=clicks)
        # Requests wait for the worker side by side, without a thread each.
        self.create_service(
            SegmentTarget, "~/segment", self._segment, callback_group=ReentrantCallbackGroup()
        )

    def _receive_image(self, message: AnyImage) -> None:
        try:
            conversions.check_image_message(message)
        except TavidError as error:
            self._refuse("image", error)
            return
        self._images.put(message)
        self._target.follow_latest()

    def _receive_point(self, message: PointStamped) -> None:
        self._click("clicked_point", message.header, targets.query_from_point, message)

    def _receive_points(self, message: PolygonStamped) -> None:
        self._click("clicked_points", message.header, targets.query_from_points, message)

    def _receive_box(self, message: RegionOfInterest) -> None:
        self._click("clicked_box", Header(), targets.query_from_box, message)

    def _receive_label(self, message: String) -> None:
        self._click("clicked_label", Header(), targets.query_from_label, message)

    def _click(
        self, topic: str, header: Header, read_query: Callable[[Any], TargetQuery], message: object
    ) -> None:
        try:
            query = read_query(message)
            item = self._images.pick(topic, header, self._max_age_sec())
        except TavidError as error:
            # The target before, if any, stays.
            self._refuse(topic, error)
            return

        def end(outcome: Outcome) -> None:
            if isinstance(outcome, CanceledError):
                self.get_logger().info(f"{topic} gave way to a newer click")
            elif isinstance(outcome, TavidError):
                self._refuse(topic, outcome)

        self._mark(JobKind.CLICK, item, query, end)

    def _mark(
        self,
        kind: JobKind,
        item: RecentImage,
        query: TargetQuery,
        on_end: Callable[[Outcome], None],
    ) -> None:
        """Make a target of what a query points at on an image of the topic."""
        is_followed = read(self, SegmenterParameters).follow

        def end(outcome: Outcome) -> None:
            if isinstance(outcome, SegmentResult):
                self._target.take(outcome, item, is_followed=is_followed)
            on_end(outcome)

        self._process.submit(
            SegmentJob(
                kind=kind,
                image_key=item.key,
                read_image=lambda: conversions.image_from_message(item.message),
                on_end=end,
                query=query,
                is_followed=is_followed,
            )
        )

    async def _segment(
        self, request: SegmentTarget.Request, response: SegmentTarget.Response
    ) -> SegmentTarget.Response:
        ended = Future(executor=self.executor)
        # The executor looks at a waiting coroutine again when something is to be done.
        ended.add_done_callback(lambda _: None)
        try:
            header = self._submit_request(request, ended.set_result)
        except TavidError as error:
            outcome: Outcome = error
        else:
            outcome = await ended
        if isinstance(outcome, TavidError):
            self._refuse("segment", outcome)
            response.message = f"{outcome.code.name}: {outcome}"
            return response
        found = outcome.found
        response.success, response.message = True, found.describe()
        response.method, response.score = found.method, found.score
        response.target_mask = conversions.message_from_mask(found.mask, header)
        return response

    def _submit_request(
        self, request: SegmentTarget.Request, on_end: Callable[[Outcome], None]
    ) -> Header:
        query = targets.query_from_request(request)
        if conversions.is_empty_image(request.image):
            item = self._images.pick("segment", Header(), self._max_age_sec())
            self._mark(JobKind.REQUEST, item, query, on_end)
            return item.message.header
        conversions.check_image_message(request.image)
        item = self._images.number(request.image)
        self._process.submit(
            SegmentJob(
                kind=JobKind.REQUEST,
                image_key=item.key,
                read_image=lambda: conversions.image_from_message(request.image),
                on_end=on_end,
                query=query,
                has_overlay=False,
            )
        )
        return request.image.header

    def _clear(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = True
        response.message = "target forgotten" if self._target.clear() else "no target was followed"
        return response

    def _max_age_sec(self) -> float:
        return read(self, SegmenterParameters).image_max_age_sec

    def _fail(self, reason: str) -> None:
        self.get_logger().fatal(reason)
        self.is_failed.set()

    def _refuse(self, topic: str, error: TavidError) -> None:
        self._num_refused[topic] += 1
        line = f"refused {topic} ({self._num_refused[topic]} so far): {error}"
        # What the worker did not survive is told each time; a flood of bad clicks is not.
        if error.code in (ErrorCode.WORKER_DIED, ErrorCode.TIMEOUT):
            self.get_logger().error(line)
        else:
            self.get_logger().warning(line, throttle_duration_sec=_LOG_THROTTLE_SEC)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: Command line; None = that of the process.

    Returns:
        0 after a signal, 1 if the segmenter cannot be made or loaded.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopping = StopSignal()
    stopping.listen()
    try:
        node = SegmenterNode()
    except (TavidError, rclpy.exceptions.ParameterException) as error:
        rclpy.logging.get_logger("segmenter").fatal(str(error))
        rclpy.shutdown()
        return 1
    executor = BackgroundExecutor(node, num_threads=_NUM_THREADS)
    while not stopping.wait(0.1) and not node.is_failed.is_set():
        pass
    executor.stop()
    node.destroy_node()
    rclpy.shutdown()
    return 1 if node.is_failed.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
