"""A node that listens to the inputs, and one that publishes them, over real DDS."""

from __future__ import annotations

import collections
import itertools

import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from tavid_ros import conversions
from tavid_ros.input_topics import InputTopics
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters, declare, read
from tavid_ros.spinning import BackgroundExecutor
from tests.ros.graph import wait_for

_NUMBERS = itertools.count()
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class _Recorder:
    """Keeps what a node says in its log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text, **_):
        self.lines.append(text)

    warning = error = info


class _Listener(LifecycleNode):
    def __init__(self, *arguments, **keywords) -> None:
        self.recorder = None
        super().__init__(*arguments, **keywords)
        self.recorder = _Recorder()

    def get_logger(self):
        return self.recorder or super().get_logger()


class _CountingInputs(LatestInputs):
    def __init__(self) -> None:
        super().__init__()
        self.num_put: collections.Counter[str] = collections.Counter()

    def put(self, topic, message):
        super().put(topic, message)
        self.num_put[topic] += 1


class InputGraph:
    """Starts to listen at once, or with `listen` after what the test has to do before."""

    def __init__(self, **parameters) -> None:
        self.context = rclpy.Context()
        self.namespace = f"/inputs_{next(_NUMBERS)}"
        arguments = ["--ros-args", "-r", f"__ns:={self.namespace}", "--disable-rosout-logs"]
        rclpy.init(args=arguments, context=self.context)
        self.other = rclpy.create_node("camera", context=self.context)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = _Listener("planner", context=self.context, parameter_overrides=overrides)
        declare(self.node, PlannerParameters)
        self.inputs = _CountingInputs()
        self.num_malformed: collections.Counter[str] = collections.Counter()
        self.topics: InputTopics | None = None
        self.executor = BackgroundExecutor(self.node, self.other, num_threads=3)

    def listen(self) -> InputTopics:
        """Subscribe to the inputs."""
        parameters = read(self.node, PlannerParameters)
        self.topics = InputTopics(self.node, self.inputs, self.num_malformed, parameters)
        return self.topics

    @property
    def lines(self) -> list[str]:
        """What the listener said so far."""
        return self.node.recorder.lines

    def publisher(self, kind, topic, qos=1, num_listeners=1):
        """Make a publisher and wait until it is listened to."""
        publisher = self.other.create_publisher(kind, topic, qos)
        wait_for(lambda: publisher.get_subscription_count() >= num_listeners)
        return publisher

    def problem(self, name: str):
        """The watchdog's word on an input, or None."""
        found = [problem for problem in self.topics.problems if problem.name == name]
        return found[0] if found else None

    def close(self) -> None:
        """Take everything down."""
        if self.topics is not None:
            self.topics.destroy()
        self.executor.stop()
        self.node.destroy_node()
        self.other.destroy_node()
        rclpy.shutdown(context=self.context)


def header_at(seconds: float):
    """A header of that stamp."""
    return conversions.header_from_stamp(round(seconds * 1e9), "optical")
