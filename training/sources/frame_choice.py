"""Which frames of a recording stand for the moments of a steady, slower rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import InputError

__all__ = ["choose_frames", "join_by_time"]

# How far, in steps of the wanted rate, a frame may lie from its moment.
MAX_OFFSET_STEPS = 0.75
RATE_TOLERANCE = 1.02
# Almost three days at 8 per second; a damaged clock asks for millions of years.
MAX_MOMENTS = 2_000_000


def choose_frames(
    times_sec: ArrayLike, fps: float, *, start_sec: float | None = None
) -> list[NDArray[np.int64]]:
    """Choose for each moment of a steady rate the frame nearest in time.

    Where frames are missing the recording is split: a clip must not jump. A recording slower than
    the wanted rate is refused, since frames shown twice are not motion.

    Args:
        times_sec: Of the frames, float (N,), seconds, rising.
        fps: Moments per second.
        start_sec: The first moment; None for the first frame.

    Returns:
        Stretches without a hole, each the indices of its frames.

    Raises:
        InputError: If there are no frames, times do not rise or span days, or the rate is too
            low.
    """
    times = np.asarray(times_sec, dtype=np.float64)
    if times.ndim != 1 or not len(times):
        raise InputError("recording must have frames, got none. Check the file.")
    steps = np.diff(times)
    if not np.isfinite(times).all() or (steps <= 0).any():
        raise InputError(
            f"frame times must rise, got {times[:3].tolist()}... Repair or leave out the file."
        )
    if len(steps) and np.median(steps) > RATE_TOLERANCE / fps:
        raise InputError(
            f"recording must have at least {fps:g} frames per second, got "
            f"{1 / np.median(steps):.3g}. Use a faster version of it, or a lower --fps."
        )
    start = times[0] if start_sec is None else start_sec
    num_moments = int(np.floor((times[-1] - start) * fps + 1e-6)) + 1
    if num_moments < 1:
        return []
    if num_moments > MAX_MOMENTS:
        raise InputError(
            f"recording must last at most {MAX_MOMENTS / fps:.0f} s, got frame times from "
            f"{times[0]:g} to {times[-1]:g}. Repair its times, or split it."
        )
    moments = start + np.arange(num_moments) / fps
    right = np.clip(np.searchsorted(times, moments), 1, max(1, len(times) - 1))
    left = right - 1
    right = np.minimum(right, len(times) - 1)
    nearest = np.where(moments - times[left] <= times[right] - moments, left, right)
    is_near = np.abs(times[nearest] - moments) <= MAX_OFFSET_STEPS / fps
    edges = np.nonzero(np.diff(is_near.astype(np.int8)))[0] + 1
    pieces = np.split(np.arange(num_moments), edges)
    return [nearest[piece] for piece in pieces if is_near[piece[0]]]


def join_by_time(
    times_sec: ArrayLike, other_times_sec: ArrayLike, tolerance_sec: float
) -> dict[int, int]:
    """Find for each moment the nearest entry of another list of moments.

    Counts of frames and of annotations differ in every data set, so indices never match.

    Args:
        times_sec: float (N,), seconds.
        other_times_sec: float (M,), seconds, in any order.
        tolerance_sec: An entry farther away does not belong to the moment.

    Returns:
        Index of the moment to index of the entry, for moments that have one.
    """
    times = np.asarray(times_sec, dtype=np.float64)
    others = np.asarray(other_times_sec, dtype=np.float64)
    if not len(others) or not len(times):
        return {}
    order = np.argsort(others, kind="stable")
    ranked = others[order]
    right = np.clip(np.searchsorted(ranked, times), 0, len(ranked) - 1)
    left = np.maximum(right - 1, 0)
    is_left = np.abs(times - ranked[left]) <= np.abs(ranked[right] - times)
    nearest = np.where(is_left, left, right)
    is_near = np.abs(ranked[nearest] - times) <= tolerance_sec
    return {int(i): int(order[nearest[i]]) for i in np.nonzero(is_near)[0]}
