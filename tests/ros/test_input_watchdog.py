"""The watchdog names what is wrong with an input, in the log and for diagnostics."""

from __future__ import annotations

import collections

import pytest
import rclpy
from sensor_msgs.msg import CompressedImage, Image

from tavid_ros.input_watchdog import InputWatchdog, WatchedTopic
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters
from tests.ros.graph import wait_for
from tests.ros.input_graph import BEST_EFFORT, InputGraph
from tests.ros.test_input_topics import make_image, make_mask


@pytest.fixture(scope="module")
def graph():
    made = InputGraph(image_reliability="reliable")
    made.listen()
    yield made
    made.close()


@pytest.fixture
def publish(graph):
    """Make publishers that are gone after the test."""
    made = []

    def make(kind, topic, qos=1):
        made.append(graph.other.create_publisher(kind, topic, qos))
        return made[-1]

    yield make
    for publisher in made:
        graph.other.destroy_publisher(publisher)


def test_publisher_of_other_qos_is_told_with_its_remedy(graph, publish):
    publish(Image, "image", BEST_EFFORT)
    problem = wait_for(lambda: (found := graph.problem("image")) and found.kind == "qos" and found)
    assert problem.text == (
        f"{graph.namespace}/image must be offered as reliable, volatile, got best effort, volatile "
        f"from {graph.namespace}/camera. Set image_reliability to best_effort."
    )
    wait_for(lambda: any(problem.text in line for line in graph.lines))
    # One publisher that is heard is enough.
    publish(Image, "image")
    wait_for(lambda: graph.problem("image") is None)
    wait_for(lambda: "input image is fine again" in graph.lines)


@pytest.fixture
def stranger(graph):
    """A node of another process: DDS allows one type per topic within one."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("stranger", namespace=graph.namespace, context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_other_type_is_told(graph, stranger):
    stranger.create_publisher(CompressedImage, "image", 1)
    problem = wait_for(lambda: (found := graph.problem("image")) and found.kind == "type" and found)
    assert "/image must be sensor_msgs/msg/Image, got sensor_msgs/msg/CompressedImage from" in (
        problem.text
    )
    assert "set use_compressed_image to true" in problem.text


@pytest.mark.parametrize(
    ("topic", "name", "advice"),
    [
        ("image/compressed", "image", "Set use_compressed_image to true."),
        ("depth/compressedDepth", "depth", "image_transport republish compressedDepth raw"),
    ],
)
def test_other_transport_is_told(graph, publish, topic, name, advice):
    publish(CompressedImage, topic)
    told = f"got one of {graph.namespace}/{topic} only. "
    problem = wait_for(lambda: (found := graph.problem(name)) and told in found.text and found)
    assert advice in problem.text


def test_missing_publisher_is_told_with_what_could_be_meant(graph, publish):
    # Its own overlay and frames are no cameras.
    graph.node.create_publisher(Image, "an_overlay", 1)
    publish(Image, "front/image_raw")
    told = f"got none. Remap it to {graph.namespace}/front/image_raw, or send the input in the goal"
    wait_for(lambda: (found := graph.problem("image")) and told in found.text)


class FakeNode:
    """A node of a graph with one publisher per topic that offers what is asked for."""

    def __init__(self, graph, published):
        self._graph, self._published = graph, published
        self.lines = graph.lines

    def get_publishers_info_by_topic(self, topic):
        return self._published.get(topic, [])

    def get_topic_names_and_types(self):
        return []

    def get_logger(self):
        return self._graph.node.get_logger()


@pytest.fixture
def watch(graph, publish):
    """A watchdog on a clock of the test, for an image that has a publisher."""
    publish(Image, "image")
    topic = f"{graph.namespace}/image"
    infos = wait_for(lambda: graph.node.get_publishers_info_by_topic(topic))
    watched = [
        WatchedTopic(name, f"/{name}", "sensor_msgs/msg/Image", BEST_EFFORT)
        for name in ("image", "target_mask")
    ]
    now_sec = [100.0]
    inputs = LatestInputs(lambda: now_sec[0])
    node = FakeNode(graph, {"/image": infos, "/target_mask": infos})
    malformed = collections.Counter()
    dog = InputWatchdog(node, inputs, watched, malformed, PlannerParameters, lambda: now_sec[0])
    graph.lines.clear()

    def pass_time(seconds):
        for _ in range(seconds):
            now_sec[0] += 1.0
            dog.check()
        return {problem.name: problem for problem in dog.problems}

    return inputs, pass_time, malformed


def test_stream_of_malformed_messages_is_not_called_silent(watch):
    _, pass_time, malformed = watch
    malformed["image"] = 12
    problem = pass_time(6)["image"]
    assert problem.kind == "malformed"
    assert "must bring sound messages, got only malformed ones for 6 s from" in problem.text
    assert pass_time(6)["image"].kind == "silent"
    malformed["image"] += 1
    assert pass_time(1)["image"].kind == "malformed"


def test_silence_is_told_then_an_error_then_over(graph, watch):
    inputs, pass_time, _ = watch
    assert pass_time(4) == {}
    assert pass_time(2)["image"].kind == "silent"
    assert graph.lines == []
    pass_time(5)
    assert len(graph.lines) == 1
    assert "/image must bring messages, got none for 10 s though" in graph.lines[0]
    inputs.put("image", make_image())
    assert pass_time(1) == {}
    assert graph.lines[1:] == ["input image is fine again"]
    assert not pass_time(6)["image"].is_error
    assert pass_time(5)["image"].is_error
    pass_time(200)
    assert 3 <= len(graph.lines[2:]) <= 5


def test_stamps_that_never_meet_are_told(watch):
    inputs, pass_time, _ = watch
    inputs.put("image", make_image(20.0))
    inputs.put("target_mask", make_mask(17.75))
    problem = pass_time(1)["target_mask"]
    assert problem.kind == "gap"
    assert "target_mask must be stamped within 0.5 s of an image, got -2.250 s" in problem.text
    inputs.put("target_mask", make_mask(20.0))
    assert pass_time(1) == {}


def test_missing_publisher_is_told_once_and_is_no_warning(graph):
    topic = WatchedTopic("image", "/no/image", "sensor_msgs/msg/Image", BEST_EFFORT)
    now_sec = [0.0]
    dog = InputWatchdog(
        FakeNode(graph, {}), LatestInputs(), [topic], {}, PlannerParameters, lambda: now_sec[0]
    )
    graph.lines.clear()
    for _ in range(300):
        now_sec[0] += 1.0
        dog.check()
    # The graph's own watchdog speaks of its topics when this takes long.
    (line,) = [line for line in graph.lines if "/no/image" in line]
    assert "/no/image (sensor_msgs/msg/Image) must have a publisher, got none" in line
    assert not dog.problems[0].is_warning
