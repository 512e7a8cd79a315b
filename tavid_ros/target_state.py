"""The segmenter's target between clicks: its mask, whether it is in sight, what is published."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from tavid_core.errors import ErrorCode, TavidError
from tavid_core.segment_prompt import Segmentation
from tavid_ros import conversions, diagnostics
from tavid_ros.parameters import SegmenterParameters, read
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.recent_images import RecentImage, RecentImages
from tavid_ros.segment_job import JobKind, SegmentJob, SegmentResult
from tavid_ros.segment_process import SegmentProcess

__all__ = ["TargetState"]

_DIAGNOSTICS_PERIOD_SEC = 1.0
# A camera at three times the rate shall not miss every fourth image by a hair.
_EARLY_SHARE = 0.9
# A newer image took its place, or the node ends.
_NO_NEWS = (ErrorCode.CANCELED, ErrorCode.SHUTTING_DOWN)
_WAITING, _MARKED, _FOLLOWING = "waiting for a click", "marked", "following"
_HIDDEN, _LOST = "out of sight", "lost"


class TargetState:
    """Publishes target_mask, ~/overlay and diagnostics; thread-safe.

    Args:
        node: The segmenter.
        images: For their age.
        process: Follows the target.
        num_refused: Messages by topic, for the diagnostics.
    """

    def __init__(
        self,
        node: Node,
        images: RecentImages,
        process: SegmentProcess,
        num_refused: collections.Counter[str],
    ) -> None:
        self._node = node
        self._images = images
        self._process = process
        self._num_refused = num_refused
        self._lock = threading.Lock()
        self._name = _WAITING
        self._found: Segmentation | None = None
        # Which target a frame was sent for: an answer that comes too late is of the one before.
        self._number = 0
        self._last_key = self._sent_key = -1
        self._sent_sec = self._seen_sec = 0.0
        self._mask = node.create_publisher(Image, "target_mask", LATCHED_QOS)
        self._overlay = node.create_publisher(Image, "~/overlay", LATCHED_QOS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Images call for themselves; the timer serves one that came too soon and was the last.
        period_sec = 1.0 / read(node, SegmenterParameters).follow_rate_hz
        self._repeat(period_sec, self.follow_latest)
        self._repeat(_DIAGNOSTICS_PERIOD_SEC, self._diagnose)

    def _repeat(self, period_sec: float, callback: Callable[[], None]) -> None:
        # Steady, because a simulated clock may stand still while the node lives.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        group = MutuallyExclusiveCallbackGroup()
        self._node.create_timer(period_sec, callback, callback_group=group, clock=clock)

    @property
    def name(self) -> str:
        """What the target is doing, in words."""
        return self._name

    def take(self, result: SegmentResult, item: RecentImage, *, is_followed: bool) -> None:
        """Take a new target, and publish it.

        Args:
            result: Of a click or a request.
            item: The image that it is on.
            is_followed: Whether the worker can follow it.
        """
        found = result.found
        assert found is not None
        with self._lock:
            self._number += 1
            self._found = found
            self._last_key = self._sent_key = item.key
            self._name = _FOLLOWING if is_followed else _MARKED
            self._sent_sec, self._seen_sec = 0.0, time.monotonic()
        self._publish(result, item)
        self._node.get_logger().info(f"target: {found.describe()}")

    def clear(self) -> bool:
        """Forget the target.

        Returns:
            Whether one was followed.
        """
        with self._lock:
            was_followed = self._name in (_FOLLOWING, _HIDDEN)
            self._number += 1
            self._name, self._found = _WAITING, None
        return was_followed

    def follow_latest(self) -> None:
        """Follow the target on the latest image, unless the one before is too recent."""
        item = self._images.latest
        if item is not None and self._wants(item):
            self._follow(item)

    def _wants(self, item: RecentImage) -> bool:
        settings = read(self._node, SegmenterParameters)
        with self._lock:
            if self._name not in (_FOLLOWING, _HIDDEN) or item.key <= self._sent_key:
                return False
            if not settings.follow:
                self._name = _MARKED
                return False
            period_sec = _EARLY_SHARE / settings.follow_rate_hz
            return time.monotonic() - self._sent_sec >= period_sec

    def _follow(self, item: RecentImage) -> None:
        with self._lock:
            number = self._number
            self._sent_sec, self._sent_key = time.monotonic(), item.key

        def end(outcome: SegmentResult | TavidError) -> None:
            self._take_frame(outcome, item, number)

        self._process.submit(
            SegmentJob(
                kind=JobKind.FRAME,
                image_key=item.key,
                read_image=lambda: conversions.image_from_message(item.message),
                on_end=end,
            )
        )

    def _take_frame(
        self, outcome: SegmentResult | TavidError, item: RecentImage, number: int
    ) -> None:
        if isinstance(outcome, TavidError) and outcome.code in _NO_NEWS:
            return
        now_sec, regain_sec = time.monotonic(), read(self._node, SegmenterParameters).regain_sec
        with self._lock:
            # Frames before the click's own may still wait when it is answered.
            if number != self._number or item.key < self._last_key:
                return
            before, self._last_key = self._name, item.key
            if isinstance(outcome, TavidError):
                self._name = _LOST
            elif outcome.found is not None:
                self._name, self._found, self._seen_sec = _FOLLOWING, outcome.found, now_sec
            else:
                is_given_up = now_sec - self._seen_sec >= regain_sec
                self._name = _LOST if is_given_up else _HIDDEN
            name = self._name
        if isinstance(outcome, SegmentResult) and outcome.found is not None:
            self._publish(outcome, item)
        self._tell(before, name, outcome)

    def _tell(self, before: str, name: str, outcome: SegmentResult | TavidError) -> None:
        logger = self._node.get_logger()
        if isinstance(outcome, TavidError):
            logger.warning(f"target lost: {outcome}")
        elif name == _LOST:
            logger.warning("target lost: nothing looks like it any more. Click again.")
        elif name == _HIDDEN and before != _HIDDEN:
            logger.info("target out of sight")
        elif name == _FOLLOWING and before == _HIDDEN:
            logger.info("target in sight again")

    def _publish(self, result: SegmentResult, item: RecentImage) -> None:
        header, found = item.message.header, result.found
        assert found is not None
        self._mask.publish(conversions.message_from_mask(found.mask, header))
        if result.overlay is not None:
            self._overlay.publish(conversions.message_from_image(result.overlay, header))

    def _diagnose(self) -> None:
        found, age_sec = self._found, self._images.age_sec
        settings = read(self._node, SegmenterParameters)
        limit_sec = settings.image_max_age_sec
        is_stale = bool(limit_sec) and age_sec is not None and age_sec > limit_sec
        values: dict[str, object] = {"image_age_sec": "" if age_sec is None else f"{age_sec:.2f}"}
        if found is not None:
            values |= {"method": found.method, "score": f"{found.score:.2f}"}
            values |= {"pixels": int(found.mask.sum()), "note": found.note}
        values |= {f"{topic}_refused": n for topic, n in sorted(self._num_refused.copy().items())}
        statuses = [
            diagnostics.describe_target(self._name, values, is_stale=is_stale),
            diagnostics.describe_worker(self._process),
        ]
        header = Header(stamp=self._node.get_clock().now().to_msg())
        name = self._node.get_fully_qualified_name()
        self._diagnostics.publish(diagnostics.make_diagnostics(name, header, statuses))
