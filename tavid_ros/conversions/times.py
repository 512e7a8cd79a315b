"""Stamps, durations and headers."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Duration, Time
from std_msgs.msg import Header

__all__ = [
    "duration_from_seconds",
    "header_from_stamp",
    "nanoseconds_from_time",
    "seconds_from_duration",
]

_NS_PER_SECOND = 1_000_000_000
_MAX_SECONDS = 2**31 - 1


def nanoseconds_from_time(stamp: Time) -> int:
    """Read a stamp.

    Args:
        stamp: As sent.

    Returns:
        Nanoseconds; 0 for a stamp that was never set.
    """
    return stamp.sec * _NS_PER_SECOND + stamp.nanosec


def header_from_stamp(stamp_ns: int, frame_id: str) -> Header:
    """Make the header that results carry: that of the conditioning image.

    Args:
        stamp_ns: Nanoseconds.
        frame_id: Optical frame of the camera.

    Returns:
        The header.
    """
    seconds, nanoseconds = divmod(int(stamp_ns), _NS_PER_SECOND)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame_id)


def duration_from_seconds(seconds: float | None) -> Duration:
    """Write a duration.

    Args:
        seconds: Finite, or None for "unknown", which is sent as -1 s.

    Returns:
        The message; the sign is in `sec`, `nanosec` is never negative.
    """
    if seconds is None or not math.isfinite(seconds):
        return Duration(sec=-1)
    whole_ns = round(min(max(seconds, -_MAX_SECONDS), _MAX_SECONDS) * _NS_PER_SECOND)
    whole, rest = divmod(whole_ns, _NS_PER_SECOND)
    return Duration(sec=int(whole), nanosec=int(rest))


def seconds_from_duration(duration: Duration) -> float:
    """Read a duration.

    Args:
        duration: As sent.

    Returns:
        Seconds.
    """
    return duration.sec + duration.nanosec / _NS_PER_SECOND
