"""Measure the lifting on drawn videos with metric truth, and on the planner's own rollouts.

    python -m benchmarks.lifting --json
    python -m benchmarks.lifting --num-clips 10 --skip-rollouts

Videos are drawn once (100 clips: some minutes) and kept under runs/data/lifting, and so are each
clip's errors, as long as the lifting does not change: the run may be broken off at any time, and
goes on where it was. `--split validation` takes other clips, to choose thresholds on. Settings:

- textured_480, plain_480: videos of 480x720 pixels, objects with and without a print on them.
- plain_64: the plain videos, scaled to the model's 64x96 pixels as the planner scales pictures.
- depth, no_depth, no_intrinsics: sensor depth and intrinsics; intrinsics only; neither.
- true, predicted: keypoints of the simulation, or of the shipped detector.

The planner's own videos are lifted in all three (`rollouts/...`), and 20 clips are played there,
back and there again, so that the target is taken twice (`regrasps`).

With depth every clip is lifted a second time with a look-alike marked that nobody touches; contact
does not depend on depth, so the other settings count the same. Metres, degrees, frames; shares are
0..1. A clip fails if the hand is 10 cm off on average, the object 5 cm,
or the contact 3 frames.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lifting_clips import ClipSet, LiftingClip, draw_missing, load_clip
from benchmarks.lifting_figure import draw_figure
from benchmarks.lifting_metrics import measure, summarize, truth_of
from benchmarks.lifting_regrasp import measure_regrasps
from benchmarks.lifting_rollouts import measure_rollouts
from benchmarks.lifting_rows import RowStore, code_fingerprint
from tavid_core.errors import TavidError
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.lift import lift
from tavid_core.lifting.target_sight import watch_target
from tavid_core.types import PlanRequest, Rollout
from training.sources.sim.motion import JOINT_NAMES

__all__ = ["evaluate_clip", "main"]

MODEL_SIZE_HW = (64, 96)
TEXTURED, PLAIN, SLOW = ClipSet(True), ClipSet(False), ClipSet(True, is_slow=True)
NUM_SLOW_CLIPS = 3
FIGURE_CLIP, NUM_REGRASPS = 5, 20
SIZES = {"textured_480": TEXTURED, "plain_480": PLAIN, "plain_64": PLAIN}
INPUTS = ("depth", "no_depth", "no_intrinsics")
KEYPOINT_SOURCES = ("true", "predicted")
DEFAULT_CACHE = Path(__file__).resolve().parent.parent / "runs" / "data" / "lifting"
Row = dict[str, float]


def request_of(clip: LiftingClip, inputs: str, mask_index: int) -> PlanRequest:
    """Make the request that would have led to a clip.

    Args:
        clip: Its frame 0 is the picture.
        inputs: "depth", "no_depth" or "no_intrinsics".
        mask_index: Which object to mark.

    Returns:
        The request.
    """
    return PlanRequest(
        image=clip.frames[0],
        target_mask=clip.instance_masks[mask_index],
        prompt=clip.scene.caption,
        depth_m=clip.depth_m if inputs == "depth" else None,
        intrinsics=None if inputs == "no_intrinsics" else clip.intrinsics,
    )


def true_keypoints(clip: LiftingClip) -> Keypoints:
    """Project the simulated joints.

    Args:
        clip: With its motion.

    Returns:
        All joints, hidden ones too, in the pixels of the clip.
    """
    joints_m = clip.motion.joints_world_m @ clip.camera_from_world[:3, :3].T
    joints_m = joints_m + clip.camera_from_world[:3, 3]
    camera = clip.intrinsics
    pixels = joints_m[..., :2] / joints_m[..., 2:] * [camera.fx, camera.fy]
    pixels = (pixels + np.array([camera.cx, camera.cy])).astype(np.float32)
    return Keypoints(JOINT_NAMES, pixels, np.ones(pixels.shape[:2], np.float32))


def _scaled(keypoints: Keypoints, fit: FrameFit) -> Keypoints:
    return Keypoints(keypoints.names, fit.pixels_to_model(keypoints.pixels), keypoints.confidence)


def evaluate_clip(
    clip: LiftingClip, name: str, *, detector: HeatmapDetector
) -> Iterator[tuple[str, bool, Row]]:
    """Lift one clip in all settings.

    Args:
        clip: The clip.
        name: "textured_480", "plain_480" or "plain_64".
        detector: For predicted keypoints.

    Yields:
        "name/inputs/keypoints", whether a look-alike was marked instead of the target, and the
        errors with "seconds", the time to detect and lift.
    """
    size_hw = MODEL_SIZE_HW if name.endswith("_64") else clip.frames.shape[1:3]
    fit = FrameFit(clip.frames.shape[1:3], size_hw)
    rollout = Rollout(frames=np.stack([fit.fit_image(frame) for frame in clip.frames]), fps=8.0)
    truth = truth_of(clip, is_textured=SIZES[name].is_textured)
    target = clip.scene.target_index
    decoy = _nearest_other(clip, target)
    sights, seconds = {}, {}
    for mask_index in (target, decoy):
        begin = time.perf_counter()
        sights[mask_index] = watch_target(
            rollout.frames, fit.fit_mask(clip.instance_masks[mask_index])
        )
        seconds[mask_index] = time.perf_counter() - begin
    begin = time.perf_counter()
    predicted = detector(rollout.frames)
    detection_sec = time.perf_counter() - begin
    sources = {"true": (_scaled(true_keypoints(clip), fit), 0.0)}
    sources["predicted"] = predicted, detection_sec
    for inputs in INPUTS:
        for source, (keypoints, sec) in sources.items():
            for mask_index in (target, decoy) if inputs == "depth" else (target,):
                request = request_of(clip, inputs, mask_index)
                begin = time.perf_counter()
                motion = lift(rollout, request, keypoints, fit=fit, sight=sights[mask_index])
                took_sec = time.perf_counter() - begin
                row = measure(motion, truth)
                row["seconds"] = took_sec + seconds[mask_index] + sec
                yield f"{name}/{inputs}/{source}", mask_index != target, row


def _nearest_other(clip: LiftingClip, target: int) -> int:
    places = clip.motion.objects_world_m[0]
    away_m = np.linalg.norm(places - places[target], axis=-1)
    away_m[target] = np.inf
    return int(away_m.argmin())


def _one_thread() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _evaluate(
    cache: Path, store: RowStore, kind: ClipSet, name: str, index: int
) -> list[tuple[str, bool, Row]]:
    """Get a clip's rows: those that are kept, or new ones, which are kept then."""
    key = f"{kind.name}_{name}_{index:06d}"
    rows = store.read(key)
    if rows is None:
        _one_thread()
        clip = load_clip(cache, kind, index)
        rows = list(evaluate_clip(clip, name, detector=HeatmapDetector.from_pretrained()))
        store.write(key, rows)
    return rows


