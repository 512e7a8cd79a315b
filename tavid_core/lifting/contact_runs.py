"""Contacts after the first: a target that is put down and taken again, or by the other hand.

The first contact is the one in which the target leaves its rest place. In every later one a hand is
at the target again, and both go the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.contact import ContactInterval, hand_runs
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.onset import arrival_frame
from tavid_core.lifting.target import TargetTrack

__all__ = ["find_later_contacts"]

# In object sides: so far a target goes in a contact, and so little it goes while it stands.
MIN_CARRIED_SIDES, STANDING_SIDES = 0.5, 0.06
# Hand and target keep their distance to this share of their way while one holds the other.
MAX_SWAY_SHARE = 0.5
MIN_HAND_CONFIDENCE = 0.3


def find_later_contacts(
    keypoints: Keypoints,
    track: TargetTrack,
    mask: NDArray[np.bool_],
    first: ContactInterval,
    *,
    hand_names: Sequence[str],
) -> tuple[ContactInterval, ...]:
    """Find the contacts after the first.

    Args:
        keypoints: Of the actor, rollout pixels.
        track: Where the target is in every frame.
        mask: The target in frame 0, bool (h, w), rollout pixels.
        first: The contact in which the target leaves its rest place.
        hand_names: The hands to consider.

    Returns:
        Contacts in time order; none of the first hand's own frames is in them.
    """
    found = []
    for name in hand_names:
        pixels, confidence = keypoints.track(name)
        for start, end in hand_runs(keypoints, name, track, mask):
            is_same = name == first.hand and start <= first.end_frame and end >= first.start_frame
            if is_same or end <= first.start_frame:
                continue
            contact = _judge(name, pixels, confidence, track, start, end)
            if contact is not None:
                found.append(contact)
    return tuple(sorted(found, key=lambda contact: contact.start_frame))


def _judge(
    name: str,
    pixels: NDArray[np.float32],
    confidence: NDArray[np.float32],
    track: TargetTrack,
    start: int,
    end: int,
) -> ContactInterval | None:
    """Ask whether the target is carried while a hand is near; None if it is not."""
    frames = np.arange(start, end + 1)
    is_known = (confidence[frames] >= MIN_HAND_CONFIDENCE) & track.has_moved[frames]
    frames = frames[is_known & np.isfinite(pixels[frames]).all(axis=-1)]
    if len(frames) < 2:
        return None
    ways = np.linalg.norm(track.pixels[frames] - track.pixels[frames[0]], axis=-1)
    if ways.max() < MIN_CARRIED_SIDES * track.side_px:
        return None
    # Before it sets off with the hand it stands, and the hand is only on its way to it.
    standing = np.flatnonzero(ways <= STANDING_SIDES * track.side_px)
    moving = frames[standing[-1] :]
    between = pixels[moving] - track.pixels[moving]
    sway = np.linalg.norm(between - np.median(between, axis=0), axis=-1)
    if float(np.median(sway)) > MAX_SWAY_SHARE * float(ways.max()):
        return None
    is_seen = (confidence >= MIN_HAND_CONFIDENCE) & np.isfinite(pixels).all(axis=-1)
    onset, still_px = int(moving[0]), STANDING_SIDES * track.side_px
    arrival = arrival_frame(pixels, is_seen, start, onset, min_speed_px=still_px)
    first = onset if arrival is None else arrival
    together = 1.0 - float(np.median(sway)) / float(ways.max())
    sureness = float(track.confidence[moving].mean()) * float(confidence[moving].mean())
    return ContactInterval(
        hand=name,
        start_frame=first,
        end_frame=end,
        confidence=float(np.clip((0.4 + 0.6 * together) * np.sqrt(sureness), 0, 1)),
        moves_target=True,
        reason="",
    )
