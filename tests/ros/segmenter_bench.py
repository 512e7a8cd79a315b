"""A segmenter node and somebody who shows it images and clicks on them."""

from __future__ import annotations

import itertools

import rclpy
from geometry_msgs.msg import Point, PointStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tavid.srv import SegmentTarget

from tavid_ros import conversions
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.segmenter_node import SegmenterNode
from tavid_ros.spinning import BackgroundExecutor
from tests.drawn import draw_reach
from tests.ros.graph import finish, wait_for

NUMBERS = itertools.count()
FRAME_ID = "head_optical"


class Bench:
    """A segmenter, and somebody who shows it images and clicks on them."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        name = f"__ns:=/segmenter_{next(NUMBERS)}"
        rclpy.init(args=["--ros-args", "-r", name, "--disable-rosout-logs"], context=self.context)
        self.clip = draw_reach(1, scale=2, noise=3.0)
        self.node = rclpy.create_node("tester", context=self.context)
        group = ReentrantCallbackGroup()
        self.masks: list[Image] = []
        self.overlays: list[Image] = []
        for topic, heard in (("target_mask", self.masks), ("segmenter/overlay", self.overlays)):
            self.node.create_subscription(
                Image, topic, heard.append, LATCHED_QOS, callback_group=group
            )
        self.clear_client = self.node.create_client(
            Trigger, "segmenter/clear", callback_group=group
        )
        self.segment_client = self.node.create_client(
            SegmentTarget, "segmenter/segment", callback_group=group
        )
        self.executor = BackgroundExecutor(self.node, num_threads=2)
        self.publishers: dict[str, object] = {}
        self.segmenter: SegmenterNode | None = None

    def start(self, **parameters) -> SegmenterNode:
        # A busy machine is slow, and its images are old.
        values = {"image_max_age_sec": 60.0, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.segmenter = SegmenterNode(context=self.context, parameter_overrides=overrides)
        self.segmenter_executor = BackgroundExecutor(self.segmenter, num_threads=4)
        return self.segmenter

    def close(self) -> None:
        if self.segmenter is not None:
            self.segmenter_executor.stop()
            self.segmenter.destroy_node()
        self.executor.stop()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def send(self, topic, message) -> None:
        if topic not in self.publishers:
            self.publishers[topic] = self.node.create_publisher(type(message), topic, 10)
            wait_for(self.publishers[topic].get_subscription_count)
        self.publishers[topic].publish(message)

    def show(self, frame=0, sec=1, image=None) -> None:
        """Send an image and wait until the node has it."""
        header = Header(frame_id=FRAME_ID)
        header.stamp.sec = sec
        image = self.clip.frames[frame] if image is None else image
        self.send("image", conversions.message_from_image(image, header))
        wait_for(
            lambda: (
                (latest := self.segmenter._images.latest) and latest.message.header.stamp.sec == sec
            )
        )

    def click(self, place, frame_id=FRAME_ID, sec=0) -> None:
        message = PointStamped(point=Point(x=float(place[0]), y=float(place[1])))
        message.header.frame_id, message.header.stamp.sec = frame_id, sec
        self.send("clicked_point", message)

    def ask(self, **fields):
        """Call the service."""
        assert self.segment_client.wait_for_service(30.0)
        return finish(self.segment_client.call_async(SegmentTarget.Request(**fields)))

    def wait_mask(self, sec):
        """Wait for the mask of an image."""
        message = wait_for(
            lambda: next((m for m in tuple(self.masks) if m.header.stamp.sec == sec), None)
        )
        assert message.header.frame_id == FRAME_ID
        assert message.encoding == "mono8"
        return conversions.mask_from_message(message)

    def wait_refused(self, topic, count=1) -> None:
        wait_for(lambda: self.segmenter._num_refused[topic] >= count)


def overlap(mask, truth):
    """Intersection over union."""
    return (mask & truth).sum() / (mask | truth).sum()
