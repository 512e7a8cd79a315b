"""Parts of a motion that a robot carries out one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tavid_core.motion import Contact, MotionSegment

__all__ = ["find_segments"]

# Farther than a lifted position jitters, nearer than anybody would call a transport.
MOVED_M = 0.015


def find_segments(
    contacts: Sequence[Contact], target_camera_m: NDArray[np.float32]
) -> tuple[MotionSegment, ...]:
    """Divide a motion at its contacts with the target.

    Before a contact is the approach; from the contact until the target moves, the grasp; while it
    is moved, the transport; after the contact, the retreat, until the same hand's next contact.

    Args:
        contacts: Of all hands; those with other objects do not count.
        target_camera_m: The target's centre, float32 (T, 3), metres; NaN where lost.

    Returns:
        Segments by hand and time; empty without a contact.
    """
    touching = [contact for contact in contacts if contact.touches_target and contact.hand]
    by_hand: dict[str, list[Contact]] = {}
    for contact in sorted(touching, key=lambda contact: contact.start_frame):
        by_hand.setdefault(contact.hand, []).append(contact)
    segments = []
    for hand, own in by_hand.items():
        free_from = 0
        for contact in own:
            _append(segments, "approach", hand, free_from, contact.start_frame - 1)
            moved = _first_moved(target_camera_m, contact)
            _append(segments, "grasp", hand, contact.start_frame, moved - 1)
            _append(segments, "transport", hand, moved, contact.end_frame)
            free_from = contact.end_frame + 1
        _append(segments, "retreat", hand, free_from, len(target_camera_m) - 1)
    return tuple(segments)


def _first_moved(target_camera_m: NDArray[np.float32], contact: Contact) -> int:
    """First frame of the contact in which the target is elsewhere; after its end if none."""
    frames = np.arange(contact.start_frame, contact.end_frame + 1)
    way_m = np.linalg.norm(target_camera_m[frames] - target_camera_m[contact.start_frame], axis=-1)
    # A lost target is not known to have moved.
    moved = frames[np.nan_to_num(way_m) > MOVED_M]
    # A grasp takes at least the frame of the first touch.
    return max(int(moved[0]), contact.start_frame + 1) if len(moved) else contact.end_frame + 1


def _append(segments: list[MotionSegment], name: str, hand: str, start: int, end: int) -> None:
    if end >= start:
        segments.append(MotionSegment(name=name, hand=hand, start_frame=start, end_frame=end))