def measure_truth(options: argparse.Namespace) -> dict[str, dict[str, float | int | None]]:
    """Measure on the drawn videos.

    Args:
        options: Of the command line.

    Returns:
        Per setting the benchmark's keys.
    """
    indices = range(options.num_clips)
    kinds = {name: dataclasses.replace(SIZES[name], split=options.split) for name in options.sizes}
    for kind in dict.fromkeys(kinds.values()):
        draw_missing(options.cache, kind, indices, options.workers)
    store = RowStore(options.cache, code_fingerprint())
    rows: dict[str, dict[bool, list[Row]]] = defaultdict(lambda: {False: [], True: []})
    # Clip by clip, so that a run that is broken off leaves whole clips.
    jobs = [(kinds[name], name, index) for index in indices for name in options.sizes]
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(options.workers, mp_context=context) as pool,
        tqdm(total=len(jobs), unit="clip", desc="lifting") as bar,
    ):
        futures = [pool.submit(_evaluate, options.cache, store, *job) for job in jobs]
        for future in concurrent.futures.as_completed(futures):
            for setting, is_decoy, row in future.result():
                rows[setting][is_decoy].append(row)
            bar.update(1)
    figures = {}
    for setting, found in rows.items():
        name, _, source = setting.split("/")
        figures[setting] = summarize(found[False], rows[f"{name}/depth/{source}"][True])
    return figures


def measure_further(
    options: argparse.Namespace,
) -> tuple[dict[str, dict[str, float | int | None]], dict[str, float | int | None]]:
    """Measure on the planner's own videos, and on clips in which the target is taken twice.

    Args:
        options: Of the command line.

    Returns:
        Per "rollouts/inputs/predicted" the benchmark's keys, and those of the clips taken twice.
    """
    kind = dataclasses.replace(PLAIN, split=options.split)
    indices = range(min(options.num_clips, max(options.num_rollouts, NUM_REGRASPS)))
    draw_missing(options.cache, kind, indices, options.workers)
    _one_thread()
    store = RowStore(options.cache, code_fingerprint("rollouts", "regrasp"))
    plans, twice = indices[: options.num_rollouts], indices[:NUM_REGRASPS]
    rollouts = measure_rollouts(options.cache, store, kind, plans, INPUTS, request_of)
    return rollouts, measure_regrasps(options.cache, store, kind, twice, request_of)


