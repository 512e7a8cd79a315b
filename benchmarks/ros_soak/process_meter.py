"""What a process holds: memory, threads and open files, and whether it is more and more."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

import psutil

__all__ = ["Growth", "ProcessMeter"]

_MB = 1024 * 1024
# Caches fill and memory is first asked for in the first quarter; it tells nothing.
_WARM_UP_SHARE = 0.25
_WINDOW_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class _Reading:
    rss_mb: float
    num_threads: float
    num_files: float


@dataclasses.dataclass(frozen=True)
class Growth:
    """What a process holds more at the end than after its warm-up.

    Args:
        rss_mb: Resident memory.
        num_threads: Threads.
        num_files: Open files and sockets.
    """

    rss_mb: float
    num_threads: int
    num_files: int


class ProcessMeter:
    """Reads what one process holds, again and again.

    Args:
        pid: Of the process.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._readings: list[_Reading] = []

    def read(self) -> None:
        """Take a reading, at equal distances of work."""
        with self._process.oneshot():
            self._readings.append(
                _Reading(
                    rss_mb=self._process.memory_info().rss / _MB,
                    num_threads=self._process.num_threads(),
                    num_files=self._process.num_fds(),
                )
            )

    def find_growth(self) -> Growth:
        """Compare the last tenth of the readings with the tenth after the warm-up, by medians.

        Returns:
            The differences.

        Raises:
            ValueError: With fewer than three readings.
        """
        if len(self._readings) < 3:
            raise ValueError(
                f"readings must be 3 or more, got {len(self._readings)}. Measure for longer."
            )
        return Growth(
            rss_mb=_compare([reading.rss_mb for reading in self._readings]),
            num_threads=round(_compare([reading.num_threads for reading in self._readings])),
            num_files=round(_compare([reading.num_files for reading in self._readings])),
        )


def _compare(values: Sequence[float]) -> float:
    start = max(1, round(_WARM_UP_SHARE * len(values)))
    width = max(1, round(_WINDOW_SHARE * len(values)))
    return statistics.median(values[-width:]) - statistics.median(values[start : start + width])
