"""The planner's subscriptions: whom they hear, what they take on, and what they warn of."""

from __future__ import annotations

import time

import numpy as np
import pytest
from rclpy.qos import ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from tavid_ros import conversions
from tavid_ros.input_qos import choose_input_qos
from tavid_ros.parameters import PlannerParameters
from tests.ros.graph import wait_for
from tests.ros.input_graph import BEST_EFFORT, LATCHED, InputGraph, header_at
from tests.ros.messages import make_request

K = [60.0, 0.0, 32.0, 0.0, 60.0, 24.0, 0.0, 0.0, 1.0]


@pytest.fixture
def inputs_graph():
    made = []

    def make(**parameters):
        made.append(InputGraph(**parameters))
        return made[-1]

    yield make
    for graph in made:
        graph.close()


def make_mask(seconds=1.0):
    return conversions.message_from_mask(make_request().target_mask, header_at(seconds))


def make_image(seconds=1.0):
    return conversions.message_from_image(np.zeros((48, 64, 3), np.uint8), header_at(seconds))


@pytest.mark.parametrize(
    ("qos", "num_listeners"),
    [(1, 2), (BEST_EFFORT, 1), (LATCHED, 2)],
    ids=["reliable", "best effort", "latched"],
)
def test_every_kind_of_publisher_is_heard_once_per_message(inputs_graph, qos, num_listeners):
    graph = inputs_graph()
    graph.listen()
    publisher = graph.publisher(Image, "target_mask", qos, num_listeners)
    for second in range(1, 6):
        publisher.publish(make_mask(second))
        wait_for(lambda second=second: graph.inputs.num_put["target_mask"] >= second)
    time.sleep(0.2)
    assert graph.inputs.num_put["target_mask"] == 5


def test_latched_mask_and_prompt_are_heard_by_who_comes_later(inputs_graph):
    graph = inputs_graph()
    mask = graph.other.create_publisher(Image, "target_mask", LATCHED)
    prompt = graph.other.create_publisher(String, "prompt", LATCHED)
    mask.publish(make_mask())
    prompt.publish(String(data="lift it"))
    graph.listen()
    wait_for(lambda: set(graph.inputs.ages_sec()) == {"target_mask", "prompt"})


def test_compressed_images_are_heard_when_asked_for(inputs_graph):
    graph = inputs_graph(use_compressed_image=True)
    graph.listen()
    image = np.full((48, 64, 3), 90, np.uint8)
    publisher = graph.publisher(CompressedImage, "image/compressed")
    publisher.publish(conversions.compressed_from_image(image, header_at(1.0)))
    wait_for(graph.inputs.ages_sec)


def test_malformed_messages_are_counted_and_told_and_a_good_one_is_taken(inputs_graph):
    graph = inputs_graph()
    graph.listen()
    publisher = graph.publisher(Image, "image")
    publisher.publish(Image(height=48, width=64, encoding="rgb8", step=192, data=b"x"))
    wait_for(lambda: graph.num_malformed["image"])
    assert "refused a message (1 so far): image.data must have" in graph.lines[0]
    # No message at all: rclpy cannot even read its bytes.
    publisher.publish(b"\x00\x01\x00\x00no image")
    publisher.publish(make_image())
    wait_for(graph.inputs.ages_sec)


def test_lens_that_stays_is_warned_of(inputs_graph):
    graph = inputs_graph(rectify="never")
    graph.listen()
    publisher = graph.publisher(CameraInfo, "camera_info")
    publisher.publish(CameraInfo(height=48, width=64, k=K, d=[0.0] * 5))
    wait_for(lambda: graph.inputs.num_put["camera_info"])
    assert graph.lines == []
    bent = CameraInfo(height=48, width=64, k=K, d=[0.1] * 5, distortion_model="plumb_bob")
    publisher.publish(bent)
    wait_for(lambda: graph.lines)
    expected = f"image must be rectified, got {graph.namespace}/image with plumb_bob distortion"
    assert graph.lines[0].startswith(expected)


def test_clock_that_jumps_back_forgets_stamped_inputs(inputs_graph):
    graph = inputs_graph(use_sim_time=True)
    graph.listen()
    clock = graph.publisher(Clock, "/clock")
    image, mask = graph.publisher(Image, "image"), graph.publisher(Image, "target_mask")

    def now_sec():
        return graph.node.get_clock().now().nanoseconds / 1e9

    def set_clock(seconds):
        clock.publish(Clock(clock=header_at(seconds).stamp))
        wait_for(lambda: abs(now_sec() - seconds) < 1e-6)

    def send():
        image.publish(make_image(now_sec()))
        mask.publish(make_mask(now_sec()))
        wait_for(lambda: {"image", "target_mask"} <= set(graph.inputs.ages_sec()))

    set_clock(1000.0)
    send()
    # 600 s ahead: nothing is lost, and nothing is 600 s old.
    set_clock(1600.0)
    wait_for(lambda: any("jumped by +600.000 s" in line for line in graph.lines))
    assert all(0 <= age_sec < 60 for age_sec in graph.inputs.ages_sec().values())
    set_clock(1540.0)
    wait_for(lambda: any("jumped by -60.000 s" in line for line in graph.lines))
    assert graph.inputs.ages_sec() == {}
    # The clock stands still from here on.
    send()
    assert all(0 <= age_sec < 60 for age_sec in graph.inputs.ages_sec().values())
    assert sum("jumped" in line for line in graph.lines) == 2


def test_reliability_and_depth_of_images_are_parameters():
    parameters = PlannerParameters(image_reliability="reliable", image_depth=7)
    for name in ("image", "depth"):
        qos = choose_input_qos(name, parameters)
        assert (qos.reliability, qos.depth) == (ReliabilityPolicy.RELIABLE, 7)
    assert choose_input_qos("target_mask", parameters).depth == 1
    assert choose_input_qos("image", PlannerParameters()).reliability == (
        ReliabilityPolicy.BEST_EFFORT
    )
