"""The planner's subscriptions: what they take on, and what they warn of."""

from __future__ import annotations

import collections
from unittest.mock import Mock

import pytest
from sensor_msgs.msg import CameraInfo, Image

from tavid_ros.input_topics import InputTopics
from tavid_ros.inputs import LatestInputs

K = [60.0, 0.0, 32.0, 0.0, 60.0, 24.0, 0.0, 0.0, 1.0]


def make_topics(image_topic: str):
    """Topics of a node that remaps `image`, its logger and its counter."""
    node, counter = Mock(), collections.Counter()
    node.resolve_topic_name.return_value = image_topic
    topics = InputTopics(node, LatestInputs(), counter, use_compressed_image=False)
    return topics, node.get_logger.return_value.warning, counter


@pytest.mark.parametrize(
    ("image_topic", "d", "is_warned"),
    [
        ("/camera/image_raw", [0.1, 0.0, 0.0, 0.0, 0.0], True),
        ("/camera/image_rect_color", [0.1, 0.0, 0.0, 0.0, 0.0], False),
        ("/camera/image_raw", [0.0] * 5, False),
        ("/camera/image_raw", [], False),
    ],
)
def test_image_of_a_bent_lens_is_warned_of(image_topic, d, is_warned):
    topics, warning, _ = make_topics(image_topic)
    topics._receive("camera_info", CameraInfo(height=48, width=64, k=K, d=d))
    assert warning.called == is_warned
    if is_warned:
        assert "image must be rectified, got /camera/image_raw" in warning.call_args.args[0]
        assert warning.call_args.kwargs["throttle_duration_sec"] >= 60.0


def test_malformed_message_is_counted_and_told():
    topics, warning, counter = make_topics("/image")
    topics._receive("image", Image(height=48, width=64, encoding="rgb8", step=192, data=b"x"))
    assert counter["image"] == 1
    assert "refused a message (1 so far): image.data must have" in warning.call_args.args[0]
