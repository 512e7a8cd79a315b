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
from tavid_core.document import read_field
from tavid_core.errors import InputError
from tavid_core.motion_parts import motion_fields
from tavid_core.types import CameraIntrinsics, InteractionPlan, PlanRequest, PointTrack

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "parse_plan_json",
    "plan_to_json",
    "request_fields_from_json",
]

FORMAT_NAME = "tavid_plan"
FORMAT_VERSION = 2
# Format 1 had no contacts, segments, openings, orientations of hands and no fitted body.
READABLE_VERSIONS = (1, 2)
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
            **motion_fields(motion),
            "hands": [_track_to_json(track) for track in motion.hands],
            "body": [_track_to_json(track) for track in motion.body],
            "target": _track_to_json(motion.target),
            "target_quaternions_xyzw": _numbers(motion.target_quaternions_xyzw),
            "apertures_m": {
                hand: _numbers(aperture_m) for hand, aperture_m in motion.apertures_m.items()
            },
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
    if version not in READABLE_VERSIONS or isinstance(version, bool):
        raise InputError(
            f"plan.json must have format_version 1 or {FORMAT_VERSION}, got {str(version)[:40]}. "
            "Read it with the tavid version that wrote it."
        )
    return document


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
        # Plans of earlier versions do not say.
        "num_candidates": read_field(document, "request.num_candidates", int, optional=True) or 1,
        "stamp_ns": read_field(document, "request.stamp_ns", int),
        "frame_id": read_field(document, "request.frame_id", str),
        "intrinsics": None if camera is None else _camera_from_json(camera),
    }


def _camera_from_json(camera: dict[str, Any]) -> CameraIntrinsics:
    return intrinsics_from_json(json.dumps(camera))


def _request_to_json(request: PlanRequest) -> dict[str, Any]:
    camera = request.intrinsics
    return {
        "prompt": request.prompt,
        "seed": int(request.seed),
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "num_frames": request.num_frames,
        "num_candidates": request.num_candidates,
        "stamp_ns": int(request.stamp_ns),
        "frame_id": request.frame_id,
        "image_width": int(request.image.shape[1]),
        "image_height": int(request.image.shape[0]),
        "target_area_px": int(request.target_mask.sum()),
        "has_depth": request.depth_m is not None,
        "has_actor_mask": request.actor_mask is not None,
        "intrinsics": None if camera is None else intrinsics_to_json(camera),
    }


def _track_to_json(track: PointTrack) -> dict[str, Any]:
    document = {
        "name": track.name,
        "pixels": _numbers(track.pixels),
        "positions_camera_m": _numbers(track.positions_camera_m),
        "confidence": _numbers(track.confidence),
    }
    if track.quaternions_xyzw is not None:
        document["quaternions_xyzw"] = _numbers(track.quaternions_xyzw)
    return document


def _numbers(array: NDArray[np.float32]) -> list[Any]:
    """Nested lists; a lost number is null, and so is a row that holds one."""
    if array.ndim == 1:
        return [
            float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
            for value in array.tolist()
        ]
    return [_numbers(row) if np.isfinite(row).all() else None for row in array]


def _checked_provenance(provenance: Mapping[str, object]) -> dict[str, Any]:
    try:
        # Tuples become lists here, as they would on disk.
        return json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"provenance must hold JSON values only, got {error}. Turn paths and arrays into text."
        ) from error
