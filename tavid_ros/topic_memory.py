"""What came last on one topic, and how often something comes."""

from __future__ import annotations

import collections
import dataclasses

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from tavid_ros.conversions import nanoseconds_from_time

__all__ = ["AnyImage", "AnyInput", "Received", "TopicMemory"]

AnyImage = Image | CompressedImage
AnyInput = AnyImage | CameraInfo | String

_RATE_WINDOW_SEC = 5.0
_MAX_COUNTED = 1024


@dataclasses.dataclass(frozen=True)
class Received:
    """A message and when it came.

    Args:
        message: As received.
        arrival_sec: Steady clock; the only time that ages are counted from, since stamps may lie
            in the past, in the future, or on a clock that jumps.
    """

    message: AnyInput
    arrival_sec: float

    @property
    def stamp_ns(self) -> int:
        """Of the header; 0 if it was never set."""
        return nanoseconds_from_time(self.message.header.stamp)


class TopicMemory:
    """The last messages of one topic, bounded in number and bytes; not thread-safe.

    Args:
        max_messages: At least 1.
        max_bytes: Of the messages' data together; the newest message stays whatever its size.
    """

    def __init__(self, max_messages: int = 1, max_bytes: int = 0) -> None:
        self._received: collections.deque[Received] = collections.deque(maxlen=max_messages)
        self._max_bytes = max_bytes
        self._arrivals_sec: collections.deque[float] = collections.deque(maxlen=_MAX_COUNTED)
        self._num_bytes = 0

    @property
    def latest(self) -> Received | None:
        """The newest message."""
        return self._received[-1] if self._received else None

    @property
    def newest_first(self) -> list[Received]:
        """All that is remembered."""
        return list(reversed(self._received))

    @property
    def num_bytes(self) -> int:
        """Bytes of the remembered messages' data."""
        return self._num_bytes

    def put(self, received: Received) -> None:
        """Remember a message and forget older ones that there is no room for.

        Args:
            received: Not older than the one before.
        """
        if len(self._received) == self._received.maxlen:
            self._forget_oldest()
        self._received.append(received)
        self._num_bytes += _count_bytes(received)
        while len(self._received) > 1 and self._num_bytes > self._max_bytes:
            self._forget_oldest()
        self._arrivals_sec.append(received.arrival_sec)

    def clear(self) -> None:
        """Forget every message."""
        self._received.clear()
        self._num_bytes = 0

    def rate_hz(self, now_sec: float) -> float:
        """Tell how often something comes.

        Args:
            now_sec: Steady clock.

        Returns:
            Messages per second over the last 5 s; falls to 0 when the topic is silent.
        """
        arrivals_sec = self._arrivals_sec
        while arrivals_sec and now_sec - arrivals_sec[0] > _RATE_WINDOW_SEC:
            arrivals_sec.popleft()
        if len(arrivals_sec) < 2 or now_sec <= arrivals_sec[0]:
            return 0.0
        return (len(arrivals_sec) - 1) / (now_sec - arrivals_sec[0])

    def _forget_oldest(self) -> None:
        self._num_bytes -= _count_bytes(self._received.popleft())


def _count_bytes(received: Received) -> int:
    return len(getattr(received.message, "data", ()))