def measure_speed(options: argparse.Namespace) -> dict[str, float]:
    """Time the lifting of 49 frames on one thread, nothing else running.

    Args:
        options: Of the command line.

    Returns:
        Median seconds per "name/inputs/keypoints", and the errors' means with them.
    """
    draw_missing(options.cache, SLOW, range(NUM_SLOW_CLIPS), options.workers)
    _one_thread()
    detector = HeatmapDetector.from_pretrained()
    seconds: dict[str, list[float]] = defaultdict(list)
    for index in tqdm(range(NUM_SLOW_CLIPS), unit="clip", desc="timing 49 frames"):
        clip = load_clip(options.cache, SLOW, index)
        for name in options.sizes:
            for setting, _, row in evaluate_clip(clip, name, detector=detector):
                seconds[setting].append(row["seconds"])
    return {setting: round(float(np.median(found)), 3) for setting, found in seconds.items()}


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lifting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON last")
    parser.add_argument("--num-clips", type=int, default=100, help="fewer for a quick try")
    parser.add_argument(
        "--sizes", nargs="+", choices=sorted(SIZES), default=list(SIZES), help="default: all"
    )
    parser.add_argument(
        "--split", choices=("held_out", "validation"), default="held_out", help="which clips"
    )
    parser.add_argument("--skip-speed", action="store_true")
    parser.add_argument("--skip-rollouts", action="store_true", help="and clips taken twice")
    parser.add_argument("--num-rollouts", type=int, default=50, help="plans at most")
    parser.add_argument(
        "--figure", type=Path, help="draw the first textured clip to this PNG, only"
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where videos are kept")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    if min(options.num_clips, options.workers) < 1:
        parser.error("--num-clips and --workers must be 1 or more")
    return options


def write_figure(options: argparse.Namespace) -> None:
    """Lift one textured clip with depth and predicted keypoints, and draw it.

    Args:
        options: Of the command line.
    """
    draw_missing(options.cache, TEXTURED, [FIGURE_CLIP], options.workers)
    clip = load_clip(options.cache, TEXTURED, FIGURE_CLIP)
    size_hw = clip.frames.shape[1:3]
    request = request_of(clip, "depth", clip.scene.target_index)
    keypoints = HeatmapDetector.from_pretrained()(clip.frames)
    rollout = Rollout(frames=clip.frames, fps=8.0)
    motion = lift(rollout, request, keypoints, fit=FrameFit(size_hw, size_hw))
    draw_figure(options.figure, clip, motion, truth_of(clip, is_textured=True))


def print_table(figures: dict[str, dict[str, float | int | None]]) -> None:
    """Print one line per setting.

    Args:
        figures: Of `measure_truth`.
    """
    columns = {
        "wrist_error_m": "wrist",
        "mpjpe_m": "mpjpe",
        "w_mpjpe_m": "w_mpjpe",
        "object_error_m": "object",
        "object_rotation_error_deg": "rot_deg",
        "is_six_dof": "6dof",
        "add_below_10_percent": "add10",
        "contact_frame_error_median": "t_err",
        "contact_within_one_frame": "within1",
        "contact_f1": "f1",
        "instance_accuracy": "instance",
        "wrong_instance_rate": "wrong",
        "jitter": "jitter",
        "num_failures": "failed",
        "worst_confidence_decile_failure_share": "decile",
        "worst_confidence_decile_chance_share": "chance",
        "seconds_per_49_frames": "s/49",
    }
    print(f"{'setting':34}" + "".join(f"{short:>9}" for short in columns.values()))
    for setting, row in figures.items():
        cells = [row.get(key) for key in columns]
        print(f"{setting:34}" + "".join(f"{'-' if c is None else f'{c:.3g}':>9}" for c in cells))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        0, or 1 if something could not be measured.
    """
    options = parse_arguments(arguments)
    regrasps: dict[str, float | int | None] = {}
    try:
        if options.figure:
            write_figure(options)
            return 0
        figures = measure_truth(options)
        if not options.skip_speed:
            for setting, seconds in measure_speed(options).items():
                figures[setting]["seconds_per_49_frames"] = seconds
        if not options.skip_rollouts:
            rollouts, regrasps = measure_further(options)
            figures |= rollouts
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print_table(figures)
    if regrasps:
        shown = (f"{key} {'-' if v is None else f'{v:.3g}'}" for key, v in regrasps.items())
        print("taken twice: " + ", ".join(shown))
    if options.json:
        print(json.dumps(figures | ({"regrasps": regrasps} if regrasps else {})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
