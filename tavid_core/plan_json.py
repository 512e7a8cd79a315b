"""plan.json: the numbers of a plan as strict JSON, and back.

`docs/plan_files.md` lists every key with its unit. Arrays that are too large or too exact for JSON
live in the npz files beside it; the tracks are here as well, for readers without numpy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_json, intrinsics_to_json
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics, Contact, InteractionPlan, PlanRequest, PointTrack

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "contact_from_json",
    "parse_plan_json",
    "plan_to_json",
    "read_field",
    "request_fields_from_json",
]

FORMAT_NAME = "tavid_plan"
FORMAT_VERSION = 1
_DIGITS = 7


def plan_to_json(plan: InteractionPlan) -> dict[str, Any]:
    """Turn a plan's numbers into JSON values.

    Args:
        plan: What to write.

    Returns:
        Nested dicts and lists without NaN or infinity; lost points are null.

    Raises:
        InputError: If the provenance holds anything but JSON values.
    """
    motion, rollout = plan.motion, plan.rollout
    return {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "planning_time_sec": float(plan.planning_time_sec),
        "request": _request_to_json(plan.request),
        "rollout": {
            "num_frames": len(rollout.frames),
            "fps": float(rollout.fps),
            "width": int(rollout.frames.shape[2]),
            "height": int(rollout.frames.shape[1]),
        },
        "motion": {
            "scale_source": motion.scale_source,
            "target_dof": int(motion.target_dof),
            "contact": _contact_to_json(motion.contact),
            "confidence": {name: float(value) for name, value in motion.confidence.items()},
            "reasons": dict(motion.reasons),
            "hands": [_track_to_json(track) for track in motion.hands],
            "body": [_track_to_json(track) for track in motion.body],
            "target": _track_to_json(motion.target),
            "target_quaternions_xyzw": _numbers(motion.target_quaternions_xyzw),
        },
        "provenance": _checked_provenance(plan.provenance),
    }


def parse_plan_json(text: str) -> dict[str, Any]:
    """Read the document and check that it is a plan of a known version.

    Args:
        text: Contents of plan.json.

    Returns:
        The document; its parts are checked where they are used.

    Raises:
        InputError: If it is no plan.
    """
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            f"plan.json must be JSON, got a document that does not parse ({error}). "
            "Make the plan again."
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT_NAME:
        raise InputError(
            f"plan.json must be an object with format '{FORMAT_NAME}', got another document. "
            "Check the path."
        )
    version = document.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise InputError(
            f"plan.json must have format_version {FORMAT_VERSION}, got {str(version)[:40]}. "
            "Read it with the tavid version that wrote it."
        )
    return document


def read_field(document: Mapping[str, Any], path: str, *kinds: type, optional: bool = False) -> Any:
    """Take one value out of the document.

    Args:
        document: As from `parse_plan_json`.
        path: Keys joined by dots.
        kinds: Types it may have; `float` admits whole numbers, and only finite ones.
        optional: Whether null will do.

    Returns:
        The value.

    Raises:
        InputError: If it is missing or of another kind.
    """
    value: Any = document
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(f"plan.json must have {path}, got none. Make the plan again.")
        value = value[key]
    if value is None and optional:
        return None
    if float in kinds and type(value) in (int, float) and abs(value) < 1e18:
        return float(value)
    if type(value) in kinds and type(value) is not float:
        return value
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise InputError(
        f"plan.json's {path} must be {wanted}, got {str(value)[:40]!r}. Make the plan again."
    )


def request_fields_from_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """Read the scalar fields of the request.

    Args:
        document: As from `parse_plan_json`.

    Returns:
        Keyword arguments of `PlanRequest`, without its arrays.

    Raises:
        InputError: If a field is missing or of another kind.
    """
    camera = read_field(document, "request.intrinsics", dict, optional=True)
    guidance = read_field(document, "request.guidance_scale", float, optional=True)
    return {
        "prompt": read_field(document, "request.prompt", str),
        "seed": read_field(document, "request.seed", int),
        "num_inference_steps": read_field(
            document, "request.num_inference_steps", int, optional=True
        ),
        "guidance_scale": guidance,
        "num_frames": read_field(document, "request.num_frames", int, optional=True),
        "stamp_ns": read_field(document, "request.stamp_ns", int),
        "frame_id": read_field(document, "request.frame_id", str),
        "intrinsics": None if camera is None else _camera_from_json(camera),
    }


def contact_from_json(
    document: Mapping[str, Any], num_frames: int, hand_names: tuple[str, ...]
) -> Contact:
    """Read the contact and check it against the motion it belongs to.

    Args:
        document: As from `parse_plan_json`.
        num_frames: Of the motion.
        hand_names: Of its hand tracks.

    Returns:
        The contact.

    Raises:
        InputError: If a field is missing, of another kind, or names what is not there.
    """
    key = "motion.contact."
    start = read_field(document, key + "start_frame", int, optional=True)
    end = read_field(document, key + "end_frame", int, optional=True)
    hand = read_field(document, key + "hand", str, optional=True)
    if (start is None) != (end is None) or (
        start is not None and not 0 <= start <= end < num_frames
    ):
        raise InputError(
            f"plan.json's {key}start_frame and end_frame must lie in 0..{num_frames - 1}, got "
            f"{start} and {end}. Make the plan again."
        )
    if hand is not None and hand not in hand_names:
        raise InputError(
            f"plan.json's {key}hand must be one of {hand_names}, got {hand[:40]!r}. "
            "Make the plan again."
        )
    point = read_field(document, key + "point_camera_m", list, optional=True)
    return Contact(
        hand=hand,
        start_frame=start,
        end_frame=end,
        point_camera_m=None if point is None else _point(point),
        touches_target=read_field(document, key + "touches_target", bool),
        confidence=read_field(document, key + "confidence", float),
    )


def _camera_from_json(camera: dict[str, Any]) -> CameraIntrinsics:
    return intrinsics_from_json(json.dumps(camera))


def _point(values: list[Any]) -> NDArray[np.float32]:
    is_point = len(values) == 3 and all(
        type(value) in (int, float) and abs(value) < 1e6 for value in values
    )
    if not is_point:
        raise InputError(
            f"plan.json's point_camera_m must be three metres, got {str(values)[:60]}. "
            "Make the plan again."
        )
    return np.array(values, dtype=np.float32)


def _request_to_json(request: PlanRequest) -> dict[str, Any]:
    camera = request.intrinsics
    return {
        "prompt": request.prompt,
        "seed": int(request.seed),
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "num_frames": request.num_frames,
        "stamp_ns": int(request.stamp_ns),
        "frame_id": request.frame_id,
        "image_width": int(request.image.shape[1]),
        "image_height": int(request.image.shape[0]),
        "target_area_px": int(request.target_mask.sum()),
        "has_depth": request.depth_m is not None,
        "has_actor_mask": request.actor_mask is not None,
        "intrinsics": None if camera is None else intrinsics_to_json(camera),
    }


def _contact_to_json(contact: Contact) -> dict[str, Any]:
    point = contact.point_camera_m
    return {
        "touches_target": bool(contact.touches_target),
        "hand": contact.hand,
        "start_frame": contact.start_frame,
        "end_frame": contact.end_frame,
        # Unrounded: it has no copy in an npz.
        "point_camera_m": None if point is None else [float(value) for value in point],
        "confidence": float(contact.confidence),
    }


def _track_to_json(track: PointTrack) -> dict[str, Any]:
    return {
        "name": track.name,
        "pixels": _numbers(track.pixels),
        "positions_camera_m": _numbers(track.positions_camera_m),
        "confidence": _numbers(track.confidence),
    }


def _numbers(array: NDArray[np.float32]) -> list[Any]:
    """Nested lists; a row with a lost number is null as a whole."""
    if array.ndim == 1:
        return [float(f"{value:.{_DIGITS}g}") for value in array.tolist()]
    return [_numbers(row) if np.isfinite(row).all() else None for row in array]


def _checked_provenance(provenance: Mapping[str, object]) -> dict[str, Any]:
    try:
        # Tuples become lists here, as they would on disk.
        return json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"provenance must hold JSON values only, got {error}. Turn paths and arrays into text."
        ) from error
