"""Requests and plans as the header and arrays that wire.py carries; exact both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.motion_parts import join_motion, motion_arrays, motion_fields
from tavid_core.types import (
    CameraIntrinsics,
    InteractionPlan,
    PlanProgress,
    PlanRequest,
    Rollout,
)

__all__ = [
    "pack_plan",
    "pack_progress",
    "pack_request",
    "unpack_plan",
    "unpack_progress",
    "unpack_request",
]

Arrays = dict[str, NDArray[np.generic]]
Packed = tuple[dict[str, object], Arrays]

_REQUEST_SCALARS = (
    "prompt",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "num_frames",
    "num_candidates",
    "stamp_ns",
    "frame_id",
)
_REQUEST_ARRAYS = ("image", "target_mask", "actor_mask", "depth_m")


def pack_request(request: PlanRequest) -> Packed:
    """Take a request apart.

    Args:
        request: The question.

    Returns:
        JSON values and arrays.
    """
    header: dict[str, object] = {name: getattr(request, name) for name in _REQUEST_SCALARS}
    intrinsics = request.intrinsics
    header["intrinsics"] = None if intrinsics is None else dataclasses.asdict(intrinsics)
    arrays = {name: getattr(request, name) for name in _REQUEST_ARRAYS}
    if request.extra_masks:
        arrays["extra_masks"] = np.stack(request.extra_masks)
    return header, {name: values for name, values in arrays.items() if values is not None}


def unpack_request(header: Mapping[str, object], arrays: Arrays) -> PlanRequest:
    """Put a request together; its own checks run again.

    Args:
        header: Of `pack_request`.
        arrays: Of `pack_request`.

    Returns:
        The question.

    Raises:
        InputError: If it is unusable.
    """
    intrinsics = header["intrinsics"]
    return PlanRequest(
        intrinsics=None if intrinsics is None else CameraIntrinsics(**intrinsics),
        **{name: header[name] for name in _REQUEST_SCALARS},
        **{name: arrays.get(name) for name in _REQUEST_ARRAYS},
        extra_masks=tuple(arrays.get("extra_masks", ())),
    )


def pack_progress(progress: PlanProgress) -> dict[str, object]:
    """Take progress apart.

    Args:
        progress: Where the plan is.

    Returns:
        JSON values.
    """
    return dataclasses.asdict(progress)


def unpack_progress(header: Mapping[str, object]) -> PlanProgress:
    """Put progress together.

    Args:
        header: Of `pack_progress`; other keys are ignored.

    Returns:
        Where the plan is.
    """
    names = [field.name for field in dataclasses.fields(PlanProgress)]
    return PlanProgress(**{name: header[name] for name in names})


def pack_plan(plan: InteractionPlan) -> Packed:
    """Take a plan apart, without its request: the node has that.

    Args:
        plan: The answer.

    Returns:
        JSON values and arrays.
    """
    rollout = plan.rollout
    arrays: Arrays = {"frames": rollout.frames, **motion_arrays(plan.motion)}
    if rollout.attention_map is not None:
        arrays["attention_map"] = rollout.attention_map
    return {
        "fps": rollout.fps,
        "motion": motion_fields(plan.motion),
        "provenance": dict(plan.provenance),
        "planning_time_sec": plan.planning_time_sec,
    }, arrays


def unpack_plan(
    header: Mapping[str, object], arrays: Arrays, request: PlanRequest
) -> InteractionPlan:
    """Put a plan together.

    Args:
        header: Of `pack_plan`.
        arrays: Of `pack_plan`.
        request: The question that it answers.

    Returns:
        The answer.

    Raises:
        InputError: If its parts do not fit.
    """
    rollout = Rollout(
        frames=arrays["frames"],
        fps=header["fps"],
        attention_map=arrays.get("attention_map"),
    )
    return InteractionPlan(
        request=request,
        rollout=rollout,
        motion=join_motion(header["motion"], arrays, len(rollout.frames)),
        provenance=header["provenance"],
        planning_time_sec=header["planning_time_sec"],
    )
