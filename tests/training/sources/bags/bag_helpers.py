"""Bags of the same scene by several writers, and how tests read them."""

import dataclasses

import numpy as np
from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Writer

from benchmarks.bag_maker import STORE, TYPES, make_messages
from training.sources.bags.bag import Bag
from training.sources.bags.bag_recorder import BagRecorder
from training.sources.bags.limits import BagLimits
from training.sources.bags.settings import BagSettings
from training.sources.bags.spool import SpooledFrames, SpooledMasks, SpoolIndex
from training.sources.bags.topic_map import CameraTopics, TopicMap

CAMERA = CameraTopics(
    image="/camera/image/compressed",
    camera_info="/camera/camera_info",
    target_mask="/camera/target_mask",
    actor_mask="/camera/actor_mask",
)
RAW_CAMERA = dataclasses.replace(CAMERA, image="/camera/image", depth="/camera/depth")
TOPICS = TopicMap(cameras={"front": CAMERA}, prompt="/prompt")
SIZE_HW = (64, 96)


def write_with_rosbags(folder, scene, plugin, mode=CompressionMode.NONE, prompt=""):
    """A bag folder with metadata.yaml, by the writer of the rosbags library."""
    writer = Writer(folder, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    if prompt:
        writer.set_custom_data("prompt", prompt)
    connections = {}
    with writer:
        for entry in make_messages(scene):
            if entry.topic not in connections:
                connections[entry.topic] = writer.add_connection(
                    entry.topic, TYPES[entry.topic], typestore=STORE
                )
            writer.write(connections[entry.topic], entry.received_ns, entry.serialize())
    return folder


def to_plain(value):
    """A message of the type store as the dictionaries that mcap-ros2-support takes."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {f.name: to_plain(getattr(value, f.name)) for f in fields if f.name[:2] != "__"}
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.dtype == np.uint8 else value.tolist()
    return value


def write_with_mcap_ros2(path, scene, compression=CompressionType.ZSTD):
    """An MCAP file by mcap-ros2-support."""
    from mcap_ros2.writer import Writer as Ros2Writer

    with path.open("wb") as stream:
        writer = Ros2Writer(stream, chunk_size=100_000, compression=compression)
        schemas = {}
        for entry in make_messages(scene):
            type_name = TYPES[entry.topic]
            if type_name not in schemas:
                text, _ = STORE.generate_msgdef(type_name, ros_version=2)
                schemas[type_name] = writer.register_msgdef(type_name, text)
            writer.write_message(
                entry.topic, schemas[type_name], to_plain(entry.message), entry.received_ns
            )
        writer.finish()
    return path


@dataclasses.dataclass
class Read:
    """A recording as tests look at it."""

    index: SpoolIndex
    frames: np.ndarray
    target_masks: dict
    actor_masks: dict


def read_recordings(path, folder, topic_map=TOPICS, limits=None, size_hw=SIZE_HW):
    """Read a bag in this process; gives recordings and the report."""
    settings = BagSettings(topic_map=topic_map, size_hw=size_hw, limits=limits or BagLimits())
    bag = Bag(path, settings.limits)
    folder.mkdir(exist_ok=True)
    recordings = []
    for index_path in BagRecorder("bag", bag, settings, folder).recordings():
        index = SpoolIndex.load(index_path)
        masks = index_path.with_suffix(".masks")
        frames = SpooledFrames(index_path.with_suffix(".images"), index)
        recordings.append(
            Read(
                index,
                frames(0, len(index.frames)),
                dict(SpooledMasks(masks, index.target_masks)),
                dict(SpooledMasks(masks, index.actor_masks)),
            )
        )
    return recordings, bag.report


def change_entries(scene, change):
    """Messages of a scene, each given to a function that returns it, another one, or None."""
    for number, entry in enumerate(make_messages(scene)):
        changed = change(number, entry)
        if changed is not None:
            yield changed
