"""Which topic of a bag is what: a YAML file, checked once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import yaml

from tavid_core.errors import InputError
from training.sources.recording import check_name

__all__ = ["CameraTopics", "ContactTopic", "TopicMap", "parse_topic_map", "read_topic_map"]

_MAX_FILE_BYTES = 64 * 1024
_MAX_CAMERAS = 16
_CHOICES = {
    "time": ("header", "receive"),
    "resample": ("nearest", "hold"),
    "episodes": ("bag", "marker", "gap", "prompt"),
    "rectify": ("auto", "never"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraTopics:
    """The topics of one camera.

    Args:
        image: Raw or compressed images.
        camera_info: Its calibration, or None.
        depth: Depth registered to the image, or None.
        target_mask: Masks of the target, or None.
        actor_mask: Masks of the actor, or None.
    """

    image: str
    camera_info: str | None = None
    depth: str | None = None
    target_mask: str | None = None
    actor_mask: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContactTopic:
    """Where the bag says that the actor touches the target.

    Args:
        topic: std_msgs/Bool, or sensor_msgs/JointState with the two below.
        joint: Name of the gripper's joint, or None for a Bool.
        closed_below: The gripper holds something when its position is smaller.
    """

    topic: str
    joint: str | None = None
    closed_below: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopicMap:
    """How to read a bag.

    Args:
        cameras: Topics by name of the camera, which becomes part of the clips' names.
        prompt: Topic (std_msgs/String) that says what happens, or None.
        prompt_text: What happens, where neither the topic nor the bag's metadata say it.
        marker: Topic that divides the bag (for `episodes: marker`): any message begins an
            episode, and a std_msgs/Bool false ends it.
        contact: Where the bag says that the actor touches the target, or None.
        time: "header" (stamps of the messages) or "receive" (when the recorder got them).
        resample: "nearest" image of each moment, or "hold" the one before it.
        max_age_sec: An image farther away from its moment is not used; the recording ends there.
        pair_max_offset_sec: A mask belongs to the image whose stamp is at most so far away.
        episodes: What begins a new episode: the "bag", a "marker", a "gap", a new "prompt".
        gap_sec: Length of a pause that divides episodes (for `episodes: gap`).
        rectify: "auto" undoes the distortion that camera_info states, "never" leaves it.

    Raises:
        InputError: If a value is unusable.
    """

    cameras: Mapping[str, CameraTopics]
    prompt: str | None = None
    prompt_text: str = ""
    marker: str | None = None
    contact: ContactTopic | None = None
    time: str = "header"
    resample: str = "nearest"
    max_age_sec: float = 0.25
    pair_max_offset_sec: float = 0.05
    episodes: str = "bag"
    gap_sec: float = 2.0
    rectify: str = "auto"

    def __post_init__(self) -> None:
        """Check what depends on more than one field."""
        if not 1 <= len(self.cameras) <= _MAX_CAMERAS:
            raise InputError(
                f"cameras must name 1 to {_MAX_CAMERAS} cameras, got {len(self.cameras)}. "
                "Write a first map with --inspect."
            )
        for name in self.cameras:
            check_name("the name of a camera", name)
        if self.episodes == "marker" and self.marker is None:
            raise InputError("marker must be a topic for episodes: marker, got none. Name it.")
        if self.episodes == "prompt" and self.prompt is None:
            raise InputError("prompt must be a topic for episodes: prompt, got none. Name it.")

    @property
    def topics(self) -> frozenset[str]:
        """Every topic that is named."""
        names = [self.prompt, self.marker, self.contact.topic if self.contact else None]
        for camera in self.cameras.values():
            names += dataclasses.astuple(camera)
        return frozenset(name for name in names if name is not None)

    def to_yaml(self) -> str:
        """Write the map as a file.

        Returns:
            YAML that `parse_topic_map` reads back to the same map.
        """
        fields = dataclasses.asdict(self)
        fields["cameras"] = {
            name: {key: topic for key, topic in camera.items() if topic is not None}
            for name, camera in fields["cameras"].items()
        }
        kept = {key: value for key, value in fields.items() if value is not None}
        if self.contact is not None and self.contact.joint is None:
            kept["contact"] = {"topic": self.contact.topic}
        return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)


def read_topic_map(path: Path) -> TopicMap:
    """Read a topic map.

    Args:
        path: YAML file.

    Returns:
        The map.

    Raises:
        InputError: If it cannot be read or is no topic map.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(
                f"topic map must have at most {_MAX_FILE_BYTES} bytes, got {path.stat().st_size}: "
                f"{path}. Is it the map?"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"topic map must be a readable file, got {error}. Write one with --inspect."
        ) from error
    return parse_topic_map(text)


