"""A motion as JSON values and named arrays, exact both ways: for files and for the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.document import read_array, read_field, read_optional_array, read_point
from tavid_core.errors import InputError
from tavid_core.motion import (
    ACTOR_KINDS,
    BodyFit,
    Contact,
    InteractionMotion,
    MotionSegment,
    PointTrack,
)

__all__ = ["join_motion", "motion_arrays", "motion_fields"]

Arrays = dict[str, NDArray[Any]]

_TRACK_ARRAYS = ("pixels", "positions_camera_m", "confidence")
_FIT_ARRAYS = ("joint_rotations", "betas", "pelvis_camera_m", "residual_px")


def motion_fields(motion: InteractionMotion) -> dict[str, Any]:
    """Give what is not an array.

    Args:
        motion: What to take apart.

    Returns:
        JSON values; tracks by their names only.
    """
    fit = motion.body_fit
    return {
        "actor_kind": motion.actor_kind,
        "scale_source": motion.scale_source,
        "target_dof": int(motion.target_dof),
        "contact": _contact_fields(motion.contact),
        "contacts": [_contact_fields(contact) for contact in motion.contacts],
        "segments": [
            {
                "name": segment.name,
                "hand": segment.hand,
                "start_frame": int(segment.start_frame),
                "end_frame": int(segment.end_frame),
            }
            for segment in motion.segments
        ],
        "body_model": None if fit is None else fit.model,
        "confidence": {name: float(value) for name, value in motion.confidence.items()},
        "reasons": dict(motion.reasons),
        "hands": [{"name": track.name} for track in motion.hands],
        "body": [{"name": track.name} for track in motion.body],
    }


def motion_arrays(motion: InteractionMotion) -> Arrays:
    """Give the arrays, under the names of motion.npz.

    Args:
        motion: What to take apart.

    Returns:
        Arrays as they are.
    """
    arrays: Arrays = {"target_quaternions_xyzw": motion.target_quaternions_xyzw}
    for track in (*motion.hands, *motion.body, motion.target):
        for part in _TRACK_ARRAYS:
            arrays[f"{track.name}.{part}"] = getattr(track, part)
        if track.quaternions_xyzw is not None:
            arrays[f"{track.name}.quaternions_xyzw"] = track.quaternions_xyzw
    for hand, aperture_m in motion.apertures_m.items():
        arrays[f"{hand}.aperture_m"] = aperture_m
    if motion.body_fit is not None:
        for part in _FIT_ARRAYS:
            arrays[f"body_fit.{part}"] = getattr(motion.body_fit, part)
    return arrays


def join_motion(
    fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], num_frames: int
) -> InteractionMotion:
    """Put a motion together and check that its parts fit.

    Args:
        fields: As from `motion_fields`; `contacts`, `segments`, `body_model` and `actor_kind` may
            be missing, as in plans of format 1.
        arrays: As from `motion_arrays`; others are ignored.
        num_frames: Of the rollout.

    Returns:
        The motion.

    Raises:
        InputError: If a part is missing, of another kind, or names what is not there.
    """
    fields = {"actor_kind": "person", "contacts": [], "segments": [], "body_model": None, **fields}
    hands = _join_tracks(fields, "hands", arrays, num_frames)
    hand_names = tuple(track.name for track in hands)
    quaternions = read_array(arrays, "target_quaternions_xyzw", np.float32)
    _check_rows("target_quaternions_xyzw", quaternions, (num_frames, 4))
    channels = read_field(fields, "confidence", dict)
    reasons = read_field(fields, "reasons", dict)
    actor_kind = read_field(fields, "actor_kind", str)
    if actor_kind not in ACTOR_KINDS:
        raise InputError(
            f"plan.json's actor_kind must be one of {', '.join(ACTOR_KINDS)}, got "
            f"{actor_kind[:40]!r}. Make the plan again."
        )
    return InteractionMotion(
        hands=hands,
        body=_join_tracks(fields, "body", arrays, num_frames),
        target=_join_track(arrays, "target", num_frames),
        target_quaternions_xyzw=quaternions,
        target_dof=read_field(fields, "target_dof", int),
        contact=_join_contact(read_field(fields, "contact", dict), num_frames, hand_names),
        contacts=tuple(
            _join_contact(item, num_frames, hand_names) for item in _objects(fields, "contacts")
        ),
        segments=tuple(
            _join_segment(item, num_frames, hand_names) for item in _objects(fields, "segments")
        ),
        apertures_m=_join_apertures(arrays, hand_names, num_frames),
        body_fit=_join_body_fit(fields, arrays, num_frames),
        actor_kind=actor_kind,
        scale_source=read_field(fields, "scale_source", str),
        confidence={
            name: read_field(channels, name, float) for name in channels if "." not in name
        },
        reasons={name: read_field(reasons, name, str) for name in reasons if "." not in name},
    )


def _contact_fields(contact: Contact) -> dict[str, Any]:
    camera, target = contact.point_camera_m, contact.point_target_m
    return {
        "touches_target": bool(contact.touches_target),
        "touches_other": bool(contact.touches_other),
        "hand": contact.hand,
        "start_frame": None if contact.start_frame is None else int(contact.start_frame),
        "end_frame": None if contact.end_frame is None else int(contact.end_frame),
        # Unrounded: they have no copy in an npz.
        "point_camera_m": None if camera is None else [float(value) for value in camera],
        "point_target_m": None if target is None else [float(value) for value in target],
        "confidence": float(contact.confidence),
    }


def _join_contact(
    fields: Mapping[str, Any], num_frames: int, hand_names: tuple[str, ...]
) -> Contact:
    fields = {"touches_other": False, "point_target_m": None, **fields}
    start = read_field(fields, "start_frame", int, optional=True)
    end = read_field(fields, "end_frame", int, optional=True)
    hand = read_field(fields, "hand", str, optional=True)
    if (start is None) != (end is None):
        _refuse_frames("contact", num_frames, start, end)
    if start is not None:
        _check_frames("contact", num_frames, start, end)
    if hand is not None:
        _check_hand("contact", hand, hand_names)
    return Contact(
        hand=hand,
        start_frame=start,
        end_frame=end,
        point_camera_m=read_point(fields, "point_camera_m"),
        point_target_m=read_point(fields, "point_target_m"),
        touches_target=read_field(fields, "touches_target", bool),
        touches_other=read_field(fields, "touches_other", bool),
        confidence=read_field(fields, "confidence", float),
    )


def _join_segment(
    fields: Mapping[str, Any], num_frames: int, hand_names: tuple[str, ...]
) -> MotionSegment:
    segment = MotionSegment(
        name=read_field(fields, "name", str),
        hand=read_field(fields, "hand", str),
        start_frame=read_field(fields, "start_frame", int),
        end_frame=read_field(fields, "end_frame", int),
    )
    _check_frames("segment", num_frames, segment.start_frame, segment.end_frame)
    _check_hand("segment", segment.hand, hand_names)
    return segment


def _join_apertures(
    arrays: Mapping[str, NDArray[Any]], hand_names: tuple[str, ...], num_frames: int
) -> dict[str, NDArray[np.float32]]:
    apertures_m = {}
    for hand in hand_names:
        name = f"{hand}.aperture_m"
        if (aperture_m := read_optional_array(arrays, name, np.float32)) is not None:
            _check_rows(name, aperture_m, (num_frames,))
            apertures_m[hand] = aperture_m
    return apertures_m


def _join_body_fit(
    fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], num_frames: int
) -> BodyFit | None:
    model = read_field(fields, "body_model", str, optional=True)
    if model is None:
        return None
    parts = {part: read_array(arrays, f"body_fit.{part}", np.float32) for part in _FIT_ARRAYS}
    _check_rows("body_fit.residual_px", parts["residual_px"], (num_frames,))
    return BodyFit(model=model, **parts)


def _join_tracks(
    fields: Mapping[str, Any], key: str, arrays: Mapping[str, NDArray[Any]], num_frames: int
) -> tuple[PointTrack, ...]:
    return tuple(
        _join_track(arrays, read_field(item, "name", str), num_frames)
        for item in _objects(fields, key)
    )


def _join_track(arrays: Mapping[str, NDArray[Any]], name: str, num_frames: int) -> PointTrack:
    parts = {part: read_array(arrays, f"{name}.{part}", np.float32) for part in _TRACK_ARRAYS}
    _check_rows(f"{name}.confidence", parts["confidence"], (num_frames,))
    quaternions = read_optional_array(arrays, f"{name}.quaternions_xyzw", np.float32)
    return PointTrack(name=name, quaternions_xyzw=quaternions, **parts)


def _objects(fields: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = read_field(fields, key, list)
    if not all(isinstance(item, Mapping) for item in items):
        raise InputError(
            f"plan.json's {key} must be a list of objects, got {str(items)[:60]}. "
            "Make the plan again."
        )
    return items


def _check_rows(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(
            f"array {name} must have shape {shape}, got {array.shape}. Make the plan again."
        )


def _check_frames(what: str, num_frames: int, start: int, end: int | None) -> None:
    if end is None or not 0 <= start <= end < num_frames:
        _refuse_frames(what, num_frames, start, end)


def _refuse_frames(what: str, num_frames: int, start: int | None, end: int | None) -> None:
    raise InputError(
        f"plan.json's {what} start_frame and end_frame must lie in 0..{num_frames - 1}, got "
        f"{start} and {end}. Make the plan again."
    )


def _check_hand(what: str, hand: str, hand_names: tuple[str, ...]) -> None:
    if hand not in hand_names:
        raise InputError(
            f"plan.json's {what} hand must be one of {hand_names}, got {hand[:40]!r}. "
            "Make the plan again."
        )
