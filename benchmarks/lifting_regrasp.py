"""Targets that are taken, put down and taken again: a drawn clip played there, back and there."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.lifting_clips import ClipSet, LiftingClip, load_clip
from benchmarks.lifting_metrics import Truth, mean_known, place_errors, truth_of
from benchmarks.lifting_rows import RowStore
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.lifting.lift import lift
from tavid_core.motion import Contact
from tavid_core.types import PlanRequest, Rollout

__all__ = ["measure_regrasps", "play_again", "summarize_regrasps"]

FPS = 8.0


def play_again(truth: Truth) -> tuple[NDArray[np.int64], Truth, tuple[tuple[int, int], ...]]:
    """Say which frames to show, and what happens in them.

    Args:
        truth: Of a clip in which the target is taken once.

    Returns:
        Indices of frames, there and back and there; the truth in them; first and last frames of
        the two contacts.
    """
    last = len(truth.joints_m) - 1
    order = np.concatenate(
        [np.arange(last + 1), np.arange(last - 1, -1, -1), np.arange(1, last + 1)]
    )
    again = dataclasses.replace(
        truth,
        joints_m=truth.joints_m[order],
        target_m=truth.target_m[order],
        target_rotations=truth.target_rotations[order],
    )
    start = truth.contact_frame
    return order, again, ((start, 2 * last - start), (2 * last + start, 3 * last))


def measure_regrasps(
    cache: Path,
    store: RowStore,
    kind: ClipSet,
    indices: Sequence[int],
    make_request: Callable[[LiftingClip, str, int], PlanRequest],
) -> dict[str, float | int | None]:
    """Lift videos with two contacts, with depth and predicted keypoints.

    Args:
        cache: Where the clips are kept.
        store: Where the rows are kept.
        kind: Which set.
        indices: Of the scenes.
        make_request: Gives the request of a clip, some inputs and an object.

    Returns:
        How often both contacts are found, and when; errors of hand and target.
    """
    rows = []
    for index in tqdm(indices, unit="clip", desc="taken twice"):
        key = f"regrasp_{kind.name}_{index:06d}"
        found = store.read(key)
        if found is None:
            clip = load_clip(cache, kind, index)
            row = _measure(clip, make_request(clip, "depth", clip.scene.target_index))
            found = [("regrasps/depth/predicted", False, row)]
            store.write(key, found)
        rows.append(found[0][2])
    return summarize_regrasps(rows)


def _measure(clip: LiftingClip, request: PlanRequest) -> dict[str, float]:
    order, truth, (first, second) = play_again(truth_of(clip, is_textured=False))
    frames = np.ascontiguousarray(clip.frames[order])
    size_hw = frames.shape[1:3]
    keypoints = HeatmapDetector.from_pretrained()(frames)
    motion = lift(
        Rollout(frames=frames, fps=FPS), request, keypoints, fit=FrameFit(size_hw, size_hw)
    )
    touching = [c for c in motion.contacts if c.touches_target and c.start_frame is not None]
    away_m = np.linalg.norm(motion.target.positions_camera_m - truth.target_m, axis=-1)
    return {
        **place_errors(motion, truth),
        "object_error_m": mean_known(away_m),
        "num_contacts": float(len(touching)),
        "first_start_error": _error(touching, 0, first[0], "start_frame"),
        "first_end_error": _error(touching, 0, first[1], "end_frame"),
        "second_start_error": _error(touching, 1, second[0], "start_frame"),
    }


def _error(touching: Sequence[Contact], index: int, frame: int, key: str) -> float:
    return abs(getattr(touching[index], key) - frame) if index < len(touching) else float("inf")


def summarize_regrasps(rows: Sequence[Mapping[str, float]]) -> dict[str, float | int | None]:
    """Summarise.

    Args:
        rows: One per video.

    Returns:
        Shares 0..1, metres, frames.
    """
    return {
        "wrist_error_m": round(mean_known([row["wrist_error_m"] for row in rows]), 4),
        "object_error_m": round(mean_known([row["object_error_m"] for row in rows]), 4),
        "two_contacts": statistics.fmean(row["num_contacts"] == 2 for row in rows),
        **{
            f"{key}_within_{limit}": statistics.fmean(row[f"{key}_error"] <= limit for row in rows)
            for key, limit in (("first_start", 1), ("first_end", 2), ("second_start", 1))
        },
        "num_clips": len(rows),
    }
