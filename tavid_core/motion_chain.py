"""Several motions one after the other as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.motion import BodyFit, Contact, InteractionMotion, MotionSegment, PointTrack

__all__ = ["chain_motions"]


def chain_motions(
    motions: Sequence[InteractionMotion],
) -> tuple[InteractionMotion, tuple[int, ...]]:
    """Put motions one after the other.

    The first frame of each but the first is the last frame of the one before, and is left out. A
    point that one of them does not know is lost there. Each channel is as sure as in the least
    sure motion.

    Args:
        motions: At least one, all in one camera's frame.

    Returns:
        The whole motion, and in which of its frames each part begins.

    Raises:
        InputError: If there is no motion.
    """
    if not motions:
        raise InputError("motions must hold at least one, got none. Plan a step first.")
    lengths = [motion.num_frames for motion in motions]
    first_frames = tuple(int(sum(lengths[:i]) - i) for i in range(len(motions)))
    contacts = tuple(
        _shift_contact(contact, offset)
        for motion, offset in zip(motions, first_frames, strict=True)
        for contact in motion.contacts or _as_tuple(motion.contact)
    )
    whole = InteractionMotion(
        hands=_chain_named([motion.hands for motion in motions], lengths),
        body=_chain_named([motion.body for motion in motions], lengths),
        target=_chain_tracks([motion.target for motion in motions], lengths),
        target_quaternions_xyzw=_chain([motion.target_quaternions_xyzw for motion in motions]),
        target_dof=min(motion.target_dof for motion in motions),
        contact=_first_contact(motions, first_frames),
        contacts=contacts,
        segments=tuple(
            MotionSegment(
                name=segment.name,
                hand=segment.hand,
                start_frame=segment.start_frame + offset,
                end_frame=segment.end_frame + offset,
            )
            for motion, offset in zip(motions, first_frames, strict=True)
            for segment in motion.segments
        ),
        apertures_m=_chain_apertures(motions, lengths),
        body_fit=_chain_fits([motion.body_fit for motion in motions]),
        actor_kind=next(
            (motion.actor_kind for motion in motions if motion.has_actor), motions[0].actor_kind
        ),
        scale_source=_weakest_scale(motions),
        confidence={
            name: min(motion.confidence.get(name, 0.0) for motion in motions)
            for name in motions[0].confidence
        },
        reasons=_chain_reasons(motions),
    )
    return whole, first_frames


def _chain(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([arrays[0], *(array[1:] for array in arrays[1:])])


def _chain_named(
    groups: Sequence[tuple[PointTrack, ...]], lengths: Sequence[int]
) -> tuple[PointTrack, ...]:
    names = list(dict.fromkeys(track.name for group in groups for track in group))
    by_name = [{track.name: track for track in group} for group in groups]
    return tuple(_chain_tracks([part.get(name) for part in by_name], lengths) for name in names)


def _chain_tracks(tracks: Sequence[PointTrack | None], lengths: Sequence[int]) -> PointTrack:
    name = next(track.name for track in tracks if track is not None)
    whole = [
        track or _lost_track(name, length) for track, length in zip(tracks, lengths, strict=True)
    ]
    quaternions = None
    if any(track.quaternions_xyzw is not None for track in whole):
        quaternions = _chain(
            [
                np.full((length, 4), np.nan, np.float32)
                if track.quaternions_xyzw is None
                else track.quaternions_xyzw
                for track, length in zip(whole, lengths, strict=True)
            ]
        )
    return PointTrack(
        name=name,
        pixels=_chain([track.pixels for track in whole]),
        positions_camera_m=_chain([track.positions_camera_m for track in whole]),
        confidence=_chain([track.confidence for track in whole]),
        quaternions_xyzw=quaternions,
    )


def _lost_track(name: str, length: int) -> PointTrack:
    return PointTrack(
        name=name,
        pixels=np.full((length, 2), np.nan, np.float32),
        positions_camera_m=np.full((length, 3), np.nan, np.float32),
        confidence=np.zeros(length, np.float32),
    )


def _chain_apertures(
    motions: Sequence[InteractionMotion], lengths: Sequence[int]
) -> dict[str, NDArray[np.float32]]:
    hands = list(dict.fromkeys(hand for motion in motions for hand in motion.apertures_m))
    return {
        hand: _chain(
            [
                motion.apertures_m.get(hand, np.full(length, np.nan, np.float32))
                for motion, length in zip(motions, lengths, strict=True)
            ]
        )
        for hand in hands
    }


def _chain_fits(fits: Sequence[BodyFit | None]) -> BodyFit | None:
    known = [fit for fit in fits if fit is not None]
    # Shape numbers of different models do not mix, and a body with gaps is none.
    if len(known) != len(fits) or len({fit.model for fit in known}) != 1:
        return None
    return BodyFit(
        model=known[0].model,
        joint_rotations=_chain([fit.joint_rotations for fit in known]),
        betas=known[0].betas,
        pelvis_camera_m=_chain([fit.pelvis_camera_m for fit in known]),
        residual_px=_chain([fit.residual_px for fit in known]),
    )


def _as_tuple(contact: Contact) -> tuple[Contact, ...]:
    return () if contact.start_frame is None else (contact,)


def _shift_contact(contact: Contact, offset: int) -> Contact:
    if contact.start_frame is None:
        return contact
    return dataclasses.replace(
        contact,
        start_frame=contact.start_frame + offset,
        end_frame=contact.end_frame + offset,
    )


def _first_contact(motions: Sequence[InteractionMotion], first_frames: Sequence[int]) -> Contact:
    for motion, offset in zip(motions, first_frames, strict=True):
        if motion.contact.touches_target:
            return _shift_contact(motion.contact, offset)
    return motions[0].contact


def _weakest_scale(motions: Sequence[InteractionMotion]) -> str:
    return min(motions, key=lambda motion: motion.confidence.get("scale", 0.0)).scale_source


def _chain_reasons(motions: Sequence[InteractionMotion]) -> dict[str, str]:
    reasons: dict[str, list[str]] = {}
    for number, motion in enumerate(motions, start=1):
        for name, reason in motion.reasons.items():
            reasons.setdefault(name, []).append(f"step {number}: {reason}")
    return {name: "; ".join(told) for name, told in reasons.items()}
