"""Which image stands for each moment of a fixed rate, decided while images stream by."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

__all__ = ["Pick", "Resampler"]

_NS_PER_SECOND = 1_000_000_000


class Pick(enum.Enum):
    """What happens at a moment."""

    IMAGE = "image"
    GAP = "gap"


@dataclasses.dataclass
class Resampler:
    """Picks images for moments 1 / fps apart, the first one at the first image.

    Args:
        fps: Moments per second.
        rule: "nearest" image of each moment, or "hold" the last one before it.
        max_age_sec: Farther away than this no image stands for a moment.
    """

    fps: float
    rule: str
    max_age_sec: float

    def __post_init__(self) -> None:
        """Begin without an image."""
        self._start_ns: int | None = None
        self._previous_ns = 0
        self._num_done = 0

    def _moment_ns(self) -> int:
        return self._start_ns + round(self._num_done * _NS_PER_SECOND / self.fps)

    def push(self, stamp_ns: int) -> Iterator[Pick]:
        """Take the next image's stamp and settle the moments for which the one before it stands.

        Args:
            stamp_ns: Later than every stamp before.

        Yields:
            `Pick.IMAGE` for each moment that the image before stands for; `Pick.GAP`, as the last
            one, if a moment between the two has no image: then this image begins anew.
        """
        if self._start_ns is None:
            self._start_ns, self._previous_ns, self._num_done = stamp_ns, stamp_ns, 0
            return
        middle_ns = self._previous_ns + (stamp_ns - self._previous_ns) // 2
        while (moment_ns := self._moment_ns()) < stamp_ns:
            is_previous = self.rule == "hold" or moment_ns <= middle_ns
            nearest_ns = self._previous_ns if is_previous else stamp_ns
            if abs(moment_ns - nearest_ns) > self._max_age_ns:
                self._start_ns, self._previous_ns, self._num_done = stamp_ns, stamp_ns, 0
                yield Pick.GAP
                return
            if not is_previous:
                break
            self._num_done += 1
            yield Pick.IMAGE
        self._previous_ns = stamp_ns

    def finish(self) -> Iterator[Pick]:
        """Settle the last moments.

        Yields:
            `Pick.IMAGE` for the moments that the last image still stands for.
        """
        if self._start_ns is None:
            return
        half_ns = round(_NS_PER_SECOND / self.fps / 2) if self.rule == "nearest" else 0
        while self._moment_ns() <= self._previous_ns + min(half_ns, self._max_age_ns):
            self._num_done += 1
            yield Pick.IMAGE
        self._start_ns = None

    @property
    def _max_age_ns(self) -> int:
        return round(self.max_age_sec * _NS_PER_SECOND)
