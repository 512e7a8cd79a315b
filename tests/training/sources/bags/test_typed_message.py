"""Bytes become messages of the known types, or a typed error."""

import pytest

from benchmarks.bag_maker import STORE, TYPES, BagScene, make_messages
from tavid_core.errors import InputError
from training.sources.bags.typed_message import KNOWN_TYPES, compare_definition, decode_message

ENTRIES = {TYPES[e.topic]: e for e in make_messages(BagScene(num_images=2, with_depth=True))}


@pytest.mark.parametrize("type_name", sorted(ENTRIES))
def test_messages_come_back_and_their_parts_do_not(type_name):
    data = ENTRIES[type_name].serialize()
    found = decode_message(type_name, data)
    assert bytes(STORE.serialize_cdr(found, type_name)) == data
    with pytest.raises(InputError, match=f"must be a {type_name}, got {len(data) // 2} bytes"):
        decode_message(type_name, data[: len(data) // 2])


def test_other_types_are_left_alone():
    with pytest.raises(InputError, match=r"type must be one of .*got 'std_msgs/msg/Empty'"):
        decode_message("std_msgs/msg/Empty", b"")


@pytest.mark.parametrize("type_name", KNOWN_TYPES)
def test_only_pictures_may_have_more_than_a_megabyte(type_name):
    data = ENTRIES[type_name].serialize() if type_name in ENTRIES else b"\0\1\0\0\1"
    data += bytes(2**20)
    if type_name.endswith("Image"):
        # It has bytes behind its end, which is another fault.
        with pytest.raises(InputError, match=r"got \d+ bytes that are none"):
            decode_message(type_name, data)
        return
    with pytest.raises(
        InputError, match=f"at most 1048576 bytes for a {type_name}, got {len(data)}"
    ):
        decode_message(type_name, data)


@pytest.mark.parametrize("type_name", KNOWN_TYPES)
@pytest.mark.parametrize("encoding", ["ros2msg", "ros2idl"])
def test_definitions_of_ros_are_known(type_name, encoding):
    text = ""
    if encoding == "ros2msg":
        text, _ = STORE.generate_msgdef(type_name, ros_version=2)
    assert compare_definition(type_name, encoding, text) == ""


def test_definitions_as_idl_are_compared():
    fields = "module std_msgs { module msg { struct Bool { boolean data; }; }; };"
    text = "=" * 80 + "\nIDL: std_msgs/msg/Bool\n" + fields
    assert compare_definition("std_msgs/msg/Bool", "ros2idl", text) == ""
    other = text.replace("boolean data;", "boolean data; boolean more;")
    assert "in another way" in compare_definition("std_msgs/msg/Bool", "ros2idl", other)


@pytest.mark.parametrize(
    ("encoding", "text", "told"),
    [
        ("ros2msg", "bool data\nbool more", "in another way than ROS"),
        ("ros2msg", "uint8 data", "in another way than ROS"),
        ("ros2msg", "bool", "cannot be read"),
        ("protobuf", "bool data", "of a kind that is not read"),
        ("ros2msg", "#" * 70_000, "of a kind that is not read"),
    ],
)
def test_other_definitions_are_told(encoding, text, told):
    assert told in compare_definition("std_msgs/msg/Bool", encoding, text)
