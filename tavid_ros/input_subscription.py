"""A subscription that gets all that each publisher of its topic offers."""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import QoSMessageLostInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from tavid_ros.input_qos import match_input_qos
from tavid_ros.topic_memory import AnyInput

__all__ = ["InputSubscription"]

# Copies of one message come at once; this many of others may come in between.
_NUM_KNOWN_COPIES = 16
_Key = tuple[DurabilityPolicy, ReliabilityPolicy]


class InputSubscription:
    """Listens to a topic in one way, and in another when a publisher offers more.

    Args:
        node: Owner of the subscription.
        name: The input, which decides what more is asked for.
        topic: Where it comes from.
        kind: Type of the messages.
        qos: Of the first subscription.
        callback: Gets every message once.
        callback_group: Mutually exclusive, or the callback may run twice at a time.
        on_incompatible: Called when a publisher appears that cannot be heard by one of the
            subscriptions.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        topic: str,
        kind: type,
        qos: QoSProfile,
        callback: Callable[[AnyInput], None],
        callback_group: CallbackGroup,
        on_incompatible: Callable[[], object] = lambda: None,
    ) -> None:
        self._node = node
        self._name = name
        self._topic = topic
        self._kind = kind
        self._callback = callback
        self._callback_group = callback_group
        self._on_incompatible = on_incompatible
        self._lock = threading.Lock()
        self._is_destroyed = False
        self._seen: collections.deque[int] = collections.deque(maxlen=_NUM_KNOWN_COPIES)
        self._num_lost: dict[_Key, int] = {}
        self._subscriptions: dict[_Key, Subscription] = {}
        self._subscribe(qos)

    @property
    def num_lost(self) -> int:
        """Messages that DDS gave up on the way in each of the ways they are listened to."""
        return min(self._num_lost.values())

    def match(self) -> None:
        """Listen to what is latched or reliable in the way that gets it."""
        for info in self._node.get_publishers_info_by_topic(
            self._node.resolve_topic_name(self._topic)
        ):
            qos = match_input_qos(self._name, info.qos_profile)
            if qos is not None:
                self._subscribe(qos)

    def destroy(self) -> None:
        """Stop listening."""
        with self._lock:
            self._is_destroyed = True
            subscriptions = list(self._subscriptions.values())
        for subscription in subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(self, qos: QoSProfile) -> None:
        key = (qos.durability, qos.reliability)
        # Not rclpy's own callbacks: they warn of publishers that another subscription hears.
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda _: self._on_incompatible(),
            matched=lambda _: self.match(),
            message_lost=functools.partial(self._count_lost, key),
            use_default_callbacks=False,
        )
        with self._lock:
            if self._is_destroyed or key in self._subscriptions:
                return
            self._num_lost[key] = 0
            self._subscriptions[key] = self._node.create_subscription(
                self._kind,
                self._topic,
                self._receive,
                qos,
                callback_group=self._callback_group,
                event_callbacks=events,
            )

    def _count_lost(self, key: _Key, event: QoSMessageLostInfo) -> None:
        self._num_lost[key] = event.total_count

    def _receive(self, message: AnyInput, info: dict[str, Any]) -> None:
        source_ns = info["source_timestamp"]
        with self._lock:
            is_copy = bool(source_ns) and source_ns in self._seen
            self._seen.append(source_ns)
        if not is_copy:
            self._callback(message)
