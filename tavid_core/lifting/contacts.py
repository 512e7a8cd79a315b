"""All contacts of all hands, with the target or with a look-alike, and where they are in metres."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tavid_core.lifting.contact import TOUCH_SCORE, ContactInterval, find_hand_contacts
from tavid_core.lifting.contact_runs import find_later_contacts
from tavid_core.lifting.instances import touched_look_alike
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.target import TargetTrack
from tavid_core.motion import Contact, PointTrack

__all__ = ["Touches", "find_touches", "lift_contacts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Touches:
    """What the hands touch, in the picture.

    Args:
        main: The contact with the target that counts; without one it says why.
        with_target: Contacts of all hands with the target, in time order.
        with_other: Contact of a hand that carries a look-alike away instead, or None.
    """

    main: ContactInterval
    with_target: tuple[ContactInterval, ...] = ()
    with_other: ContactInterval | None = None


def find_touches(
    frames: NDArray[np.uint8],
    keypoints: Keypoints,
    track: TargetTrack,
    mask: NDArray[np.bool_],
    *,
    hand_names: Sequence[str],
    onset_frame: int | None = None,
) -> Touches:
    """Find what each hand touches.

    Look-alikes are only looked for where the target is not seen to move: two objects are not
    carried at once.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        keypoints: Of the actor, rollout pixels.
        track: Of the target.
        mask: The target in frame 0, bool (h, w).
        hand_names: Hands that are seen surely enough.
        onset_frame: First frame in which the target moves, if the track does not know best.

    Returns:
        The contacts.
    """
    found = find_hand_contacts(
        keypoints, track, mask, hand_names=hand_names, onset_frame=onset_frame
    )
    main = max(found, key=lambda contact: contact.confidence, default=ContactInterval())
    touching = [contact for contact in found if contact.confidence >= TOUCH_SCORE]
    touching.sort(key=lambda contact: contact.start_frame)
    if main.moves_target and touching:
        later = find_later_contacts(keypoints, track, mask, main, hand_names=hand_names)
        return Touches(main=main, with_target=_merge(touching, main, later))
    other = touched_look_alike(frames, keypoints, mask, hand_names=hand_names)
    if other is not None:
        hand = (other.contact.hand or "hand").replace("_", " ")
        reason = f"the {hand} takes something that looks like the target instead"
        return Touches(main=ContactInterval(reason=reason), with_other=other.contact)
    if touching:
        return Touches(main=main, with_target=tuple(touching))
    nothing = dataclasses.replace(main, hand=None, start_frame=None, end_frame=None)
    return Touches(main=nothing)


def _merge(
    touching: Sequence[ContactInterval], main: ContactInterval, later: Sequence[ContactInterval]
) -> tuple[ContactInterval, ...]:
    """Replace what was only near by what carries, where both are of one hand at one time."""
    kept = [
        contact
        for contact in touching
        if contact is main
        or not any(
            carrying.hand == contact.hand
            and carrying.start_frame <= contact.end_frame
            and contact.start_frame <= carrying.end_frame
            for carrying in later
        )
    ]
    return tuple(sorted([*kept, *later], key=lambda contact: contact.start_frame))


def lift_contacts(
    touches: Touches,
    hands: Sequence[PointTrack],
    target: PointTrack,
    target_quaternions_xyzw: NDArray[np.float32],
) -> tuple[Contact, tuple[Contact, ...]]:
    """Put the contacts in metres.

    Args:
        touches: Found in the picture.
        hands: Lifted.
        target: Lifted.
        target_quaternions_xyzw: Its orientation, float32 (T, 4).

    Returns:
        The contact that counts and all of them in time order.
    """
    lifted = {
        id(interval): _lift(interval, hands, target, target_quaternions_xyzw)
        for interval in touches.with_target
    }
    contacts = [lifted[id(interval)] for interval in touches.with_target]
    if touches.with_other is not None:
        contacts.append(_lift_other(touches.with_other, hands))
    main = lifted.get(id(touches.main))
    if main is None:
        main = contacts[0] if contacts and touches.with_other is not None else Contact()
    return main, tuple(contacts)


def _lift(
    interval: ContactInterval,
    hands: Sequence[PointTrack],
    target: PointTrack,
    quaternions_xyzw: NDArray[np.float32],
) -> Contact:
    start = interval.start_frame
    point_m, center_m = _place(interval, hands), target.positions_camera_m[start]
    # A hand that is hidden at the first touch is where the target is.
    point_m = point_m if np.isfinite(point_m).all() else center_m
    relative_m = Rotation.from_quat(quaternions_xyzw[start]).inv().apply(point_m - center_m)
    is_known = bool(np.isfinite(relative_m).all())
    return Contact(
        hand=interval.hand,
        start_frame=start,
        end_frame=interval.end_frame,
        point_camera_m=point_m.astype(np.float32) if is_known else None,
        point_target_m=relative_m.astype(np.float32) if is_known else None,
        touches_target=True,
        confidence=float(interval.confidence * interval.timing),
    )


def _lift_other(interval: ContactInterval, hands: Sequence[PointTrack]) -> Contact:
    point_m = _place(interval, hands)
    return Contact(
        hand=interval.hand,
        start_frame=interval.start_frame,
        end_frame=interval.end_frame,
        point_camera_m=point_m.astype(np.float32) if np.isfinite(point_m).all() else None,
        touches_other=True,
        confidence=float(interval.confidence),
    )


def _place(interval: ContactInterval, hands: Sequence[PointTrack]) -> NDArray[np.float32]:
    hand = next((hand for hand in hands if hand.name == interval.hand), None)
    if hand is None:
        return np.full(3, np.nan, dtype=np.float32)
    return hand.positions_camera_m[interval.start_frame]
