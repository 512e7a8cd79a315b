"""Says why an input does not come: the question that most users of a silent node have."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from tavid_ros.input_qos import explain_qos
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters

__all__ = ["InputProblem", "InputWatchdog", "WatchedTopic"]

_REQUIRED = ("image", "target_mask")
# Published again and again; the others may speak once, when somebody clicks or types.
_STREAMS = ("image", "depth")
_SILENT_SEC = 5.0
_LOST_SEC = 10.0
_REPEAT_SEC = 60.0
_MAX_ALIKE = 4
_TRANSPORTS = ("compressed", "compressedDepth", "theora", "zstd", "ffmpeg")


@dataclasses.dataclass(frozen=True)
class WatchedTopic:
    """One input as it is subscribed to.

    Args:
        name: The input.
        topic: Fully qualified, after remapping.
        type_name: As `ros2 topic type` says it.
        qos: Of its subscription; a publisher must fit it.
    """

    name: str
    topic: str
    type_name: str
    qos: QoSProfile


@dataclasses.dataclass(frozen=True)
class InputProblem:
    """Why an input does not come.

    Args:
        name: The input.
        kind: "missing", "type", "qos", "silent", "malformed" or "gap".
        text: What is wrong and what to do about it.
        is_error: Whether it has been so for long.
    """

    name: str
    kind: str
    text: str
    is_error: bool = False

    @property
    def is_warning(self) -> bool:
        """Whether something is wrong; a missing publisher is not, as goals may bring the input."""
        return self.kind != "missing"


class InputWatchdog:
    """Compares what is published with what is listened to; `check` is called by a timer.

    Args:
        node: Owner of the topics.
        inputs: What came.
        topics: What is listened to.
        num_malformed: Refused messages by input.
        read_parameters: Gives the parameters of now.
        clock_sec: Steady clock, seconds.
    """

    def __init__(
        self,
        node: LifecycleNode,
        inputs: LatestInputs,
        topics: Sequence[WatchedTopic],
        num_malformed: Mapping[str, int],
        read_parameters: Callable[[], PlannerParameters],
        clock_sec: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._inputs = inputs
        self._topics = tuple(topics)
        self._num_malformed = num_malformed
        self._read_parameters = read_parameters
        self._clock_sec = clock_sec
        self._start_sec = clock_sec()
        self._lock = threading.Lock()
        self._since_sec: dict[tuple[str, str], float] = {}
        self._told_sec: dict[tuple[str, str], float] = {}
        self._refused: dict[str, tuple[int, float]] = {}
        self._problems: tuple[InputProblem, ...] = ()

    @property
    def problems(self) -> tuple[InputProblem, ...]:
        """What the last check found."""
        return self._problems

    def check(self) -> None:
        """Look at the graph and at what came, and tell in the log what is new."""
        with self._lock:
            problems = tuple(self._find_problems())
            self._problems = problems
            self._tell(problems)

    def _find_problems(self) -> list[InputProblem]:
        publishers = {
            watched.name: self._node.get_publishers_info_by_topic(watched.topic)
            for watched in self._topics
        }
        ages_sec = self._inputs.ages_sec()
        problems = []
        for watched in self._topics:
            problem = self._check_publishers(watched, publishers[watched.name])
            if problem is None and publishers[watched.name] and watched.name in _STREAMS:
                problem = self._check_silence(
                    watched, publishers[watched.name], ages_sec.get(watched.name)
                )
            if problem is None and watched.name in ("target_mask", "depth"):
                problem = self._check_gap(watched.name, ages_sec)
            if problem is not None:
                problems.append(problem)
        return problems

    def _check_publishers(
        self, watched: WatchedTopic, publishers: Sequence[TopicEndpointInfo]
    ) -> InputProblem | None:
        others = [info for info in publishers if info.topic_type != watched.type_name]
        if others and len(others) == len(publishers):
            return InputProblem(
                watched.name,
                "type",
                f"{watched.topic} must be {watched.type_name}, got {others[0].topic_type} from "
                f"{_name_node(others[0])}. {_advise_type(watched, others[0].topic_type)}",
            )
        publishers = [info for info in publishers if info.topic_type == watched.type_name]
        if not publishers:
            return self._explain_missing(watched)
        deaf = [info for info in publishers if not _is_heard(info, watched)]
        if len(deaf) < len(publishers):
            return None
        wanted, offered = watched.qos, deaf[0].qos_profile
        return InputProblem(
            watched.name,
            "qos",
            f"{watched.topic} must be offered as {explain_qos(wanted)}, got {explain_qos(offered)} "
            f"from {_name_node(deaf[0])}. Set image_reliability to best_effort.",
        )

    def _explain_missing(self, watched: WatchedTopic) -> InputProblem | None:
        base, _, transport = watched.topic.rpartition("/")
        raw = base if transport in _TRANSPORTS else watched.topic
        for name, _ in self._node.get_topic_names_and_types():
            kind = name.removeprefix(raw).strip("/")
            if name == watched.topic or not (name == raw or kind in _TRANSPORTS):
                continue
            if not name.startswith(raw) or not self._node.count_publishers(name):
                continue
            return InputProblem(
                watched.name,
                "type",
                f"{watched.topic} must have a publisher, got one of {name} only. "
                f"{_advise_transport(watched, kind)}",
            )
        if watched.name not in _REQUIRED:
            return None
        return InputProblem(
            watched.name,
            "missing",
            f"{watched.topic} ({watched.type_name}) must have a publisher, got none. Remap it to "
            f"{self._list_alike(watched)}, or send the input in the goal.",
        )

    def _list_alike(self, watched: WatchedTopic) -> str:
        """Name what could be meant: topics of the same type that somebody publishes."""
        own = {topic.topic for topic in self._topics}
        alike = [
            name
            for name, type_names in self._node.get_topic_names_and_types()
            if watched.type_name in type_names and name not in own
        ]
        alike = [name for name in sorted(alike) if self._is_of_others(name)]
        return " or ".join(alike[:_MAX_ALIKE]) or "the topic of your camera (ros2 topic list -t)"

    def _is_of_others(self, topic: str) -> bool:
        """Tell whether somebody else publishes; the pictures of this node are none to plan on."""
        own = (self._node.get_name(), self._node.get_namespace())
        infos = self._node.get_publishers_info_by_topic(topic)
        return any((info.node_name, info.node_namespace) != own for info in infos)

    def _check_silence(
        self, watched: WatchedTopic, publishers: Sequence[TopicEndpointInfo], age_sec: float | None
    ) -> InputProblem | None:
        silent_sec = self._clock_sec() - self._start_sec if age_sec is None else age_sec
        if silent_sec < _SILENT_SEC:
            return None
        if self._is_refusing(watched.name):
            return InputProblem(
                watched.name,
                "malformed",
                f"{watched.topic} must bring sound messages, got only malformed ones for "
                f"{silent_sec:.0f} s from {_name_node(publishers[0])}. The warnings above say what "
                "is wrong.",
            )
        return InputProblem(
            watched.name,
            "silent",
            f"{watched.topic} must bring messages, got none for {silent_sec:.0f} s though "
            f"{_name_node(publishers[0])} publishes it. Does it send (ros2 topic hz)? Large "
            "messages need the shipped DDS profile (config/fastdds_profile.xml).",
            is_error=age_sec is not None and silent_sec >= _LOST_SEC,
        )

    def _is_refusing(self, name: str) -> bool:
        """Tell whether malformed messages have come of late."""
        now_sec, count = self._clock_sec(), self._num_malformed.get(name, 0)
        known, since_sec = self._refused.get(name, (0, -_REPEAT_SEC))
        if count != known:
            self._refused[name] = known, since_sec = count, now_sec
        return now_sec - since_sec < _SILENT_SEC

    def _check_gap(self, name: str, ages_sec: dict[str, float]) -> InputProblem | None:
        parameters = self._read_parameters()
        limit_sec = parameters.input_max_age_sec or _SILENT_SEC
        if not all(ages_sec.get(topic, limit_sec) < limit_sec for topic in ("image", name)):
            return None
        gap_sec = self._inputs.find_gap_sec(name, parameters.pair_max_offset_sec)
        if gap_sec is None:
            return None
        return InputProblem(
            name,
            "gap",
            f"{name} must be stamped within {parameters.pair_max_offset_sec:g} s of an image, got "
            f"{gap_sec:+.3f} s from the nearest one. Stamp it like the image it is for, or raise "
            "pair_max_offset_sec.",
        )

    def _tell(self, problems: Sequence[InputProblem]) -> None:
        now_sec = self._clock_sec()
        keys = {(problem.name, problem.kind): problem for problem in problems}
        for key in set(self._since_sec) - set(keys):
            del self._since_sec[key]
            if self._told_sec.pop(key, None) is not None:
                self._node.get_logger().info(f"input {key[0]} is fine again")
        for key, problem in keys.items():
            since_sec = self._since_sec.setdefault(key, now_sec)
            # Others start at the same time as this node; wrong types and QoS stay wrong.
            patience_sec = 0.0 if problem.kind in ("type", "qos") else _SILENT_SEC
            repeat_sec = _REPEAT_SEC if problem.is_warning else float("inf")
            told_sec = self._told_sec.get(key, -float("inf"))
            if now_sec - since_sec >= patience_sec and now_sec - told_sec >= repeat_sec:
                self._told_sec[key] = now_sec
                self._node.get_logger().warning(f"input {problem.name}: {problem.text}")


def _is_heard(publisher: TopicEndpointInfo, watched: WatchedTopic) -> bool:
    return qos_check_compatible(publisher.qos_profile, watched.qos)[0] != QoSCompatibility.ERROR


def _name_node(publisher: TopicEndpointInfo) -> str:
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"


def _advise_type(watched: WatchedTopic, type_name: str) -> str:
    if watched.name == "image" and type_name.endswith("/CompressedImage"):
        return "Remap image/compressed to it and set use_compressed_image to true."
    if watched.name == "image" and type_name.endswith("/Image"):
        return "Remap image to it and set use_compressed_image to false."
    return "Remap the input to another topic (ros2 topic list -t)."


def _advise_transport(watched: WatchedTopic, kind: str) -> str:
    if watched.name == "image" and kind == "compressed":
        return "Set use_compressed_image to true."
    if watched.name == "image" and kind == "":
        return "Set use_compressed_image to false."
    return f"Only raw images are read here: ros2 run image_transport republish {kind} raw."
