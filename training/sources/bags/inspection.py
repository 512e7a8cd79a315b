"""What topics a bag has, and a first topic map of them."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping

from tavid_core.errors import InputError
from tavid_core.picture_codecs import read_picture_size
from training.sources.bags.bag import Bag
from training.sources.bags.topic_map import CameraTopics, ContactTopic, TopicMap
from training.sources.bags.typed_message import KNOWN_TYPES, decode_message
from training.sources.recording import SourceNote

__all__ = ["Inspection", "TopicSummary", "draft_map", "inspect_bag"]

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_DEPTH_ENCODINGS = ("16UC1", "32FC1")
_MASK_WORDS = re.compile(r"mask|segment", re.IGNORECASE)
_ACTOR_WORDS = re.compile(r"actor|person|hand|arm|human", re.IGNORECASE)
_MARKER_WORDS = re.compile(r"episode|marker|trial|start", re.IGNORECASE)
_PROMPT_WORDS = re.compile(r"prompt|task|instruction|caption|command", re.IGNORECASE)
_CONTACT_WORDS = re.compile(r"contact|touch|grasp", re.IGNORECASE)
_NS_PER_SECOND = 1_000_000_000


@dataclasses.dataclass
class TopicSummary:
    """One topic of a bag.

    Attributes:
        name: The topic.
        type_name: Of its messages.
        num_messages: How many were read.
        num_lost: How many were not.
        first_ns: When the first one was received.
        last_ns: When the last one was received.
        longest_gap_sec: Between two of them.
        what: Of the first message: size and encoding, or its text.
    """

    name: str
    type_name: str
    num_messages: int = 0
    num_lost: int = 0
    first_ns: int = 0
    last_ns: int = 0
    longest_gap_sec: float = 0.0
    what: str = ""

    @property
    def rate_hz(self) -> float:
        """Messages per second; 0 for fewer than two."""
        seconds = (self.last_ns - self.first_ns) / _NS_PER_SECOND
        return (self.num_messages - 1) / seconds if seconds > 0 else 0.0

    @property
    def encoding(self) -> str:
        """Of an image, the last word of `what`."""
        return self.what.split(" ")[-1]


@dataclasses.dataclass
class Inspection:
    """What was found in a bag.

    Attributes:
        topics: By name.
        notes: What else a reader should know.
        prompt: Of the bag's metadata, or "".
    """

    topics: list[TopicSummary]
    notes: list[SourceNote]
    prompt: str = ""

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Inspection:
        """Read what a process told.

        Args:
            fields: Of `dataclasses.asdict`.

        Returns:
            The inspection.
        """
        return cls(
            topics=[TopicSummary(**topic) for topic in fields["topics"]],
            notes=[SourceNote(**note) for note in fields["notes"]],
            prompt=fields["prompt"],
        )


def inspect_bag(bag: Bag) -> Inspection:
    """Read a bag once and sum its topics up.

    Args:
        bag: Opened.

    Returns:
        What was found.

    Raises:
        InputError: If the bag cannot be read.
    """
    topics: dict[str, TopicSummary] = {}
    looked_at: set[str] = set()
    for message in bag.messages(lambda topic: topic not in looked_at):
        topic = topics.setdefault(message.topic, TopicSummary(message.topic, message.type_name))
        if topic.num_messages:
            gap_sec = (message.received_ns - topic.last_ns) / _NS_PER_SECOND
            topic.longest_gap_sec = max(topic.longest_gap_sec, gap_sec)
        else:
            topic.first_ns = message.received_ns
            topic.what = _describe(message.type_name, message.data)
            looked_at.add(message.topic)
        topic.last_ns = message.received_ns
        topic.num_messages += 1
    for name, count in bag.report.topics.items():
        topic = topics.setdefault(name, TopicSummary(name, count.type_name))
        topic.num_lost = sum(count.dropped.values())
    ordered = sorted(topics.values(), key=lambda topic: topic.name)
    return Inspection(ordered, list(bag.report.notes), bag.metadata.custom.get("prompt", "")[:1024])


def _describe(type_name: str, data: bytes) -> str:
    if type_name not in KNOWN_TYPES:
        return ""
    try:
        message = decode_message(type_name, data)
        if type_name == _IMAGE:
            return f"{message.width}x{message.height} {message.encoding[:16]}"
        if type_name == _COMPRESSED:
            height, width = read_picture_size("image", bytes(message.data))
            return f"{width}x{height} compressed"
        if type_name == "sensor_msgs/msg/CameraInfo":
            return f"{message.width}x{message.height} {message.distortion_model[:24]}".strip()
        if type_name == "sensor_msgs/msg/JointState":
            return ", ".join(message.name)[:60]
        return str(message.data)[:60]
    except InputError as error:
        return f"cannot be read: {str(error)[:60]}"


def draft_map(inspection: Inspection) -> TopicMap:
    """Guess which topic is what, by types and names.

    Args:
        inspection: Of a bag.

    Returns:
        A map to look at and to correct.

    Raises:
        InputError: If no topic holds images.
    """
    images, masks, depths = [], [], []
    for topic in inspection.topics:
        if topic.type_name not in (_IMAGE, _COMPRESSED) or not topic.num_messages:
            continue
        if _MASK_WORDS.search(topic.name):
            masks.append(topic.name)
        elif topic.encoding in _DEPTH_ENCODINGS or "depth" in topic.name.lower():
            if topic.type_name == _IMAGE:
                depths.append(topic.name)
        else:
            images.append(topic.name)
    images = _prefer_compressed(images)
    if not images:
        raise InputError(
            "bag must have a topic with images (sensor_msgs/Image or CompressedImage), got none. "
            "Record one."
        )
    infos = _names(inspection, "sensor_msgs/msg/CameraInfo")
    cameras = {}
    for image in images:
        actors = [name for name in masks if _ACTOR_WORDS.search(name)]
        targets = [name for name in masks if name not in actors]
        cameras[_name_camera(image, cameras)] = CameraTopics(
            image=image,
            camera_info=_nearest(image, images, infos),
            depth=_nearest(image, images, depths),
            target_mask=_nearest(image, images, targets),
            actor_mask=_nearest(image, images, actors),
        )
    texts = _names(inspection, "std_msgs/msg/String")
    marker = next(filter(_MARKER_WORDS.search, [t.name for t in inspection.topics]), None)
    switches = [name for name in _names(inspection, "std_msgs/msg/Bool") if name != marker]
    contact = next(filter(_CONTACT_WORDS.search, switches), None)
    return TopicMap(
        cameras=cameras,
        prompt=next(filter(_PROMPT_WORDS.search, texts), None),
        prompt_text=inspection.prompt,
        marker=marker,
        contact=None if contact is None else ContactTopic(topic=contact),
    )


def _names(inspection: Inspection, type_name: str) -> list[str]:
    return [t.name for t in inspection.topics if t.type_name == type_name and t.num_messages]


def _prefer_compressed(names: list[str]) -> list[str]:
    """Take one topic per camera where image_transport offers several."""
    suffix = "/compressed"
    compressed = {name.removesuffix(suffix) for name in names if name.endswith(suffix)}
    return [name for name in names if name not in compressed][:16]


def _name_camera(image: str, taken: Mapping[str, object]) -> str:
    parts = [part for part in image.split("/") if part]
    plain = ("image", "image_raw", "image_rect", "image_color", "image_rect_color", "compressed")
    telling = [part for part in parts if part not in plain] or ["camera"]
    name = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(telling))[:40]
    return name if name not in taken else f"{name}_{len(taken)}"


def _nearest(image: str, images: list[str], names: list[str]) -> str | None:
    """Find the topic that shares most of its path with the image's, and is no other camera's."""
    own = [
        name
        for name in names
        if _count_shared(image, name) == max(_count_shared(other, name) for other in images)
    ]
    return max(own, key=lambda name: _count_shared(image, name), default=None)


def _count_shared(name: str, other: str) -> int:
    pairs = zip(name.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
