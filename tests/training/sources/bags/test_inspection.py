"""A first topic map is guessed from types and names."""

import pytest

from tavid_core.errors import InputError
from training.sources.bags.inspection import Inspection, TopicSummary, draft_map
from training.sources.bags.topic_map import CameraTopics, ContactTopic, parse_topic_map

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO, STRING, BOOL = "sensor_msgs/msg/CameraInfo", "std_msgs/msg/String", "std_msgs/msg/Bool"


def draft(*topics, prompt=""):
    summaries = [
        TopicSummary(name, type_name, num_messages=3, what=what) for name, type_name, what in topics
    ]
    return draft_map(Inspection(sorted(summaries, key=lambda t: t.name), [], prompt))


def test_two_cameras_each_with_what_lies_nearest():
    topic_map = draft(
        ("/left/color/image_raw", IMAGE, "640x480 rgb8"),
        ("/left/color/camera_info", INFO, ""),
        ("/left/depth/image_raw", IMAGE, "640x480 16UC1"),
        ("/left/color/mask", IMAGE, "640x480 mono8"),
        ("/right/color/image_raw", IMAGE, "640x480 rgb8"),
        ("/right/color/camera_info", INFO, ""),
        ("/right/color/person_mask", IMAGE, "640x480 mono8"),
    )
    assert topic_map.cameras == {
        "left_color": CameraTopics(
            image="/left/color/image_raw",
            camera_info="/left/color/camera_info",
            depth="/left/depth/image_raw",
            target_mask="/left/color/mask",
        ),
        "right_color": CameraTopics(
            image="/right/color/image_raw",
            camera_info="/right/color/camera_info",
            actor_mask="/right/color/person_mask",
        ),
    }


def test_what_belongs_to_no_camera_more_than_to_another_goes_to_all():
    topic_map = draft(
        ("/a/image", IMAGE, "64x48 rgb8"),
        ("/b/image", IMAGE, "64x48 rgb8"),
        ("/camera_info", INFO, ""),
    )
    assert [camera.camera_info for camera in topic_map.cameras.values()] == ["/camera_info"] * 2


def test_compressed_images_are_preferred_and_compressed_depth_is_none():
    topic_map = draft(
        ("/image", IMAGE, "640x480 rgb8"),
        ("/image/compressed", COMPRESSED, "640x480 compressed"),
        ("/depth/compressedDepth", COMPRESSED, ""),
    )
    assert topic_map.cameras == {"camera": CameraTopics(image="/image/compressed")}


def test_prompts_markers_and_the_prompt_of_the_recorder():
    topic_map = draft(
        ("/image", IMAGE, "640x480 rgb8"),
        ("/chatter", STRING, ""),
        ("/task", STRING, ""),
        ("/episode", BOOL, ""),
        prompt="A person lifts the mug.",
    )
    assert (topic_map.prompt, topic_map.marker) == ("/task", "/episode")
    assert topic_map.prompt_text == "A person lifts the mug."
    # To be switched on by whoever knows what the marker means.
    assert topic_map.episodes == "bag"


def test_a_switch_that_tells_contact_is_proposed():
    image = ("/image", IMAGE, "640x480 rgb8")
    others = [("/grasp/pose_text", STRING, ""), ("/light", BOOL, "")]
    assert draft(image, *others).contact is None
    topic_map = draft(image, *others, ("/start_contact", BOOL, ""), ("/touch", BOOL, "False"))
    assert topic_map.marker == "/start_contact"
    assert topic_map.contact == ContactTopic(topic="/touch")
    text = topic_map.to_yaml()
    assert "contact:\n  topic: /touch\n" in text
    assert "joint" not in text
    assert parse_topic_map(text) == topic_map


def test_a_bag_without_images_is_refused():
    with pytest.raises(InputError, match="bag must have a topic with images"):
        draft(("/task", STRING, ""), ("/mask", IMAGE, "640x480 mono8"))
