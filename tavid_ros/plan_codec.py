"""Requests and plans as the header and arrays that wire.py carries; exact both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.types import (
    CameraIntrinsics,
    Contact,
    InteractionMotion,
    InteractionPlan,
    PlanProgress,
    PlanRequest,
    PointTrack,
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
    "stamp_ns",
    "frame_id",
)
_REQUEST_ARRAYS = ("image", "target_mask", "actor_mask", "depth_m")
_TRACK_ARRAYS = ("pixels", "positions_camera_m", "confidence")


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
    motion = plan.motion
    arrays: Arrays = {
        "frames": plan.rollout.frames,
        "target_quaternions_xyzw": motion.target_quaternions_xyzw,
    }
    if plan.rollout.attention_map is not None:
        arrays["attention_map"] = plan.rollout.attention_map
    if motion.contact.point_camera_m is not None:
        arrays["contact_point"] = motion.contact.point_camera_m
    groups = {"hands": motion.hands, "body": motion.body, "target": (motion.target,)}
    names = {group: [track.name for track in tracks] for group, tracks in groups.items()}
    for group, tracks in groups.items():
        for index, track in enumerate(tracks):
            for field in _TRACK_ARRAYS:
                arrays[f"{group}/{index}/{field}"] = getattr(track, field)
    contact = dataclasses.asdict(motion.contact)
    del contact["point_camera_m"]
    return {
        "fps": plan.rollout.fps,
        "tracks": names,
        "target_dof": motion.target_dof,
        "contact": contact,
        "scale_source": motion.scale_source,
        "confidence": dict(motion.confidence),
        "reasons": dict(motion.reasons),
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
        InputError: If shapes contradict each other.
    """
    tracks = {
        group: tuple(
            PointTrack(
                name=name,
                **{field: arrays[f"{group}/{index}/{field}"] for field in _TRACK_ARRAYS},
            )
            for index, name in enumerate(names)
        )
        for group, names in header["tracks"].items()
    }
    contact = Contact(point_camera_m=arrays.get("contact_point"), **header["contact"])
    motion = InteractionMotion(
        hands=tracks["hands"],
        body=tracks["body"],
        target=tracks["target"][0],
        target_quaternions_xyzw=arrays["target_quaternions_xyzw"],
        target_dof=header["target_dof"],
        contact=contact,
        scale_source=header["scale_source"],
        confidence=header["confidence"],
        reasons=header["reasons"],
    )
    rollout = Rollout(
        frames=arrays["frames"],
        fps=header["fps"],
        attention_map=arrays.get("attention_map"),
    )
    return InteractionPlan(
        request=request,
        rollout=rollout,
        motion=motion,
        provenance=header["provenance"],
        planning_time_sec=header["planning_time_sec"],
    )
