"""Errors of a lifted motion against the truth of a drawn clip, and their summary over clips."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.lifting_clips import LiftingClip
from tavid_core.types import InteractionMotion
from training.sources.sim.motion import JOINT_NAMES

__all__ = [
    "OBJECT_FAILURE_M",
    "WRIST_FAILURE_M",
    "Truth",
    "chance_share_of_worst",
    "failure_share_of_worst",
    "is_failure",
    "mean_jitter",
    "mean_known",
    "measure",
    "place_errors",
    "summarize",
    "trust_in",
    "truth_of",
]

FPS = 8.0
# Half sides of the boxes around the objects, metres.
HALF_EXTENTS_M = {
    "box": (0.055, 0.055, 0.055),
    "can": (0.048, 0.048, 0.065),
    "ball": (0.062, 0.062, 0.062),
    "mug": (0.070, 0.052, 0.058),
    "bottle": (0.042, 0.042, 0.085),
}
# Without a print nobody can see these turn about their axis: points off the axis say nothing.
REVOLVED_KINDS = ("can", "ball", "bottle")
WRIST_FAILURE_M, OBJECT_FAILURE_M, CONTACT_FAILURE_FRAMES = 0.10, 0.05, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """What really happened, optical frame.

    Args:
        joints_m: float64 (T, 7, 3) in the order of the simulated joints, metres.
        target_m: Centre, float64 (T, 3), metres.
        target_rotations: From frame 0 to each frame, camera axes, float64 (T, 3, 3).
        target_points_m: Points of the target in its frame-0 frame, float64 (N, 3), metres.
        diameter_m: Of the target.
        contact_frame: First frame in which the hand holds the target.
        hand: The hand that holds it.
    """

    joints_m: NDArray[np.float64]
    target_m: NDArray[np.float64]
    target_rotations: NDArray[np.float64]
    target_points_m: NDArray[np.float64]
    diameter_m: float
    contact_frame: int
    hand: str


def truth_of(clip: LiftingClip, *, is_textured: bool) -> Truth:
    """Bring a clip's truth into the camera's frame.

    Args:
        clip: The clip.
        is_textured: Whether a turn of a round object can be seen.

    Returns:
        The truth.
    """
    rotation, shift = clip.camera_from_world[:3, :3], clip.camera_from_world[:3, 3]
    index, scene = clip.scene.target_index, clip.scene
    yaw = clip.motion.objects_yaw_rad[:, index]
    kind = scene.objects[index].kind
    half = np.array(HALF_EXTENTS_M[kind])
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    if kind in REVOLVED_KINDS and not is_textured:
        signs = np.array([[0, 0, -1], [0, 0, 0], [0, 0, 1]])
    first = rotation @ _about_z(yaw[0])
    return Truth(
        joints_m=clip.motion.joints_world_m @ rotation.T + shift,
        target_m=clip.motion.objects_world_m[:, index] @ rotation.T + shift,
        target_rotations=np.stack(
            [rotation @ _about_z(angle - yaw[0]) @ rotation.T for angle in yaw]
        ),
        target_points_m=(signs * half) @ first.T,
        diameter_m=float(2 * np.linalg.norm(half)),
        contact_frame=scene.contact_frame,
        hand=clip.motion.hand,
    )


def _about_z(angle_rad: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


def measure(motion: InteractionMotion, truth: Truth) -> dict[str, float]:
    """Measure one lifted motion.

    Args:
        motion: Lifted from the clip.
        truth: Of the clip.

    Returns:
        Errors by name; NaN where there is nothing to compare.
    """
    found = _joints_of(motion, truth)
    row = {
        **place_errors(motion, truth),
        "jitter": mean_jitter(found[:, JOINT_NAMES.index(truth.hand)]),
        "truth_jitter": mean_jitter(truth.joints_m[:, JOINT_NAMES.index(truth.hand)]),
        "touches_target": float(motion.contact.touches_target),
        "right_hand_found": float(motion.contact.hand == truth.hand),
        "is_six_dof": float(motion.target_dof == 6),
        **_measure_target(motion, truth),
        **_measure_contact(motion, truth),
    }
    row["confidence"] = trust_in(motion)
    return row | {f"confidence_{name}": float(v) for name, v in motion.confidence.items()}


def trust_in(motion: InteractionMotion) -> float:
    """Say how sure a motion is as a whole.

    Args:
        motion: Lifted.

    Returns:
        Product of all channels but rotation, which is 0 wherever it was not measured.
    """
    return float(np.prod([v for name, v in motion.confidence.items() if name != "rotation"]))


def place_errors(
    motion: InteractionMotion, truth: Truth, frames: slice = slice(None)
) -> dict[str, float]:
    """Measure where the joints are.

    Args:
        motion: Lifted from the clip, or from its first frame.
        truth: Of the clip.
        frames: Those that count.

    Returns:
        Errors by name; NaN where nothing was found.
    """
    found, true = _joints_of(motion, truth)[frames], truth.joints_m[frames]
    away = np.linalg.norm(found - true, axis=-1)
    wrist = away[:, JOINT_NAMES.index(truth.hand)]
    return {
        "wrist_error_m": mean_known(wrist),
        "wrist_lost_share": float(np.isnan(wrist).mean()),
        "mpjpe_m": mean_known(np.linalg.norm(_rooted(found) - _rooted(true), axis=-1)),
        "w_mpjpe_m": mean_known(away),
    }


def _joints_of(motion: InteractionMotion, truth: Truth) -> NDArray[np.float64]:
    """The lifted joints in the order of the simulated ones; NaN where there are none."""
    tracks = {track.name: track.positions_camera_m for track in (*motion.hands, *motion.body)}
    found = np.full((motion.num_frames, *truth.joints_m.shape[1:]), np.nan)
    for joint, name in enumerate(JOINT_NAMES):
        if name in tracks:
            found[:, joint] = tracks[name]
    return found


def _measure_target(motion: InteractionMotion, truth: Truth) -> dict[str, float]:
    place = motion.target.positions_camera_m.astype(np.float64)
    rotations = np.stack([_matrix(q) for q in motion.target_quaternions_xyzw])
    found = truth.target_points_m @ rotations.transpose(0, 2, 1) + place[:, None]
    true = (
        truth.target_points_m @ truth.target_rotations.transpose(0, 2, 1) + truth.target_m[:, None]
    )
    added = np.linalg.norm(found - true, axis=-1).mean(axis=1)
    between = rotations @ truth.target_rotations.transpose(0, 2, 1)
    angle = np.arccos(np.clip((np.trace(between, axis1=1, axis2=2) - 1) / 2, -1, 1))
    is_six = motion.target_dof == 6
    return {
        "object_error_m": mean_known(np.linalg.norm(place - truth.target_m, axis=-1)),
        "object_end_error_m": float(np.linalg.norm(place[-1] - truth.target_m[-1])),
        "object_rotation_error_deg": float(np.degrees(angle).mean()) if is_six else math.nan,
        "add_below_10_percent": float((added < 0.1 * truth.diameter_m).mean()),
    }


def _measure_contact(motion: InteractionMotion, truth: Truth) -> dict[str, float]:
    frames = np.arange(motion.num_frames)
    said = np.zeros(len(frames), dtype=bool)
    contact, error = motion.contact, math.inf
    if contact.touches_target and contact.start_frame is not None:
        said = (frames >= contact.start_frame) & (frames <= contact.end_frame)
        error = float(abs(contact.start_frame - truth.contact_frame))
    is_true = frames >= truth.contact_frame
    return {
        "contact_frame_error": error,
        "num_true_positives": float((said & is_true).sum()),
        "num_false_positives": float((said & ~is_true).sum()),
        "num_false_negatives": float((~said & is_true).sum()),
    }


def is_failure(row: Mapping[str, float]) -> bool:
    """Say whether a motion would mislead a robot.

    Args:
        row: Of `measure`.

    Returns:
        True if the hand is lost or 10 cm off, the object 5 cm, or the contact 3 frames.
    """
    return not (
        row["wrist_error_m"] <= WRIST_FAILURE_M
        and row["object_error_m"] <= OBJECT_FAILURE_M
        and row["contact_frame_error"] <= CONTACT_FAILURE_FRAMES
    )


def failure_share_of_worst(confidence: Sequence[float], is_failed: Sequence[bool]) -> float | None:
    """Say how many of the failures lie in the tenth with the lowest confidence.

    Args:
        confidence: One per clip.
        is_failed: One per clip.

    Returns:
        0..1, or None where nothing failed. With more failures than the tenth has room for, their
        share of that room.
    """
    failed = np.asarray(is_failed, dtype=bool)
    if not failed.any():
        return None
    num_worst = _num_worst(failed)
    order = np.argsort(np.asarray(confidence), kind="stable")
    return float(failed[order[:num_worst]].sum() / min(int(failed.sum()), num_worst))


def chance_share_of_worst(is_failed: Sequence[bool]) -> float | None:
    """Say what `failure_share_of_worst` is on average where confidence means nothing.

    Args:
        is_failed: One per clip.

    Returns:
        0..1, or None where nothing failed. With 77 failures of 100 it is 0.77: a share that is not
        above it says that the confidence told nothing.
    """
    failed = np.asarray(is_failed, dtype=bool)
    if not failed.any():
        return None
    num_worst = _num_worst(failed)
    return round(float(num_worst * failed.mean() / min(int(failed.sum()), num_worst)), 4)


def _num_worst(failed: NDArray[np.bool_]) -> int:
    return max(1, round(len(failed) / 10))


def summarize(
    rows: Sequence[Mapping[str, float]], decoys: Sequence[Mapping[str, float]]
) -> dict[str, float | int | None]:
    """Summarise one setting.

    Args:
        rows: Of clips whose target was marked.
        decoys: Of the same clips with a look-alike marked that nobody touches.

    Returns:
        The benchmark's keys; None where nothing was there to measure.
    """
    means = {
        key: mean_known([row[key] for row in rows])
        for key in (
            "wrist_error_m",
            "wrist_lost_share",
            "mpjpe_m",
            "w_mpjpe_m",
            "object_error_m",
            "object_end_error_m",
            "object_rotation_error_deg",
            "is_six_dof",
            "add_below_10_percent",
            "jitter",
            "truth_jitter",
        )
    }
    errors = np.array([row["contact_frame_error"] for row in rows])
    hits, false_hits, misses = (
        sum(row[f"num_{name}"] for row in rows)
        for name in ("true_positives", "false_positives", "false_negatives")
    )
    # On an untouched look-alike every frame of contact is false.
    false_hits += sum(row["num_true_positives"] + row["num_false_positives"] for row in decoys)
    wrong = float(np.mean([row["touches_target"] for row in decoys])) if decoys else math.nan
    right = [row["touches_target"] * row["right_hand_found"] for row in rows]
    failed = [is_failure(row) for row in rows]
    found = {
        **means,
        "contact_frame_error_median": float(np.median(errors)),
        "contact_within_one_frame": float((errors <= 1).mean()),
        "contact_precision": _ratio(hits, hits + false_hits),
        "contact_recall": _ratio(hits, hits + misses),
        "contact_f1": _ratio(2 * hits, 2 * hits + false_hits + misses),
        "instance_accuracy": mean_known([*right, *(1 - row["touches_target"] for row in decoys)]),
        "wrong_instance_rate": wrong,
    }
    summary: dict[str, float | int | None] = {
        key: round(value, 4) if math.isfinite(value) else None for key, value in found.items()
    }
    share = failure_share_of_worst([row["confidence"] for row in rows], failed)
    summary["worst_confidence_decile_failure_share"] = share
    summary["worst_confidence_decile_chance_share"] = chance_share_of_worst(failed)
    return summary | {"num_failures": int(np.sum(failed)), "num_clips": len(rows)}


def _rooted(joints_m: NDArray[np.float64]) -> NDArray[np.float64]:
    left, right = (JOINT_NAMES.index(f"{side}_shoulder") for side in ("left", "right"))
    return joints_m - (joints_m[:, left] + joints_m[:, right])[:, None] / 2


def mean_jitter(path_m: NDArray[np.float64]) -> float:
    """Measure how jerky a path is.

    Args:
        path_m: float (T, 3), metres; NaN where unknown.

    Returns:
        Mean third difference in the unit of the motion literature, 10 m/s^3; NaN where no four
        frames in a row are known.
    """
    return mean_known(np.linalg.norm(np.diff(path_m, n=3, axis=0), axis=-1) * FPS**3 / 10)


def _matrix(quaternion_xyzw: NDArray[np.float32]) -> NDArray[np.float64]:
    x, y, z, w = np.asarray(quaternion_xyzw, dtype=np.float64) / np.linalg.norm(quaternion_xyzw)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def mean_known(values: NDArray[np.float64] | Sequence[float]) -> float:
    """Average what is known.

    Args:
        values: Some of them NaN.

    Returns:
        The mean of the others, or NaN without any.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else math.nan


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
