"""The bag that recorder_node writes: what a full disk leaves, and what is refused."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from std_msgs.msg import String, UInt8MultiArray

from tavid_core.errors import InputError, StorageError
from tavid_ros.bag_writer import BagWriter
from training.sources.bags.bag import Bag
from training.sources.bags.limits import BagLimits

BYTES = "std_msgs/msg/UInt8MultiArray"


class SmallDisk:
    """A file that the disk has room for up to some bytes."""

    def __init__(self, file, room_bytes):
        self.file = file
        self.room_bytes = room_bytes

    def write(self, data):
        self.room_bytes -= len(data)
        if self.room_bytes < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def make_message(number, size):
    data = np.random.default_rng(number).integers(0, 255, size, np.uint8)
    return serialize_message(UInt8MultiArray(data=data.tobytes()))


def test_what_was_written_before_the_disk_was_full_is_kept(tmp_path):
    bag = BagWriter(tmp_path / "bag")
    bag.add_topic("/data", BYTES, [QoSProfile(depth=1)])
    # No disk here is small enough.
    storage = bag._writer.storage
    storage._writer._Writer__stream = SmallDisk(storage.stream, 5_000_000)
    messages = [make_message(number, 200_000) for number in range(40)]

    def write_all():
        for number, message in enumerate(messages):
            bag.write("/data", 1000 + number, message)

    with pytest.raises(StorageError, match=r"bag must be writable, got: .*No space left"):
        write_all()
    with pytest.raises(StorageError, match=r"writable to the end, got: .*reads what is there"):
        bag.close()
    bag.write("/data", 2000, messages[0])
    found = Bag(tmp_path / "bag", BagLimits())
    read = [message.data for message in found.messages(lambda _: True)]
    assert 20 <= len(read) <= 24
    assert read == messages[: len(read)]
    assert any(note.is_loss for note in found.report.notes)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="bag must be writable, got: "):
        BagWriter(tmp_path / "file" / "bag")
    (tmp_path / "bag.mcap").write_text("")
    with pytest.raises(InputError, match="bag must be a new folder"):
        BagWriter(tmp_path / "bag.mcap")


def test_types_and_notes(tmp_path):
    bag = BagWriter(tmp_path / "bag", compress=False)
    assert bag.knows("sensor_msgs/msg/CompressedImage")
    assert not bag.knows("tavid/msg/PlanInteraction")
    bag.add_topic("/prompt", "std_msgs/msg/String", [])
    bag.write("/prompt", 5, serialize_message(String(data="Lift it.")))
    bag.close({"prompt": "Lift it.", "lost_messages": ""})
    bag.close()
    found = Bag(tmp_path / "bag", BagLimits())
    (message,) = found.messages(lambda _: True)
    assert (message.topic, message.received_ns) == ("/prompt", 5)
    assert found.metadata.custom == {"prompt": "Lift it."}
    assert found.report.notes == []


def test_damage_is_seen(tmp_path):
    """Every byte of the messages is under a checksum."""
    bag = BagWriter(tmp_path / "bag", compress=False)
    bag.add_topic("/data", BYTES, [])
    for number in range(4):
        bag.write("/data", number, make_message(number, 400_000))
    bag.close()
    path = tmp_path / "bag" / "bag.mcap"
    data = bytearray(path.read_bytes())
    data[data.index(make_message(1, 400_000)) + 1000] ^= 1
    path.write_bytes(data)
    found = Bag(tmp_path / "bag", BagLimits())
    list(found.messages(lambda _: True))
    assert any(note.is_loss for note in found.report.notes) or found.report.topics["/data"].num_lost
