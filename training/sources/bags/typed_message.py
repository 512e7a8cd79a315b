"""CDR bytes to the few types of message that are used; every other type is left alone.

All releases of ROS 2 define these types alike, so that bags without definitions are read too. A
bag whose own definition says something else is not trusted with the name.
"""

from __future__ import annotations

import functools
import struct

from tavid_core.errors import InputError, MissingExtraError

__all__ = ["KNOWN_TYPES", "MAX_DEFINITION_CHARACTERS", "compare_definition", "decode_message"]

KNOWN_TYPES = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/JointState",
    "std_msgs/msg/String",
    "std_msgs/msg/Bool",
)

MAX_DEFINITION_CHARACTERS = 64 * 1024
# Of a message that is no picture. A sentence, a calibration or a robot's joints take a few
# kilobytes, and decoded they take several times the memory of their bytes.
_MAX_SMALL_BYTES = 1024 * 1024
_PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@functools.cache
def _open_store() -> object:
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingExtraError.of("rosbags", "train") from error
    return get_typestore(Stores.ROS2_JAZZY)


def decode_message(type_name: str, data: bytes) -> object:
    """Decode one message.

    Args:
        type_name: One of `KNOWN_TYPES`.
        data: CDR.

    Returns:
        An object with the fields of the type; arrays of numbers are numpy arrays that share memory
        with `data`.

    Raises:
        InputError: If the type is another, or the bytes do not hold one, or there are more of them
            than such a message needs.
    """
    from rosbags.serde import SerdeError

    if type_name not in KNOWN_TYPES:
        raise InputError(
            f"type must be one of {', '.join(KNOWN_TYPES)}, got {type_name[:64]!r}. "
            "Name another topic."
        )
    if len(data) > _MAX_SMALL_BYTES and type_name not in _PICTURES:
        raise InputError(
            f"message must have at most {_MAX_SMALL_BYTES} bytes for a {type_name}, got "
            f"{len(data)}. Is it damaged, or made to fill the memory?"
        )
    try:
        return _open_store().deserialize_cdr(data, type_name)
    # What its generated code raises when lengths in the bytes lead out of them.
    except (
        SerdeError, ValueError, IndexError, KeyError, struct.error, AssertionError, MemoryError,
        OverflowError, TypeError,
    ) as error:  # fmt: skip
        raise InputError(
            f"message must be a {type_name}, got {len(data)} bytes that are none. It is damaged."
        ) from error


@functools.lru_cache(maxsize=64)
def compare_definition(type_name: str, encoding: str, text: str) -> str:
    """Tell how a bag defines a type in another way than ROS does.

    Args:
        type_name: One of `KNOWN_TYPES`.
        encoding: Of the definition, as stored in the bag.
        text: The definition; empty where the recorder did not have it.

    Returns:
        What is wrong with it; "" if nothing is.
    """
    from rosbags.typesys import TypesysError, get_types_from_idl, get_types_from_msg

    if not text.strip():
        return ""
    if encoding not in ("ros2msg", "ros2idl") or len(text) > MAX_DEFINITION_CHARACTERS:
        return "its definition is of a kind that is not read"
    try:
        if encoding == "ros2msg":
            types = get_types_from_msg(text, type_name)
        else:
            parts = [part.split("\n", 1)[-1] for part in text.split("=" * 80 + "\n")]
            types = {}
            for part in filter(str.strip, parts):
                types.update(get_types_from_idl(part))
    except (TypesysError, ValueError, KeyError, RecursionError, AssertionError, TypeError):
        return "its definition in the bag cannot be read"
    known = _open_store().fielddefs
    for name, (_, fields) in types.items():
        if name in known and list(fields) != list(known[name][1]):
            return f"the bag defines {name} in another way than ROS"
    return "" if type_name in types else "its definition is of another type"
