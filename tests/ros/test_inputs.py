"""Which messages a goal is completed with; no graph needed."""

from __future__ import annotations

import dataclasses
import threading
import time

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
    for second in range(1, 50):
        inputs.put("image", image_at(second * SECOND_NS))
    inputs.put("target_mask", mask_at(SECOND_NS))
    with pytest.raises(StaleInputError, match=r"target_mask must be within 0\.5 s of the image"):
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert inputs.find_gap_sec("target_mask", 0.5) == pytest.approx(-17.0)


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
    inputs.clear()
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


def test_clearing_forgets_everything(inputs):
    inputs.put("image", image_at(SECOND_NS))
    inputs.clear()
    assert inputs.ages_sec() == {}
    with pytest.raises(
        StaleInputError, match="target_mask must come with the goal or on its topic"
    ):
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)


def put_set(inputs, image_sec, mask_sec, depth_sec=None, value=0):
    """Put messages with these stamps."""
    inputs.put("image", image_at(round(image_sec * SECOND_NS), value))
    inputs.put("target_mask", mask_at(round(mask_sec * SECOND_NS)))
    if depth_sec is not None:
        inputs.put("depth", depth_at(round(depth_sec * SECOND_NS)))


def test_older_set_that_belongs_together_is_taken_while_depth_lags(inputs):
    put_set(inputs, 10.0, 10.0, 10.0, value=1)
    put_set(inputs, 10.5, 10.5, value=2)
    # 0.56 s beside the newest image, and in time for the one before.
    put_set(inputs, 10.56, 10.56, value=3)
    request = inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert (request.image == 2).all()
    exact = dataclasses.replace(PARAMETERS, pair_max_offset_sec=0.0)
    request = inputs.make_request(PlanInteraction.Goal(), exact)
    assert (request.image == 1).all()


def test_set_of_equal_stamps_goes_before_a_newer_one_that_is_not_complete_yet(inputs):
    put_set(inputs, 10.0, 10.0, 10.0, value=1)
    put_set(inputs, 10.2, 10.2, value=2)
    assert (inputs.make_request(PlanInteraction.Goal(), PARAMETERS).image == 1).all()
    inputs.put("depth", depth_at(round(10.2 * SECOND_NS)))
    assert (inputs.make_request(PlanInteraction.Goal(), PARAMETERS).image == 2).all()
    # A mask that comes before its image does not get the image before.
    inputs.put("target_mask", mask_at(round(10.4 * SECOND_NS)))
    assert (inputs.make_request(PlanInteraction.Goal(), PARAMETERS).image == 2).all()
    assert inputs.make_request(PlanInteraction.Goal(), PARAMETERS).depth_m is not None


def test_choice_among_full_memories_is_quick(inputs):
    for number in range(40):
        seconds = 10.0 + number / 30
        put_set(inputs, seconds, seconds + 0.011, seconds + 0.007)
    start_sec = time.process_time()
    inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert time.process_time() - start_sec < 0.5


def test_depth_that_fits_no_image_is_refused_with_its_gap(inputs):
    put_set(inputs, 10.0, 10.0, 9.25)
    with pytest.raises(StaleInputError, match=r"depth must be within 0\.5 s .* got -0\.750 s"):
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert inputs.find_gap_sec("depth", 0.5) == pytest.approx(-0.75)
    assert inputs.find_gap_sec("depth", 0.75) is None


def test_goal_waits_for_the_set_that_it_lacks():
    inputs = LatestInputs()
    put_set(inputs, 10.0, 5.0)
    late = threading.Timer(0.15, lambda: inputs.put("target_mask", mask_at(10 * SECOND_NS)))
    late.start()
    request = inputs.wait_request(
        PlanInteraction.Goal(), dataclasses.replace(PARAMETERS, input_wait_sec=30.0), lambda: None
    )
    assert request.stamp_ns == 10 * SECOND_NS
    late.join()


def test_wait_ends_with_its_goal_or_its_time():
    inputs = LatestInputs()
    patient = dataclasses.replace(PARAMETERS, input_wait_sec=3600.0)
    assert inputs.wait_request(PlanInteraction.Goal(), patient, lambda: True) is None
    brief = dataclasses.replace(PARAMETERS, input_wait_sec=0.05)
    with pytest.raises(StaleInputError, match="got none since the start"):
        inputs.wait_request(PlanInteraction.Goal(), brief, lambda: None)
    # What waiting cannot mend is told at once.
    put_set(inputs, 10.0, 10.0)
    goal = PlanInteraction.Goal(prompt="x" * 2000)
    with pytest.raises(InputError, match="prompt must have"):
        inputs.wait_request(goal, patient, lambda: None)


