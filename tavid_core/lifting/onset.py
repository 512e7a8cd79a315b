"""When a hand arrives at an object that it then moves.

A hand that grasps comes to rest on the object for a moment, however short, before both move on
together. That moment is seen more sharply than nearness, which begins on the way.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["arrival_frame", "fill_gaps", "hidden_frame", "speed_of", "timing_sureness"]

# Slower than this share of its fastest approach a hand has arrived.
ARRIVED_SPEED_SHARE = 0.25
# A hand rests on what it takes for about so long before that is seen to move, as a share of its way
# there: a measured pose shows the motion earlier than the look of the rest place does.
USUAL_REST, USUAL_REST_OF_POSES = 0.75, 0.35
# Within this factor of it nothing is odd; at three times more or less a third of the sureness is
# gone, and never more than two thirds: that the target is held is sure all the same.
USUAL_FACTOR = 1.5
LEAST_SURENESS = 0.3


def fill_gaps(pixels: NDArray[np.floating], is_seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Lay straight lines over the frames in which a point is not seen.

    Args:
        pixels: Column and row, float (T, 2).
        is_seen: bool (T,), true at least once.

    Returns:
        float64 (T, 2); before the first and after the last sight the point stays there.
    """
    frames, known = np.arange(len(pixels)), np.flatnonzero(is_seen)
    return np.stack([np.interp(frames, known, pixels[known, axis]) for axis in (0, 1)], axis=1)


def speed_of(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure a path's speed between the frame before and the one after.

    Args:
        path: float64 (T, 2), no NaN.

    Returns:
        Per frame, float64 (T,), in the path's unit per frame.
    """
    padded = np.pad(path, ((1, 1), (0, 0)), mode="edge")
    speed = np.linalg.norm(padded[2:] - padded[:-2], axis=-1) / 2
    if len(path) > 1:
        # At the ends only one side is known.
        speed[[0, -1]] *= 2
    return speed


def hidden_frame(target_confidence: NDArray[np.floating], onset: int, lost: float) -> int:
    """Say since when nobody sees the target that is then found to be moving.

    Args:
        target_confidence: Of the target's track, float (T,), 0..1.
        onset: First frame in which it is seen away from its place.
        lost: Below this confidence it is not seen.

    Returns:
        First of the frames without sight of it that end at `onset`, or `onset`: it may have been
        moved in any of them.
    """
    frame = onset
    while frame > 0 and target_confidence[frame - 1] < lost:
        frame -= 1
    return frame


def arrival_frame(
    hand_pixels: NDArray[np.floating],
    is_seen: NDArray[np.bool_],
    first_near: int,
    onset: int,
    *,
    min_speed_px: float,
    hidden_from: int | None = None,
) -> int | None:
    """Find the frame in which a hand arrives.

    Args:
        hand_pixels: Middle of the hand, float (T, 2); NaN where not seen.
        is_seen: bool (T,).
        first_near: First frame in which it is near the object.
        onset: First frame in which the object is seen to move.
        min_speed_px: Slower than this it stands still, whatever its approach was.
        hidden_from: First frame in which the object may be moving already, unseen; None = `onset`.

    Returns:
        First frame of the last rest on the way that begins no later than `hidden_from`, or of the
        first one after it that begins no later than `onset`; None if the hand is not seen there or
        does not rest.
    """
    if not is_seen[max(first_near - 1, 0) : onset + 1].any():
        return None
    speed = speed_of(fill_gaps(hand_pixels, is_seen))
    fastest = float(speed[: onset + 1].max())
    is_slow = speed <= max(ARRIVED_SPEED_SHARE * fastest, min_speed_px)
    begins = is_slow & ~np.concatenate([[False], is_slow[:-1]])
    # One frame early: the last step of the way may end within reach.
    frames = np.flatnonzero(begins)
    frames = frames[(frames >= first_near) & (frames <= onset)]
    if not len(frames):
        return None
    # A hand that is at rest in frame 0 has not arrived in it, if it does so later.
    frames = frames[min(int(frames[0] == 0), len(frames) - 1) :]
    # One that holds what nobody sees may slow down again on its way with it.
    before = frames[frames <= (onset if hidden_from is None else hidden_from)]
    return int(before[-1]) if len(before) else int(frames[0])


def timing_sureness(
    hand_pixels: NDArray[np.floating],
    is_seen: NDArray[np.bool_],
    start: int,
    onset: int,
    *,
    is_measured: bool,
    hidden_from: int | None = None,
) -> tuple[float, str]:
    """Say how sure the frame of a touch is.

    A hand that is found at rest long before the target moves may only have waited near it; one that
    is found there when the target already moves was hidden, or came earlier.

    Args:
        hand_pixels: Middle of the hand, float (T, 2); NaN where not seen.
        is_seen: bool (T,), true at least once.
        start: First frame of the contact.
        onset: First frame in which the target is seen to move.
        is_measured: Whether that is known from poses of the target.
        hidden_from: First frame in which it may be moving already, unseen; None = `onset`. Of the
            rests that are possible then the most usual one counts.

    Returns:
        `LEAST_SURENESS` to 1, and why it is low; empty where it is not.
    """
    speed = speed_of(fill_gaps(hand_pixels, is_seen))[: start + 1]
    first = int(speed.argmax()) if speed.max() > 0 else start
    while first > 0 and speed[first - 1] > ARRIVED_SPEED_SHARE * speed.max():
        first -= 1
    usual = USUAL_REST_OF_POSES if is_measured else USUAL_REST
    way, longest = start - first, max(onset - start, 0)
    shortest = longest if hidden_from is None else min(max(hidden_from - start, 0), longest)
    rest = min(max(round(usual * way), shortest), longest)
    # Half a frame stands for none.
    ratio = max(rest, 0.5) / max(way, 0.5) / usual
    oddness = max(abs(math.log(ratio)) - math.log(USUAL_FACTOR), 0.0)
    sureness = LEAST_SURENESS + (1 - LEAST_SURENESS) / (1 + (oddness / math.log(2.0)) ** 2)
    if sureness > 0.7:
        return sureness, ""
    return sureness, (
        f"the hand comes within {way} frames and rests on the target for {rest} before that moves, "
        "so when it touches is unsure"
    )
