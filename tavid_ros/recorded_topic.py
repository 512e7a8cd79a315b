"""One topic that is recorded, as it was published: the bytes are never decoded."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from tavid_core.errors import InputError

__all__ = ["RecordedTopic", "choose_recording_qos"]

_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")


def choose_recording_qos(offered: Sequence[QoSProfile], depth: int) -> QoSProfile:
    """Ask for what every publisher of a topic offers, as rosbag2 does.

    Args:
        offered: QoS of its publishers, at least one.
        depth: Messages that may wait.

    Returns:
        Reliable where all are, latched where all are.
    """
    is_reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in offered)
    is_latched = all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offered)
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE),
    )


class RecordedTopic:
    """Listens to a topic as soon as somebody publishes it.

    Args:
        node: Owner of the subscription.
        name: Full name of the topic.
        depth: Messages that may wait.
        on_found: Called once, with the type and the QoS on offer, before the first message; raises
            InputError if it cannot be recorded.
        on_message: Gets the time of receiving, in nanoseconds, and the bytes.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        depth: int,
        on_found: Callable[[str, Sequence[QoSProfile]], None],
        on_message: Callable[[int, bytes], None],
    ) -> None:
        self.name = name
        self.problem = ""
        self.num_lost = 0
        self._node, self._depth = node, depth
        self._on_found, self._on_message = on_found, on_message
        self._kind: type | None = None
        self._type_name = ""
        self._qos: QoSProfile | None = None
        self._subscription: Subscription | None = None
        self._last_number: int | None = None
        self._num_publishers = 0

    def match(self) -> None:
        """Look who publishes, and listen in the way that hears all of them."""
        infos = self._node.get_publishers_info_by_topic(self.name)
        if not infos or self.problem:
            return
        if self._kind is None and not self._find(infos):
            return
        self._num_publishers = len({bytes(info.endpoint_gid) for info in infos})
        heard = [info.qos_profile for info in infos if info.topic_type == self._type_name]
        if not heard:
            return
        qos = choose_recording_qos(heard, self._depth)
        if self._qos is not None:
            # A weaker subscription hears everybody that a stronger one does.
            qos = choose_recording_qos([qos, self._qos], self._depth)
            if qos == self._qos:
                return
            self._node.destroy_subscription(self._subscription)
        self._qos = qos
        self._subscription = self._node.create_subscription(
            self._kind, self.name, self._receive, qos, raw=True
        )

    def _find(self, infos: Sequence[Any]) -> bool:
        type_name = infos[0].topic_type
        try:
            kind = _find_class(type_name)
            self._on_found(type_name, [info.qos_profile for info in infos])
        except InputError as error:
            self.problem = str(error)
            return False
        self._kind, self._type_name = kind, type_name
        return True

    def _receive(self, data: bytes, info: dict[str, Any]) -> None:
        number = info.get("publication_sequence_number")
        # Each publisher counts its own messages.
        if number is not None and self._num_publishers == 1:
            if self._last_number is not None and number > self._last_number:
                self.num_lost += number - self._last_number - 1
            self._last_number = number
        else:
            self._last_number = None
        self._on_message(info.get("received_timestamp") or time.time_ns(), bytes(data))


def _find_class(type_name: str) -> type:
    """Find the class of a type that somebody on the network named."""
    found = _TYPE.fullmatch(type_name)
    if found is None:
        raise InputError(f"type must be of a message, got {type_name[:80]!r}. Leave it out.")
    try:
        return getattr(importlib.import_module(f"{found[1]}.msg"), found[2])
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"type must be installed here, got {type_name[:80]}. Install its package, or leave it "
            "out."
        ) from error
