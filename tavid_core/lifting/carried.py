"""A target that nobody sees any more, carried by the hand that took it."""

from __future__ import annotations

import dataclasses

import numpy as np

from tavid_core.lifting.contact import MIN_HAND_CONFIDENCE, ContactInterval
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.onset import fill_gaps
from tavid_core.lifting.target import TargetTrack

__all__ = ["carry_unseen"]

# Of the hand's: where in it the target is, and whether it still is, nobody sees.
UNSEEN_FACTOR = 0.25


def carry_unseen(
    track: TargetTrack, interval: ContactInterval, keypoints: Keypoints
) -> TargetTrack:
    """Let the hand say where a target is that is seen neither in its place nor elsewhere.

    Args:
        track: Of the target.
        interval: The contact that counts.
        keypoints: Of the actor, rollout pixels.

    Returns:
        The track, moved with the hand in the frames in which the target is seen neither in its
        place nor elsewhere, at a low confidence; as it is if nobody took it, or its place is not
        empty at the end.
    """
    if not interval.is_contact or not track.has_gone:
        return track
    pixels, confidence = keypoints.track(interval.hand)
    is_seen = (confidence >= MIN_HAND_CONFIDENCE) & np.isfinite(pixels).all(axis=-1)
    frames = np.arange(len(track.confidence))
    is_there = (frames < interval.start_frame) | (track.rest_emptiness <= track.rest_likeness)
    left = int(np.flatnonzero(is_there)[-1]) + 1
    # What is lost by a fault of the video stays lost.
    is_carried = (frames >= left) & ~track.has_moved & (track.confidence > 0)
    if not is_carried.any() or not is_seen.any():
        return track
    hand = fill_gaps(pixels, is_seen)
    # Where it was last seen with the hand, be it in its place when that took it.
    last = np.maximum.accumulate(np.where(track.has_moved, frames, interval.start_frame))
    carried = track.pixels[last] + hand - hand[last]
    sureness = np.maximum(track.confidence, UNSEEN_FACTOR * np.where(is_seen, confidence, 0.0))
    return dataclasses.replace(
        track,
        pixels=np.where(is_carried[:, None], carried, track.pixels).astype(np.float32),
        has_moved=track.has_moved | is_carried,
        confidence=np.where(is_carried, sureness, track.confidence).astype(np.float32),
        carried_from=int(np.flatnonzero(is_carried)[0]),
    )
