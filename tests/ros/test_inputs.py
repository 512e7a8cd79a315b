"""Which messages a goal is completed with; no graph needed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, InputError
from tavid_ros import conversions
from tavid_ros.inputs import LatestInputs, StaleInputError
from tavid_ros.parameters import PlannerParameters
from tests.ros.messages import make_request

PARAMETERS = PlannerParameters(default_prompt="the default")
SECOND_NS = 1_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self.now_sec = 100.0

    def __call__(self) -> float:
        return self.now_sec


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def inputs(clock):
    return LatestInputs(clock)


def image_at(stamp_ns: int, value: int = 0) -> Image:
    header = conversions.header_from_stamp(stamp_ns, "optical")
    return conversions.message_from_image(np.full((48, 64, 3), value, np.uint8), header)


def mask_at(stamp_ns: int) -> Image:
    header = conversions.header_from_stamp(stamp_ns, "optical")
    return conversions.message_from_mask(make_request().target_mask, header)


def depth_at(stamp_ns: int, shape=(48, 64)) -> Image:
    header = conversions.header_from_stamp(stamp_ns, "optical")
    return conversions.message_from_depth(np.full(shape, 1.5, np.float32), header)


def camera_info_at(stamp_ns: int) -> CameraInfo:
    header = conversions.header_from_stamp(stamp_ns, "optical")
    return conversions.message_from_intrinsics(make_request().intrinsics, header)


def test_everything_from_the_topics(inputs):
    inputs.put("image", image_at(SECOND_NS, 9))
    inputs.put("target_mask", mask_at(SECOND_NS))
    inputs.put("depth", depth_at(SECOND_NS))
    inputs.put("camera_info", camera_info_at(SECOND_NS))
    inputs.put("prompt", String(data=" lift\nit "))
    request = inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert (request.image == 9).all()
    assert request.prompt == "lift it"
    assert request.depth_m[0, 0] == 1.5
    assert request.intrinsics.fx == 60.0
    assert (request.stamp_ns, request.frame_id) == (SECOND_NS, "optical")


def test_goal_comes_before_topics_and_topics_before_defaults(inputs):
    inputs.put("image", image_at(SECOND_NS, 9))
    inputs.put("target_mask", mask_at(SECOND_NS))
    assert inputs.make_request(PlanInteraction.Goal(), PARAMETERS).prompt == "the default"
    inputs.put("prompt", String(data="the topic's"))
    assert inputs.make_request(PlanInteraction.Goal(), PARAMETERS).prompt == "the topic's"
    goal = conversions.goal_from_request(make_request(seed=3))
    request = inputs.make_request(goal, PARAMETERS)
    assert request.prompt == goal.prompt
    assert (request.image == make_request(seed=3).image).all()
    assert request.actor_mask is not None


def test_mask_finds_the_image_that_it_was_made_for(inputs):
    for second in (1, 2, 3):
        inputs.put("image", image_at(second * SECOND_NS, second))
    inputs.put("target_mask", mask_at(2 * SECOND_NS))
    request = inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert (request.image == 2).all()
    assert request.stamp_ns == 2 * SECOND_NS


def test_mask_of_a_forgotten_image_is_refused(inputs):
    for second in range(1, 20):
        inputs.put("image", image_at(second * SECOND_NS))
    inputs.put("target_mask", mask_at(SECOND_NS))
    with pytest.raises(StaleInputError, match=r"target_mask must be within 0\.5 s of the image"):
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)


def test_stamps_of_zero_say_nothing(inputs):
    inputs.put("image", image_at(5 * SECOND_NS))
    inputs.put("target_mask", mask_at(0))
    inputs.make_request(PlanInteraction.Goal(), PARAMETERS)


@pytest.mark.parametrize("topic", ["image", "target_mask", "depth"])
def test_age_counts_from_arrival(inputs, clock, topic):
    for name, make in (("image", image_at), ("target_mask", mask_at), ("depth", depth_at)):
        if name != topic:
            continue
        inputs.put(name, make(SECOND_NS))
    clock.now_sec += 3.0
    for name, make in (("image", image_at), ("target_mask", mask_at), ("depth", depth_at)):
        if name != topic:
            inputs.put(name, make(SECOND_NS))
    with pytest.raises(StaleInputError, match=rf"{topic} must be at most 2 s old, got 3\.0 s") as e:
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert e.value.code is ErrorCode.STALE_INPUT
    any_age = dataclasses.replace(PARAMETERS, input_max_age_sec=0.0)
    inputs.make_request(PlanInteraction.Goal(), any_age)


def test_own_image_takes_depth_and_camera_only_if_they_fit(inputs):
    goal = conversions.goal_from_request(make_request(depth_m=None, intrinsics=None))
    stamp_ns = make_request().stamp_ns
    inputs.put("depth", depth_at(stamp_ns))
    inputs.put("camera_info", camera_info_at(stamp_ns))
    request = inputs.make_request(goal, PARAMETERS)
    assert request.depth_m is None
    assert request.intrinsics is None
    goal.image.header.frame_id = "optical"
    request = inputs.make_request(goal, PARAMETERS)
    assert request.depth_m is not None
    assert request.intrinsics is not None
    inputs.put("depth", depth_at(stamp_ns + 1))
    assert inputs.make_request(goal, PARAMETERS).depth_m is None


def test_unregistered_depth_of_the_topic_is_refused(inputs):
    inputs.put("image", image_at(SECOND_NS))
    inputs.put("target_mask", mask_at(SECOND_NS))
    inputs.put("depth", depth_at(SECOND_NS, (24, 32)))
    with pytest.raises(InputError, match="depth_m must have shape"):
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)


def test_uncalibrated_camera_info_is_no_calibration(inputs):
    inputs.put("image", image_at(SECOND_NS))
    inputs.put("target_mask", mask_at(SECOND_NS))
    inputs.put("camera_info", CameraInfo(width=64, height=48))
    assert inputs.make_request(PlanInteraction.Goal(), PARAMETERS).intrinsics is None


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("image", Image()),
        ("target_mask", image_at(0)),
        ("depth", image_at(0)),
        ("camera_info", CameraInfo(width=9, height=9, k=[float("nan")] * 9)),
        ("prompt", String(data="x" * 9999)),
    ],
)
def test_malformed_messages_are_refused_and_change_nothing(inputs, topic, message):
    with pytest.raises(InputError):
        inputs.put(topic, message)
    assert inputs.ages_sec() == {}


def test_remembered_images_are_bounded(inputs):
    header = conversions.header_from_stamp(SECOND_NS, "optical")
    large = conversions.message_from_image(np.zeros((3000, 4000, 3), np.uint8), header)
    for _ in range(4):
        inputs.put("image", large)
    assert sum(len(image.message.data) for image in inputs._images) <= 64 * 1024 * 1024
    inputs.clear()
    assert inputs.ages_sec() == {}
