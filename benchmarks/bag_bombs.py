"""Writes small bags that inflate to much: beyond what a reader takes, and just below that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from mcap.writer import Writer as McapWriter
from numpy.typing import NDArray

from benchmarks.bag_damage import write_bomb
from benchmarks.bag_maker import BagScene, Entry, fill_mcap, make_messages, write_mcap
from tavid_core.types import MAX_IMAGE_SIDE_PX
from training.sources.bags.limits import BagLimits
from training.sources.bags.topic_map import CameraTopics, TopicMap

__all__ = ["BOMBS", "Bomb"]

_MIB = 1024 * 1024
_SCENE = BagScene(num_images=60)
# Below the largest chunk by the heads of records and messages.
_NEARLY_BYTES = BagLimits().max_chunk_bytes - 64 * 1024
_SIDE_PX = MAX_IMAGE_SIDE_PX
_IMAGE, _PROMPT, _RAW, _DEPTH = (
    "/camera/image/compressed", "/prompt", "/camera/image", "/camera/depth",
)  # fmt: skip
_MASKS = {"target_mask": "/camera/target_mask", "actor_mask": "/camera/actor_mask"}
_SWOLLEN = range(4, 6)


@dataclasses.dataclass(frozen=True)
class Bomb:
    """A bag made to fill the memory.

    Args:
        write: Writes the file.
        topics: How it is read.
        expected_status: Of the command that converts it.
    """

    write: Callable[[Path], object]
    topics: TopicMap
    expected_status: int


def _make_topics(image: str, num_cameras: int = 1, **topics: str) -> TopicMap:
    camera = CameraTopics(image=image, camera_info="/camera/camera_info", **topics)
    cameras = {f"camera_{number}": camera for number in range(num_cameras)}
    return TopicMap(cameras=cameras, prompt=_PROMPT)


def _swell(scene: BagScene, topic: str, suffix: str) -> Iterator[Entry]:
    """Make messages of a scene, of which some of one topic are nearly as large as allowed."""
    number = 0
    for entry in make_messages(scene):
        is_swollen = entry.topic == topic and (topic == _PROMPT or number in _SWOLLEN)
        number += entry.topic == topic
        yield dataclasses.replace(entry, message=_fill(entry, suffix)) if is_swollen else entry


def _fill(entry: Entry, suffix: str) -> object:
    message = entry.message
    if entry.topic == _PROMPT:
        return dataclasses.replace(message, data="a" * _NEARLY_BYTES)
    data = np.zeros(_NEARLY_BYTES, np.uint8)
    if entry.topic == _IMAGE:
        picture = message.data if suffix == ".jpg" else _draw_nothing(suffix)
        # Decoders do not mind what follows the end of a picture.
        data[: len(picture)] = picture
        return dataclasses.replace(message, data=data)
    # Rows may be padded, so that each encoding can have as many bytes.
    step = _NEARLY_BYTES // _SIDE_PX
    data = data[: step * _SIDE_PX]
    return dataclasses.replace(message, height=_SIDE_PX, width=_SIDE_PX, step=step, data=data)


def _draw_nothing(suffix: str) -> NDArray[np.uint8]:
    return cv2.imencode(suffix, np.zeros((_SIDE_PX, _SIDE_PX, 3), np.uint8))[1].ravel()


def _write_swollen(topic: str, suffix: str = ".jpg", **changes: bool) -> Callable[[Path], int]:
    scene = dataclasses.replace(_SCENE, **changes)
    # Each large message has a chunk for itself.
    return lambda path: write_mcap(path, _swell(scene, topic, suffix), chunk_bytes=1024)


def _write_huge(stated_bytes: int) -> Callable[[Path], int]:
    return lambda path: write_bomb(path, make_messages(_SCENE), 2048 * _MIB, stated_bytes)


def _write_unindexed(path: Path) -> None:
    """Write two gigabytes into a file that says that it has no index."""
    _write_huge(2048 * _MIB)(path)
    whole = bytearray(path.read_bytes())
    # The footer's first field, before 12 bytes of others and the magic.
    place = len(whole) - 8 - 12 - 8
    whole[place : place + 8] = bytes(8)
    path.write_bytes(whole)


class _SchemaWriter(McapWriter):
    """Begins each file with long definitions of types, each in a chunk of its own."""

    def start(self, profile: str = "ros2", library: str = "test") -> None:
        super().start(profile, library)
        for number in range(8):
            schema = self.register_schema(f"a/msg/T{number}", "ros2msg", b"a" * _NEARLY_BYTES)
            self.add_message(self.register_channel(f"/t{number}", "cdr", schema), 0, b"", 0)


def _write_schemas(path: Path) -> None:
    with path.open("wb") as stream:
        writer = _SchemaWriter(stream, chunk_size=1024, repeat_schemas=False)
        fill_mcap(writer, make_messages(_SCENE))


BOMBS: Mapping[str, Bomb] = {
    "honest": Bomb(_write_huge(2048 * _MIB), _make_topics(_IMAGE, **_MASKS), 3),
    "lying": Bomb(_write_huge(_MIB), _make_topics(_IMAGE, **_MASKS), 3),
    "unindexed": Bomb(_write_unindexed, _make_topics(_IMAGE, **_MASKS), 3),
    "schemas": Bomb(_write_schemas, _make_topics(_IMAGE, **_MASKS), 0),
    "prompt": Bomb(_write_swollen(_PROMPT), _make_topics(_IMAGE, **_MASKS), 3),
    "pictures": Bomb(_write_swollen(_IMAGE), _make_topics(_IMAGE, 4, **_MASKS), 0),
    "png": Bomb(_write_swollen(_IMAGE, ".png"), _make_topics(_IMAGE, **_MASKS), 3),
    "images": Bomb(_write_swollen(_RAW, is_compressed=False), _make_topics(_RAW, **_MASKS), 3),
    "masks": Bomb(_write_swollen(_MASKS["target_mask"]), _make_topics(_IMAGE, **_MASKS), 3),
    "depth": Bomb(
        _write_swollen(_DEPTH, with_depth=True),
        _make_topics(_IMAGE, depth=_DEPTH, **_MASKS),
        0,
    ),
}
"""By name; those that swell stay just below what a reader takes."""
