"""All messages of a bag, one after the other, become recordings of its cameras."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from tavid_core.errors import InputError
from tavid_core.image_fields import check_color_fields, check_depth_fields, read_mask
from tavid_core.mask import binarize_mask
from tavid_core.picture_codecs import decode_picture, read_picture_size
from tavid_core.prompt import clean_prompt
from training.sources.bags.bag import Bag
from training.sources.bags.camera_recorder import CameraRecorder, Situation
from training.sources.bags.in_order import put_in_order
from training.sources.bags.mask_bits import encode_mask
from training.sources.bags.settings import BagSettings
from training.sources.bags.spool import RawLayout
from training.sources.bags.stored_message import StoredMessage
from training.sources.bags.stretch import Companion, ImageFile
from training.sources.bags.topic_map import CameraTopics
from training.sources.bags.typed_message import compare_definition, decode_message

__all__ = ["BagRecorder"]

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_BOOL, _STRING, _JOINTS = "std_msgs/msg/Bool", "std_msgs/msg/String", "sensor_msgs/msg/JointState"
_TYPES = {
    "image": (_IMAGE, _COMPRESSED),
    "camera_info": ("sensor_msgs/msg/CameraInfo",),
    "depth": (_IMAGE,),
    "target_mask": (_IMAGE, _COMPRESSED),
    "actor_mask": (_IMAGE, _COMPRESSED),
    "prompt": (_STRING,),
    "contact": (_BOOL, _JOINTS),
}
_NS_PER_SECOND = 1_000_000_000


class BagRecorder:
    """Reads one bag.

    Args:
        name: Of the bag; begins the names of its recordings.
        bag: Opened.
        settings: How it is read.
        folder: For the files of the recordings.
    """

    def __init__(self, name: str, bag: Bag, settings: BagSettings, folder: Path) -> None:
        self._bag, self._settings = bag, settings
        topic_map = settings.topic_map
        self._situation = Situation(
            is_on=topic_map.episodes != "marker", prompt=topic_map.prompt_text
        )
        self._cameras = {
            camera: CameraRecorder(f"{name}-{camera}", folder, settings, bag, self._situation)
            for camera in topic_map.cameras
        }
        self._roles = _list_roles(topic_map.cameras)
        self._has_prompt_of_metadata = False
        self._has_contact = False
        self._num_zero_stamps = 0

    def recordings(self) -> Iterator[Path]:
        """Read the bag once.

        Yields:
            The index file of each recording.

        Raises:
            InputError: If the bag cannot be read, or a topic of the map is of a wrong type.
        """
        topics = self._settings.topic_map.topics
        waiting_bytes = self._settings.limits.max_waiting_bytes
        messages = self._bag.messages(lambda topic: topic in topics)
        for message in put_in_order(messages, waiting_bytes):
            if message.topic not in topics:
                continue
            try:
                yield from self._take(message)
            except InputError as error:
                self._bag.report.spoil(message.topic, "cannot be used", str(error))
        for camera in self._cameras.values():
            yield from camera.finish()
        self._check_topics()
        if self._num_zero_stamps:
            self._bag.report.note(
                "messages without a stamp, taken at the time they were received",
                is_loss=False, count=self._num_zero_stamps,
            )  # fmt: skip

    def _check_topics(self) -> None:
        found = {name for name, count in self._bag.report.topics.items() if count.num_found}
        topic_map = self._settings.topic_map
        for topic in sorted(topic_map.topics - found):
            self._bag.report.note("topics of the map that the bag lacks", topic, is_loss=False)
        rule = topic_map.contact
        if rule is not None and rule.topic in found and not self._has_contact:
            self._bag.report.note(
                "contact of the map that no message tells", rule.joint or rule.topic, is_loss=False
            )
        if not any(camera.image in found for camera in topic_map.cameras.values()):
            shown = ", ".join(sorted(found)[:20]) or "none"
            raise InputError(
                f"cameras must name an image topic of the bag, got none of its topics: {shown}. "
                "Write a map for it with --inspect."
            )

    def _take(self, message: StoredMessage) -> Iterator[Path]:
        if not self._has_prompt_of_metadata:
            # Only now has the file been opened.
            self._has_prompt_of_metadata = True
            custom = self._bag.metadata.custom.get("prompt", "")
            self._situation.prompt = self._situation.prompt or clean_prompt(custom[:2048])
        topic_map = self._settings.topic_map
        if message.topic == topic_map.marker:
            yield from self._take_marker(message)
        if message.topic == topic_map.prompt:
            yield from self._take_prompt(self._decode(message, "prompt").data)
        if topic_map.contact is not None and message.topic == topic_map.contact.topic:
            self._take_contact(message)
        for name, role in self._roles.get(message.topic, ()):
            yield from self._take_camera(self._cameras[name], role, message)

    def _decode(self, message: StoredMessage, role: str) -> object:
        if message.type_name not in _TYPES[role]:
            raise InputError(
                f"{role} must be of type {' or '.join(_TYPES[role])}, got "
                f"{message.type_name[:64]!r}. Name another topic in the map."
            )
        # A file that was cut off tells its definitions as it goes, so each message is asked.
        definition = self._bag.definitions.get(message.type_name, ("", ""))
        if reason := compare_definition(message.type_name, *definition):
            raise InputError(
                f"{role} must be of a type that ROS defines, got {message.type_name}: {reason}. "
                "Record it anew."
            )
        return decode_message(message.type_name, message.data)

    def _find_stamp(self, message: StoredMessage, decoded: object) -> int:
        header = getattr(decoded, "header", None)
        if header is None or self._settings.topic_map.time == "receive":
            return message.received_ns
        stamp_ns = header.stamp.sec * _NS_PER_SECOND + header.stamp.nanosec
        if stamp_ns == 0:
            self._num_zero_stamps += 1
            return message.received_ns
        return stamp_ns

    def _take_marker(self, message: StoredMessage) -> Iterator[Path]:
        if self._settings.topic_map.episodes != "marker":
            return
        is_on = True
        if message.type_name == _BOOL:
            is_on = bool(decode_message(_BOOL, message.data).data)
        for camera in self._cameras.values():
            yield from camera.finish()
        self._situation.episode += is_on
        self._situation.is_on = is_on

    def _take_prompt(self, text: str) -> Iterator[Path]:
        prompt = clean_prompt(text)
        if not prompt or prompt == self._situation.prompt:
            return
        if self._settings.topic_map.episodes == "prompt" and self._situation.prompt:
            for camera in self._cameras.values():
                yield from camera.finish()
            self._situation.episode += 1
        self._situation.prompt = prompt
        for camera in self._cameras.values():
            camera.put_prompt(prompt)

    def _take_contact(self, message: StoredMessage) -> None:
        decoded, rule = self._decode(message, "contact"), self._settings.topic_map.contact
        if rule.joint is None:
            if message.type_name != _BOOL:
                raise InputError(
                    "contact must name joint and closed_below for a JointState, got neither. "
                    "Add them to the map."
                )
            is_contact = bool(decoded.data)
        elif message.type_name == _BOOL:
            raise InputError(
                f"contact must be a JointState where the map names a joint, got {_BOOL}. "
                "Take joint and closed_below out of the map."
            )
        else:
            names = list(decoded.name)
            # A robot's arm and gripper may share a topic, each with its own messages.
            if rule.joint not in names or len(decoded.position) != len(names):
                return
            is_contact = bool(decoded.position[names.index(rule.joint)] < rule.closed_below)
        self._has_contact = True
        stamp_ns = None if rule.joint is None else self._find_stamp(message, decoded)
        for camera in self._cameras.values():
            camera.put_contact(stamp_ns, is_contact)

    def _take_camera(
        self, camera: CameraRecorder, role: str, message: StoredMessage
    ) -> Iterator[Path]:
        decoded = self._decode(message, role)
        stamp_ns = self._find_stamp(message, decoded)
        if role == "camera_info":
            camera.put_camera_info(decoded)
        elif role == "image":
            yield from camera.put_image(_read_image(message, decoded, stamp_ns))
        elif role == "depth":
            check_depth_fields(decoded)
            layout = json.dumps(dataclasses.asdict(_read_layout(decoded)))
            data = b"".join((layout.encode(), b"\n", memoryview(decoded.data)))
            camera.put_companion(Companion(role, message.topic, stamp_ns, data))
        else:
            if message.type_name == _COMPRESSED:
                mask = binarize_mask(decode_picture(role, bytes(decoded.data))[:, :, 0])
            else:
                mask = read_mask(decoded, role)
            data = encode_mask(mask)
            camera.put_companion(Companion(role, message.topic, stamp_ns, data))


def _list_roles(cameras: dict[str, CameraTopics]) -> dict[str, list[tuple[str, str]]]:
    roles: dict[str, list[tuple[str, str]]] = {}
    for name, camera in cameras.items():
        for role, topic in dataclasses.asdict(camera).items():
            if topic is not None:
                roles.setdefault(topic, []).append((name, role))
    return roles


def _read_layout(decoded: object) -> RawLayout:
    return RawLayout(
        height=int(decoded.height),
        width=int(decoded.width),
        step=int(decoded.step),
        encoding=str(decoded.encoding),
        is_bigendian=int(decoded.is_bigendian),
    )


def _read_image(message: StoredMessage, decoded: object, stamp_ns: int) -> ImageFile:
    data = bytes(decoded.data)
    if message.type_name == _COMPRESSED:
        size_hw, layout = read_picture_size("image", data), None
    else:
        check_color_fields(decoded)
        size_hw, layout = (int(decoded.height), int(decoded.width)), _read_layout(decoded)
    return ImageFile(message.topic, stamp_ns, data, size_hw, layout)
