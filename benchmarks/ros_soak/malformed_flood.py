"""Malformed messages at the nodes that listen, and a good one right after."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from tavid.action import PlanInteraction

from benchmarks.malformed import PLANNER_TOPICS, SEGMENTER_TOPICS, MalformedMessages
from benchmarks.rig import BenchmarkError, Moment, Rig, make_goal
from tavid_ros.processes import NodeProcess

__all__ = ["MalformedFlood"]

# So that the node takes most of them before the next of the topic overwrites them.
_PAUSE_SEC = 0.002
_GOAL_PERIOD = 50
_ANSWER_SEC = 60.0
_TAKEN_SEC = 1.5
# As a camera goes on: nodes take images without asking for lost ones again.
_NUM_PICTURES, _PICTURE_SEC = 5, 0.1
_MATCH_SEC = 30.0
_POLL_SEC = 0.05


class MalformedFlood:
    """Sends flawed messages to a planner or a segmenter.

    Args:
        rig: Of the nodes.

    Attributes:
        num_sent: Messages and goals that were sent.
        num_refused: Messages that the nodes counted as refused.
        num_deaths: Nodes that ended.
        num_good_failed: Nodes that did not take a good message after the flood.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._malformed = MalformedMessages(seed=0)
        self._refused: dict[str, int] = {}
        rig.node.create_subscription(
            DiagnosticArray, "/diagnostics", self._hear, 10, callback_group=rig.group
        )
        self.num_sent = self.num_deaths = self.num_good_failed = 0

    @property
    def num_refused(self) -> int:
        """Messages that the nodes said they refused."""
        return sum(self._refused.values())

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for pair in status.values:
                if pair.key.endswith(("_malformed", "_refused")) and pair.value.isdigit():
                    self._refused[f"{status.name} {pair.key}"] = int(pair.value)

    def flood_planner(
        self, process: NodeProcess, num_messages: int, show: Callable[[], object]
    ) -> None:
        """Send flawed messages, and some flawed goals, to a planner.

        Args:
            process: Its process.
            num_messages: How many.
            show: Called after each.

        Raises:
            BenchmarkError: If it does not listen or does not answer a goal.
        """
        publishers = self._publish_on(PLANNER_TOPICS)
        for index, topic in zip(range(num_messages), itertools.cycle(publishers), strict=False):
            if index % _GOAL_PERIOD == _GOAL_PERIOD - 1:
                self._send_goal()
            else:
                self._send(publishers[topic], topic)
            show()
        self._finish(process, lambda: self._plan_good(publishers))

    def flood_segmenter(
        self, process: NodeProcess, num_messages: int, show: Callable[[], object]
    ) -> None:
        """Send flawed messages to a segmenter.

        Args:
            process: Its process.
            num_messages: How many.
            show: Called after each.

        Raises:
            BenchmarkError: If it does not listen.
        """
        publishers = self._publish_on(SEGMENTER_TOPICS)
        for _, topic in zip(range(num_messages), itertools.cycle(publishers), strict=False):
            self._send(publishers[topic], topic)
            show()
        self._finish(process, lambda: self._segment_good(publishers))

    def _publish_on(self, topics: Mapping[str, type]) -> dict[str, Publisher]:
        publishers = {
            topic: self._rig.node.create_publisher(
                kind,
                topic,
                QoSProfile(depth=10),
                # Latched subscriptions do not match, which is no news.
                event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
            )
            for topic, kind in topics.items()
        }
        deadline_sec = time.monotonic() + _MATCH_SEC
        while not all(publisher.get_subscription_count() for publisher in publishers.values()):
            if time.monotonic() > deadline_sec:
                raise BenchmarkError(
                    f"a node must listen on {', '.join(publishers)}, got none. See its log."
                )
            time.sleep(_POLL_SEC)
        return publishers

    def _send(self, publisher: Publisher, topic: str) -> None:
        publisher.publish(self._malformed.make(topic))
        self.num_sent += 1
        time.sleep(_PAUSE_SEC)

    def _send_goal(self) -> None:
        goal = self._malformed.make_goal()
        # Some flaws mean "the node's default": what is planned then shall be planned at once.
        goal.prompt = "steps of 0 ms"
        self.num_sent += 1
        handle = Moment(self._rig.client.send_goal_async(goal)).wait(_ANSWER_SEC)
        if handle.accepted:
            Moment(handle.get_result_async()).wait(_ANSWER_SEC)

    def _finish(self, process: NodeProcess, try_good: Callable[[], bool]) -> None:
        if process.exit_status is not None:
            self.num_deaths += 1
            return
        self.num_good_failed += not try_good()
        self.num_deaths += process.exit_status is not None

    def _plan_good(self, publishers: Mapping[str, Publisher]) -> bool:
        good = make_goal()
        header = self._make_header()
        topics = ("camera_info", "target_mask", "depth", "image")
        for topic in topics:
            getattr(good, topic).header = header
        for _ in range(_NUM_PICTURES):
            for topic in topics:
                publishers[topic].publish(getattr(good, topic))
            time.sleep(_PICTURE_SEC)
        publishers["prompt"].publish(String(data="steps of 0 ms"))
        # Until the topics are taken, the ones before them count.
        time.sleep(_TAKEN_SEC)
        goal = PlanInteraction.Goal(seed=1)
        handle = Moment(self._rig.client.send_goal_async(goal)).wait(_ANSWER_SEC)
        if not handle.accepted:
            return False
        response = Moment(handle.get_result_async()).wait(_ANSWER_SEC)
        return (
            response.result.error_code == PlanInteraction.Result.NONE
            and response.result.motion.header.stamp == header.stamp
        )

    def _segment_good(self, publishers: Mapping[str, Publisher]) -> bool:
        good, header, found = make_goal(), self._make_header(), threading.Event()

        def hear(mask: Image) -> None:
            if mask.header.stamp == header.stamp:
                found.set()

        subscription = self._rig.node.create_subscription(
            Image, "target_mask", hear, 10, callback_group=self._rig.group
        )
        good.image.header = header
        for _ in range(_NUM_PICTURES):
            publishers["image"].publish(good.image)
            time.sleep(_PICTURE_SEC)
        click = PointStamped(header=header)
        click.point.x, click.point.y = _find_center(good.target_mask)
        publishers["clicked_point"].publish(click)
        try:
            return found.wait(_ANSWER_SEC)
        finally:
            self._rig.node.destroy_subscription(subscription)

    def _make_header(self) -> Header:
        return Header(
            stamp=self._rig.node.get_clock().now().to_msg(), frame_id="camera_optical_frame"
        )


def _find_center(mask: Image) -> tuple[float, float]:
    pixels = [index for index, value in enumerate(mask.data) if value]
    middle = pixels[len(pixels) // 2]
    return float(middle % mask.step), float(middle // mask.step)
