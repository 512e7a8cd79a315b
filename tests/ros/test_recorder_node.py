"""The recorder, over DDS: what was published is what the readers read."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import rclpy
import yaml
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Header, String

from tavid_core.errors import InputError
from tavid_ros import conversions
from tavid_ros.processes import NodeProcess
from tavid_ros.recorder_node import RecorderNode
from tavid_ros.spinning import BackgroundExecutor
from tests.ros.graph import wait_for
from training.sources.bags.bag import Bag
from training.sources.bags.limits import BagLimits

NUMBERS = itertools.count()
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SENSOR = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
# On an idle machine Fast DDS loses most large messages that are sent faster than a camera's while
# the two ends are still getting to know each other.
MEETING_SEC = 1.0


@pytest.fixture
def robot():
    """A node of the robot, in a namespace of its own."""
    context = rclpy.Context()
    namespace = f"/robot_{os.getpid()}_{next(NUMBERS)}"
    arguments = ["--ros-args", "-r", f"__ns:={namespace}", "--disable-rosout-logs"]
    rclpy.init(args=arguments, context=context)
    node = rclpy.create_node("robot", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def record(robot, tmp_path):
    """Start recorders; they are closed at the end."""
    started = []

    def start(**parameters):
        values = {"bag": str(tmp_path / "bag"), "min_free_mb": 0} | parameters
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = RecorderNode(context=robot.context, parameter_overrides=overrides)
        started.append((node, BackgroundExecutor(node, num_threads=2)))
        return node

    yield start
    for node, executor in started:
        executor.stop()
        node.bag.close()
        node.destroy_node()


def make_image(number):
    pixels = np.full((16, 24, 3), number, np.uint8)
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 100 + number, number
    return conversions.message_from_image(pixels, header)


def publish(robot, kind, topic, qos, messages):
    """Publish to who listens; returns the messages."""
    publisher = robot.create_publisher(kind, topic, qos)
    wait_for(publisher.get_subscription_count)
    for message in messages:
        publisher.publish(message)
        time.sleep(0.02)
    return messages


KINDS = {"image": Image, "episode": Bool, "prompt": String}


def read_bag(path):
    """Read a bag with rosbags: messages by topic, and the times of receiving."""
    with Reader(path) as reader:
        found: dict[str, list] = {}
        times = []
        for connection, received_ns, data in reader.messages():
            name = connection.topic.rsplit("/", 1)[-1]
            # DDS fills the end up to four bytes, so that bytes are not what is compared.
            found.setdefault(name, []).append(deserialize_message(bytes(data), KINDS[name]))
            times.append(received_ns)
        metadata = yaml.safe_load((path / "metadata.yaml").read_text())
        return found, times, metadata["rosbag2_bagfile_information"], list(reader.connections)


def test_the_bag_holds_what_was_published(robot, record, tmp_path):
    latched = robot.create_publisher(String, "prompt", LATCHED)
    latched.publish(String(data="Lift it."))
    start_ns = time.time_ns()
    recorder = record(prompt="Said by the parameter.")
    sent = {
        "image": publish(robot, Image, "image", SENSOR, [make_image(n) for n in range(20)]),
        "episode": publish(robot, Bool, "episode", 10, [Bool(data=True), Bool(data=False)]),
        "prompt": [String(data="Lift it.")],
    }
    wait_for(lambda: recorder.bag.num_messages.total() == 23)
    assert recorder.close()
    found, times, metadata, connections = read_bag(tmp_path / "bag")
    assert found == sent
    assert times == sorted(times)
    assert start_ns < times[0] < times[-1] < time.time_ns()
    assert metadata["custom_data"] == {"prompt": "Said by the parameter."}
    prompt = next(c for c in connections if c.topic.endswith("prompt"))
    assert [qos.durability.name for qos in prompt.ext.offered_qos_profiles] == ["TRANSIENT_LOCAL"]
    assert all(connection.msgdef.data for connection in connections)


@pytest.mark.parametrize("compress", [True, False])
def test_the_bag_is_the_same_to_another_reader(robot, record, tmp_path, compress):
    from mcap.reader import make_reader

    recorder = record(compress=compress, topics=["image"])
    sent = publish(robot, Image, "image", 10, [make_image(n) for n in range(5)])
    wait_for(lambda: recorder.bag.num_messages.total() == 5)
    assert recorder.close()
    with (tmp_path / "bag" / "bag.mcap").open("rb") as stream:
        rows = list(make_reader(stream).iter_messages())
    assert [deserialize_message(message.data, Image) for _, _, message in rows] == sent
    assert {schema.name for schema, _, _ in rows} == {"sensor_msgs/msg/Image"}
    assert "uint32 height" in rows[0][0].data.decode()


def test_a_weaker_publisher_that_comes_later_is_heard_too(robot, record):
    recorder = record(topics=["prompt"])
    first = robot.create_publisher(String, "prompt", LATCHED)
    first.publish(String(data="first"))
    wait_for(lambda: recorder.bag.num_messages.total() == 1)
    publish(robot, String, "prompt", SENSOR, [String(data="second")] * 3)
    wait_for(lambda: recorder.bag.num_messages.total() >= 2)


def test_nothing_is_overwritten(record, tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "dear.txt").write_text("mine")
    with pytest.raises(InputError, match=r"bag must be a new folder, got .*nothing is overwritten"):
        record()
    assert (tmp_path / "bag" / "dear.txt").read_text() == "mine"


def test_a_recording_of_nothing_leaves_nothing(record, tmp_path):
    recorder = record(topics=["nobody_says_this"])
    assert not recorder.close()
    assert not (tmp_path / "bag").exists()


def test_limits_end_it(robot, record):
    recorder = record(max_duration_sec=0.3)
    wait_for(recorder.is_finished.is_set)
    recorder = record(bag=str(recorder.bag.path) + "_2", max_size_mb=1, topics=["speech"])
    publish(robot, String, "speech", 10, [String(data="x" * 600_000)] * 3)
    wait_for(recorder.is_finished.is_set)
    assert recorder.close()
    recorder = record(bag=str(recorder.bag.path) + "_3", min_free_mb=10**9)
    wait_for(recorder.is_finished.is_set)
    assert not recorder.close()
    assert "MB free, got" in recorder.failure


def test_messages_that_got_lost_are_counted_and_told(robot, record, tmp_path):
    """A burst that a queue of one cannot hold: what is missing in the bag is known."""
    recorder = record(topics=["prompt"], queue_depth=1)
    publisher = robot.create_publisher(String, "prompt", 1)
    wait_for(publisher.get_subscription_count)
    publisher.publish(String(data="first"))
    wait_for(lambda: recorder.bag.num_messages.total() == 1)
    for number in range(400):
        publisher.publish(String(data=f"{number} " + "x" * 50_000))
    # The last one is never pushed out, but DDS may take seconds to offer it again.
    wait_for(lambda: recorder.bag.num_messages.total() + sum(recorder.num_lost.values()) == 401)
    assert recorder.close()
    found, _, metadata, _ = read_bag(tmp_path / "bag")
    assert found["prompt"][-1].data.startswith("399 ")
    num_lost = 401 - len(found["prompt"])
    assert num_lost > 0
    assert list(recorder.num_lost.values()) == [num_lost]
    assert metadata["custom_data"]["lost_messages"].endswith(f"prompt: {num_lost}")


def test_memory_stays_flat_over_a_long_recording(robot, tmp_path):
    parameters = {"bag": str(tmp_path / "bag"), "topics": ["image"]}
    bag = tmp_path / "bag" / "bag.mcap"
    publisher = robot.create_publisher(Image, "image", 5)
    pixels = np.random.default_rng(0).integers(0, 255, (480, 720, 3), np.uint8)
    message = conversions.message_from_image(pixels, Header())
    with NodeProcess(
        "tavid_ros.recorder_node", parameters, tmp_path, namespace=robot.get_namespace()
    ) as process:
        wait_for(publisher.get_subscription_count, 60.0)
        time.sleep(MEETING_SEC)
        memory_mb = []

        def has_written(size_mb: float) -> bool:
            # A busy machine loses images of 1 MB: as many are sent as it takes.
            publisher.publish(message)
            time.sleep(0.02)
            return bag.is_file() and bag.stat().st_size > size_mb * 1e6

        for size_mb in (20, 45, 70):
            wait_for(lambda size_mb=size_mb: has_written(size_mb), 60.0)
            memory_mb.append(psutil.Process(process.pid).memory_info().rss / 1e6)
        assert process.end() == 0, process.read_log_tail()
    # A hundred images of 1 MB came after the first figure: two in a chunk are as large as one.
    assert memory_mb[2] - memory_mb[0] < 40, memory_mb


def test_types_that_are_no_messages_of_ros_are_told(robot, record):
    from tavid.action import PlanInteraction

    recorder = record(topics=["plan"])
    kind = PlanInteraction.Impl.FeedbackMessage
    publisher = robot.create_publisher(kind, "plan", 10)
    publisher.publish(kind())
    wait_for(lambda: recorder._topics[0].problem)
    assert "type must be of a message, got" in recorder._topics[0].problem


def get_size(folder: Path) -> int:
    """Return how many bytes the files of a bag have."""
    return sum(path.stat().st_size for path in folder.glob("*.mcap"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_bag_survives_the_end_of_its_recorder(robot, tmp_path, number):
    """Published without pause while the signal comes."""
    parameters = {"bag": str(tmp_path / "bag"), "topics": ["image"], "compress": False}
    publisher = robot.create_publisher(Image, "image", 10)
    namespace = robot.get_namespace()
    with NodeProcess(
        "tavid_ros.recorder_node", parameters, tmp_path, namespace=namespace
    ) as process:
        wait_for(publisher.get_subscription_count, 60.0)
        time.sleep(MEETING_SEC)
        message = conversions.message_from_image(np.zeros((300, 400, 3), np.uint8), Header())

        published = itertools.count()

        def publish() -> None:
            publisher.publish(message)
            next(published)
            time.sleep(0.02)

        # However slow the machine is: the signal comes when the bag holds some of them.
        wait_for(lambda: publish() or get_size(tmp_path / "bag") > 25 * len(message.data), 60.0)
        os.kill(process.pid, number)
        for _ in range(20):
            publish()
        wait_for(lambda: process.exit_status is not None)
        if number == signal.SIGKILL:
            assert not (tmp_path / "bag" / "metadata.yaml").exists()
            bag = Bag(tmp_path / "bag", BagLimits())
            messages = [message.data for message in bag.messages(lambda _: True)]
            assert len(messages) >= 20
            assert all(deserialize_message(data, Image) == message for data in messages)
            assert any(note.is_loss for note in bag.report.notes)
            return
        assert process.exit_status == 0, process.read_log_tail()
    found, _, metadata, _ = read_bag(tmp_path / "bag")
    assert 20 <= len(found["image"]) <= next(published)
    assert metadata["message_count"] == len(found["image"])
    assert all(one == message for one in found["image"])
