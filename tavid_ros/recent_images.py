"""The last images of a topic, for clicks that name the one they mean by its stamp."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from tavid_core.errors import InputError
from tavid_ros import conversions
from tavid_ros.inputs import StaleInputError

__all__ = ["AnyImage", "RecentImage", "RecentImages"]

_NUM_REMEMBERED_IMAGES = 8
_MAX_REMEMBERED_BYTES = 64 * 1024 * 1024

AnyImage = Image | CompressedImage


@dataclasses.dataclass(frozen=True)
class RecentImage:
    """An image with a number of its own.

    Args:
        message: As received, not decoded.
        key: No other image of this process has it.
        arrival_sec: Steady clock.
    """

    message: AnyImage
    key: int
    arrival_sec: float


class RecentImages:
    """Remembers a few images; thread-safe.

    Args:
        clock_sec: Steady clock, seconds.
    """

    def __init__(self, clock_sec: Callable[[], float] = time.monotonic) -> None:
        self._clock_sec = clock_sec
        self._lock = threading.Lock()
        self._keys = itertools.count()
        self._received: collections.deque[RecentImage] = collections.deque(
            maxlen=_NUM_REMEMBERED_IMAGES
        )

    def number(self, message: AnyImage) -> RecentImage:
        """Give an image that came another way its number, without remembering it.

        Args:
            message: Well formed.

        Returns:
            The image with its number.
        """
        return RecentImage(message, next(self._keys), self._clock_sec())

    def put(self, message: AnyImage) -> RecentImage:
        """Remember an image.

        Args:
            message: Well formed.

        Returns:
            The image with its number.
        """
        received = self.number(message)
        with self._lock:
            self._received.append(received)
            while len(self._received) > 1 and (
                sum(len(item.message.data) for item in self._received) > _MAX_REMEMBERED_BYTES
            ):
                self._received.popleft()
        return received

    @property
    def latest(self) -> RecentImage | None:
        """The last one, None before the first."""
        with self._lock:
            return self._received[-1] if self._received else None

    @property
    def age_sec(self) -> float | None:
        """How long ago the last one came, None before the first."""
        latest = self.latest
        return None if latest is None else self._clock_sec() - latest.arrival_sec

    def pick(self, topic: str, header: Header, max_age_sec: float) -> RecentImage:
        """Pick the image that a click means: that of its stamp, else the latest.

        Args:
            topic: Of the click, for the message.
            header: Of the click; an empty frame and a stamp of 0 say nothing.
            max_age_sec: Oldest image that may be meant, 0 = any.

        Returns:
            The image.

        Raises:
            StaleInputError: If there is none, or it is too old.
            InputError: If the click is in another frame.
        """
        with self._lock:
            received = list(self._received)
        if not received:
            raise StaleInputError(
                f"image must come before {topic}, got none since the start. "
                "Check the topic's name and that somebody publishes it."
            )
        stamp_ns = conversions.nanoseconds_from_time(header.stamp)
        picked = next(
            (
                item
                for item in received
                if stamp_ns
                and conversions.nanoseconds_from_time(item.message.header.stamp) == stamp_ns
            ),
            received[-1],
        )
        age_sec = self._clock_sec() - picked.arrival_sec
        if max_age_sec and age_sec > max_age_sec:
            raise StaleInputError(
                f"image must be at most {max_age_sec:g} s old, got {age_sec:.1f} s. "
                "Has its publisher stopped? Or raise image_max_age_sec."
            )
        frame_id = picked.message.header.frame_id
        if header.frame_id not in ("", frame_id):
            # Rviz clicks on the world, in metres; taken for pixels they would mark a corner.
            raise InputError(
                f"{topic} must be in pixels of the image (frame '{frame_id}'), got frame "
                f"'{header.frame_id}'. Click on the image itself, or leave the frame empty."
            )
        return picked