def test_ages_and_rates_come_from_arrivals(inputs, clock):
    for _ in range(21):
        inputs.put("prompt", String(data="x"))
        clock.now_sec += 0.1
    assert inputs.rates_hz() == {"prompt": pytest.approx(20 / 2.1)}
    assert inputs.ages_sec() == {"prompt": pytest.approx(0.1)}
    clock.now_sec -= 50.0
    assert inputs.ages_sec() == {"prompt": 0.0}
    clock.now_sec += 60.0
    assert inputs.rates_hz() == {}


def test_jump_back_forgets_what_is_paired_by_stamps(inputs):
    put_set(inputs, 10.0, 10.0, 10.0)
    inputs.put("camera_info", camera_info_at(SECOND_NS))
    inputs.put("prompt", String(data="x"))
    inputs.clear_paired()
    assert set(inputs.ages_sec()) == {"camera_info", "prompt"}


def bent_info(width=64, height=48):
    info = camera_info_at(SECOND_NS)
    info.d = [-0.2, 0.05, 0.0, 0.0, 0.0]
    info.p[0] = 50.0
    info.width, info.height = width, height
    return info


def plan_bent(inputs, image_topic, **changes):
    inputs.set_image_topic(image_topic)
    put_set(inputs, 10.0, 10.0, 10.0)
    inputs.put("camera_info", bent_info())
    parameters = dataclasses.replace(PARAMETERS, **changes)
    return inputs.make_request(PlanInteraction.Goal(), parameters).intrinsics


def test_distortion_is_undone_unless_the_image_is_rectified(inputs):
    undone = plan_bent(inputs, "/camera/image_raw")
    assert undone.fx not in (50.0, 60.0)
    assert not undone.has_distortion
    assert plan_bent(inputs, "/camera/image_rect_color").fx == 50.0
    assert plan_bent(inputs, "/camera/image_rect_color", rectify="always") == undone
    assert plan_bent(inputs, "/camera/color", rectify="done").fx == 50.0
    left = plan_bent(inputs, "/camera/image_raw", rectify="never")
    assert (left.fx, left.has_distortion) == (60.0, True)


def test_distortion_that_cannot_be_undone_is_said(inputs):
    put_set(inputs, 10.0, 10.0)
    info = bent_info()
    info.distortion_model = "thin_prism"
    inputs.put("camera_info", info)
    assert inputs.make_request(PlanInteraction.Goal(), PARAMETERS).intrinsics.has_distortion


@pytest.mark.parametrize("topic", ["target_mask", "depth", "camera_info"])
def test_what_another_camera_took_is_refused(inputs, topic):
    messages = {
        "image": image_at(SECOND_NS),
        "target_mask": mask_at(SECOND_NS),
        "depth": depth_at(SECOND_NS),
        "camera_info": camera_info_at(SECOND_NS),
    }
    messages[topic].header.frame_id = "depth_optical"
    for name, message in messages.items():
        inputs.put(name, message)
    match = f"{topic} must be in the frame of its image, 'optical', got 'depth_optical'"
    with pytest.raises(InputError, match=match):
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    messages[topic].header.frame_id = ""
    inputs.make_request(PlanInteraction.Goal(), PARAMETERS)


def test_camera_info_is_scaled_with_its_image(inputs):
    put_set(inputs, 10.0, 10.0)
    info = camera_info_at(SECOND_NS)
    info.width, info.height = 128, 96
    inputs.put("camera_info", info)
    intrinsics = inputs.make_request(PlanInteraction.Goal(), PARAMETERS).intrinsics
    assert (intrinsics.width, intrinsics.height, intrinsics.fx) == (64, 48, 30.0)
    info.height = 128
    with pytest.raises(InputError, match=r"camera_info must have the aspect ratio .* got 128x128"):
        inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    own = conversions.goal_from_request(make_request(intrinsics=None, frame_id="optical"))
    assert inputs.make_request(own, PARAMETERS).intrinsics is None


def test_request_is_told_with_the_area_of_its_mask(clock):
    told = []
    inputs = LatestInputs(clock, told.append)
    put_set(inputs, 10.0, 10.1, 9.9)
    inputs.make_request(PlanInteraction.Goal(), PARAMETERS)
    assert told == [
        "planning on a 64x48 image: target_mask marks 100 pixels (3.3%), +0.100 s from the image; "
        "depth -0.100 s; camera none"
    ]