def parse_topic_map(text: str) -> TopicMap:
    """Read the text of a topic map.

    Args:
        text: YAML with the fields of `TopicMap`.

    Returns:
        The map.

    Raises:
        InputError: If it is no YAML, a key is unknown, or a value is unusable.
    """
    try:
        # A few aliases of aliases stand for more text than fits in memory.
        has_alias = any(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text, yaml.SafeLoader))
        document = None if has_alias else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"topic map must be YAML, got {reason}. Repair it.") from error
    if has_alias:
        raise InputError("topic map must have no aliases (*name), got one. Write the topics out.")
    fields = _check_keys("topic map", document, TopicMap)
    cameras = fields.get("cameras")
    if not isinstance(cameras, Mapping):
        raise InputError(
            f"cameras must hold topics by name, got {_show(cameras)}. "
            "Write a first map with --inspect."
        )
    values: dict[str, object] = {
        "cameras": {str(name): _parse_camera(str(name), entry) for name, entry in cameras.items()}
    }
    if fields.get("contact") is not None:
        values["contact"] = _parse_contact(fields["contact"])
    for key in ("prompt", "marker"):
        if fields.get(key) is not None:
            values[key] = _topic(key, fields[key])
    if "prompt_text" in fields:
        values["prompt_text"] = _text("prompt_text", fields["prompt_text"])
    for key, choices in _CHOICES.items():
        if key in fields:
            values[key] = _choice(key, fields[key], choices)
    for key in ("max_age_sec", "pair_max_offset_sec", "gap_sec"):
        if key in fields:
            values[key] = _seconds(key, fields[key])
    return TopicMap(**values)


def _check_keys(what: str, document: object, kind: type) -> Mapping[str, object]:
    if not isinstance(document, Mapping):
        raise InputError(f"{what} must hold names and values, got {_show(document)}. Repair it.")
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [key for key in document if key not in known]
    if unknown:
        raise InputError(
            f"{what} must have only the keys {', '.join(known)}, got {_show(unknown[0])}. "
            "Correct its spelling."
        )
    return document


def _parse_camera(name: str, entry: object) -> CameraTopics:
    fields = _check_keys(f"cameras.{name[:40]}", entry, CameraTopics)
    if fields.get("image") is None:
        raise InputError(f"cameras.{name[:40]}.image must be a topic, got none. Name it.")
    return CameraTopics(
        **{key: _topic(f"cameras.{name[:40]}.{key}", value)
           for key, value in fields.items() if value is not None}
    )  # fmt: skip


def _parse_contact(entry: object) -> ContactTopic:
    fields = _check_keys("contact", entry, ContactTopic)
    joint, closed_below = fields.get("joint"), fields.get("closed_below")
    if (joint is None) != (closed_below is None):
        raise InputError(
            "contact must have both joint and closed_below, or none of them, got one. "
            "Add the other: at which position does the gripper hold something?"
        )
    return ContactTopic(
        topic=_topic("contact.topic", fields.get("topic")),
        joint=None if joint is None else _text("contact.joint", joint),
        closed_below=None if joint is None else _number("contact.closed_below", closed_below),
    )


def _topic(key: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 256 or not value.isprintable():
        raise InputError(f"{key} must be the name of a topic, got {_show(value)}. Correct it.")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > 1024:
        raise InputError(f"{key} must be text of at most 1024 letters, got {_show(value)}.")
    return value


def _choice(key: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{key} must be one of {', '.join(choices)}, got {_show(value)}.")
    return value


def _number(key: str, value: object) -> float:
    is_number = type(value) in (int, float) and abs(value) < 1e12 and math.isfinite(value)
    if not is_number:
        raise InputError(f"{key} must be a number, got {_show(value)}. Correct it.")
    return float(value)


def _seconds(key: str, value: object) -> float:
    seconds = _number(key, value)
    if not 0 < seconds <= 3600:
        raise InputError(f"{key} must be in 0..3600 s, got {seconds:g}. Correct it.")
    return seconds


def _show(value: object) -> str:
    return repr(str(value)[:60])
