"""A live planner and a live segmenter outlive malformed messages and work right after."""

from __future__ import annotations

import itertools
import time

import numpy as np
from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from benchmarks.malformed import PLANNER_TOPICS, SEGMENTER_TOPICS, MalformedMessages
from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.segmenter_node import SegmenterNode
from tavid_ros.spinning import BackgroundExecutor
from tests.drawn import draw_reach
from tests.ros.graph import STATUS, wait_for

NUM_MESSAGES = 300
_PAUSE_SEC = 0.005


def send_all(graph, topics, num_messages=NUM_MESSAGES):
    generator = MalformedMessages(seed=7)
    publishers = [(topic, graph.publisher(kind, topic)) for topic, kind in topics.items()]
    for topic, publisher in itertools.islice(itertools.cycle(publishers), num_messages):
        publisher.publish(generator.make(topic))
        # Of what comes at once, only the newest is kept.
        time.sleep(_PAUSE_SEC)


def test_planner_outlives_malformed_messages_and_goals(graph):
    planner = graph.start()
    send_all(graph, PLANNER_TOPICS)
    wait_for(lambda: all(planner._num_malformed[topic] >= 10 for topic in ("image", "depth")))
    generator = MalformedMessages(seed=8)
    codes = {graph.plan(generator.make_goal())[1].error_code for _ in range(20)}
    assert ErrorCode.INVALID_INPUT in codes
    assert codes <= {ErrorCode.INVALID_INPUT, ErrorCode.STALE_INPUT, ErrorCode.NONE}
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED
    assert planner.guard.num_failures == {}


def test_planner_of_compressed_images_outlives_bombs(graph):
    planner = graph.start(use_compressed_image=True)
    send_all(graph, {"image/compressed": CompressedImage}, 60)
    wait_for(lambda: planner._num_malformed["image"] >= 10)
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED


def test_segmenter_outlives_malformed_messages(graph):
    segmenter = SegmenterNode(context=graph.context)
    executor = BackgroundExecutor(segmenter, num_threads=4)
    masks = graph.subscribe(Image, "target_mask", LATCHED_QOS)
    try:
        wait_for(lambda: graph.node.count_publishers("target_mask"))
        send_all(graph, SEGMENTER_TOPICS)
        clip, header = draw_reach(1, scale=2, noise=3.0), Header(frame_id="optical")
        header.stamp.sec = 77
        image = graph.publisher(Image, "image")
        click = graph.publisher(PointStamped, "clicked_point")
        rows, columns = np.nonzero(clip.masks[1])
        point = Point(x=float(columns.mean()), y=float(rows.mean()))

        def is_marked():
            image.publish(conversions.message_from_image(clip.frames[0], header))
            click.publish(PointStamped(header=header, point=point))
            time.sleep(0.5)
            return [mask for mask in masks if mask.header.stamp.sec == 77]

        marked = conversions.mask_from_message(wait_for(is_marked)[-1])
        assert (marked & clip.masks[1]).sum() > 0.5 * clip.masks[1].sum()
    finally:
        executor.stop()
        segmenter.destroy_node()
