"""What the lifting says about the planner's own videos, where nobody knows the true motion.

Two things are known all the same. Frame 0 is the given picture, so hands, body and target are known
there in metres: the errors are those of frame 0. And the scene is known, with the object that was
marked: a second opinion comes from the referee that compares all objects, of which the lifting sees
one. When an imagined hand touches nobody can say; nor how an object of nine pixels turns.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.lifting_clips import ClipSet, LiftingClip, load_clip
from benchmarks.lifting_metrics import (
    OBJECT_FAILURE_M,
    WRIST_FAILURE_M,
    Truth,
    chance_share_of_worst,
    failure_share_of_worst,
    mean_jitter,
    mean_known,
    place_errors,
    trust_in,
    truth_of,
)
from benchmarks.lifting_rows import ClipRow, RowStore
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.lifting.lift import lift
from tavid_core.lifting.target_sight import watch_target
from tavid_core.motion import InteractionMotion
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from training.referee import judge

__all__ = ["measure_rollouts", "summarize_rollouts", "verdict_of"]

MakeRequest = Callable[[LiftingClip, str, int], PlanRequest]
VERDICTS = ("target_contact", "wrong_target", "no_contact")
# Known of no imagined video; there so that all settings have the same keys.
UNKNOWN_KEYS = (
    "object_rotation_error_deg",
    "contact_frame_error_median",
    "contact_within_one_frame",
)


def verdict_of(motion: InteractionMotion) -> str:
    """Say in the referee's words what a motion says.

    Args:
        motion: Lifted.

    Returns:
        One of `VERDICTS`.
    """
    if motion.contact.touches_target:
        return "target_contact"
    return "wrong_target" if motion.contact.touches_other else "no_contact"


def measure_rollouts(
    cache: Path,
    store: RowStore,
    kind: ClipSet,
    indices: Sequence[int],
    inputs: Sequence[str],
    make_request: MakeRequest,
) -> dict[str, dict[str, float | int | None]]:
    """Plan from the first frames of clips and look at what was lifted.

    Args:
        cache: Where the clips are kept.
        store: Where the rows are kept.
        kind: Which set; its pictures are what the planner sees.
        indices: Of the scenes.
        inputs: "depth" first, then the others.
        make_request: Gives the request of a clip, some inputs and an object.

    Returns:
        Per "rollouts/inputs/predicted" the benchmark's keys.
    """
    planner: InteractionPlanner | None = None
    rows: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    for index in tqdm(indices, unit="plan", desc="planner's own videos"):
        key = f"rollout_{kind.name}_{index:06d}"
        found = store.read(key)
        if found is None:
            planner = planner or InteractionPlanner.from_pretrained()
            found = _lift_rollout(planner, load_clip(cache, kind, index), inputs, make_request)
            store.write(key, found)
        for setting, _, row in found:
            rows[setting].append(row)
    return {setting: summarize_rollouts(some) for setting, some in rows.items()}


def _lift_rollout(
    planner: InteractionPlanner,
    clip: LiftingClip,
    inputs: Sequence[str],
    make_request: MakeRequest,
) -> list[ClipRow]:
    """Plan once, and lift the same video with all inputs."""
    detector, target = HeatmapDetector.from_pretrained(), clip.scene.target_index
    requests = {name: make_request(clip, name, target) for name in inputs}
    rollout = planner.plan(requests[inputs[0]]).rollout
    fit = planner.sampler.frame_fit(requests[inputs[0]])
    masks = [fit.fit_mask(mask, may_be_cut=True) for mask in clip.instance_masks]
    judged = judge(rollout.frames, masks, target, detector)
    truth = truth_of(clip, is_textured=False)
    begin = time.perf_counter()
    keypoints, sight = detector(rollout.frames), watch_target(rollout.frames, masks[target])
    seen_sec = time.perf_counter() - begin
    found, best = [], None
    for name, request in requests.items():
        begin = time.perf_counter()
        motion = lift(rollout, request, keypoints, fit=fit, sight=sight)
        best = best or motion
        row = {
            **_first_frame_errors(motion, truth),
            **_changes(motion, best, truth.hand),
            "jitter": _jitter_of(motion, truth.hand),
            "seconds_per_frame": (time.perf_counter() - begin + seen_sec) / len(rollout.frames),
            "said": float(VERDICTS.index(verdict_of(motion))),
            "judged": float(VERDICTS.index(judged)),
            "contact_frame": _start_of(motion),
            "confidence": trust_in(motion),
            "confidence_contact": float(motion.confidence["contact"]),
        }
        found.append((f"rollouts/{name}/predicted", False, row))
    return found


def _first_frame_errors(motion: InteractionMotion, truth: Truth) -> dict[str, float]:
    errors = place_errors(motion, truth, frames=slice(0, 1))
    target_m = motion.target.positions_camera_m[0] - truth.target_m[0]
    return errors | {"object_error_m": float(np.linalg.norm(target_m))}


def _changes(motion: InteractionMotion, best: InteractionMotion, hand: str) -> dict[str, float]:
    """How far hand and target are from where they are with the best inputs, over all frames."""
    tracks = [
        {track.name: track.positions_camera_m for track in (*one.hands, one.target)}
        for one in (motion, best)
    ]
    return {
        f"{key}_change_m": mean_known(np.linalg.norm(tracks[0][name] - tracks[1][name], axis=-1))
        if all(name in one for one in tracks)
        else math.nan
        for key, name in (("wrist", hand), ("object", "target"))
    }


def _jitter_of(motion: InteractionMotion, hand: str) -> float:
    tracks = [track for track in motion.hands if track.name == hand]
    return mean_jitter(tracks[0].positions_camera_m) if tracks else math.nan


def _start_of(motion: InteractionMotion) -> float:
    start = motion.contact.start_frame
    return float(start) if motion.contact.touches_target and start is not None else math.nan


def summarize_rollouts(rows: Sequence[Mapping[str, float]]) -> dict[str, float | int | None]:
    """Summarise one setting.

    Args:
        rows: One per video.

    Returns:
        The benchmark's keys; None for what nobody knows.
    """
    said, judged = ([VERDICTS[int(row[key])] for row in rows] for key in ("said", "judged"))
    pairs = Counter(zip(said, judged, strict=True))
    hit = VERDICTS[0]
    num_true = pairs[hit, hit]
    num_told, num_judged = said.count(hit), judged.count(hit)
    agrees = [mine == other for mine, other in zip(said, judged, strict=True)]
    failed = [
        not (
            agree
            and row["wrist_error_m"] <= WRIST_FAILURE_M
            and row["object_error_m"] <= OBJECT_FAILURE_M
        )
        for agree, row in zip(agrees, rows, strict=True)
    ]
    means = ("wrist_error_m", "mpjpe_m", "w_mpjpe_m", "object_error_m")
    starts = [row["contact_frame"] for row in rows if math.isfinite(row["contact_frame"])]
    found = {
        **{key: mean_known([row[key] for row in rows]) for key in means},
        **{
            key: mean_known([row[key] for row in rows])
            for key in ("wrist_change_m", "object_change_m", "jitter", "confidence_contact")
        },
        "contact_f1": 2 * num_true / max(num_told + num_judged, 1),
        "instance_accuracy": sum(agrees) / len(rows),
        "wrong_instance_rate": pairs[hit, VERDICTS[1]] / len(rows),
        **{f"{name}_share": said.count(name) / len(rows) for name in VERDICTS},
        "contact_frame_median": statistics.median(starts) if starts else math.nan,
        "seconds_per_49_frames": 49 * statistics.median(row["seconds_per_frame"] for row in rows),
    }
    summary: dict[str, float | int | None] = {
        key: round(value, 4) if math.isfinite(value) else None for key, value in found.items()
    }
    summary |= dict.fromkeys(UNKNOWN_KEYS)
    share = failure_share_of_worst([row["confidence"] for row in rows], failed)
    summary["worst_confidence_decile_failure_share"] = share
    summary["worst_confidence_decile_chance_share"] = chance_share_of_worst(failed)
    return summary | {"num_failures": int(np.sum(failed)), "num_clips": len(rows)}
