"""One message as a bag stores it."""

from __future__ import annotations

import dataclasses

__all__ = ["StoredMessage"]


@dataclasses.dataclass(frozen=True)
class StoredMessage:
    """A message that is whole, but whose content nobody looked at yet.

    Args:
        topic: Its topic.
        type_name: E.g. sensor_msgs/msg/Image.
        received_ns: When the recorder got it, nanoseconds.
        data: CDR bytes.
    """

    topic: str
    type_name: str
    received_ns: int
    data: bytes
