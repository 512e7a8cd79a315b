"""Write clips of the mini world: `python -m training.sources.sim --out CLIPS --num-clips 100`.

World 0 is the easy one: a person, two to four objects. World 1 is harder: three to six objects,
small and sometimes half hidden, clutter, vague captions, and a robot arm in half of the scenes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from training.clips import METADATA_NAME, ClipRecord, write_frames
from training.sources.sim.harder import ACTORS, CAMERAS, HarderOptions
from training.sources.sim.harder_render import HarderRenderer
from training.sources.sim.render import SceneRenderer, SimClip
from training.sources.sim.scene import sample_scene

FPS = 8.0
PARTS_FOLDER = ".parts"  # records of the ranges that are drawn
EASY_EVERY = 3

# Disjoint by construction: no seed can be drawn for two splits.
SPLIT_FIRST_SEED = {"train": 0, "validation": 10_000_000, "held_out": 20_000_000}


def write_clip(clip: SimClip, folder: Path, name: str) -> ClipRecord:
    """Write one clip with its masks and its truth.

    Args:
        clip: What the renderer drew.
        folder: The clip folder; its subfolders must exist.
        name: File stem.

    Returns:
        The record for `metadata.jsonl`.
    """
    scene = clip.scene
    write_frames(folder / f"clips/{name}.mp4", clip.frames, FPS)
    target = clip.instance_masks[scene.target_index]
    cv2.imwrite(str(folder / f"masks/{name}.png"), target.astype(np.uint8) * 255)
    cv2.imwrite(str(folder / f"actors/{name}.png"), clip.actor_mask.astype(np.uint8) * 255)
    np.savez_compressed(
        folder / f"truth/{name}.npz",
        instance_masks=clip.instance_masks,
        target_index=np.array(scene.target_index),
        depth_m=clip.depth_m,
        camera_from_world=clip.camera_from_world,
        joints_world_m=clip.motion.joints_world_m,
        joint_names=np.array(clip.motion.joint_names),
        objects_world_m=clip.motion.objects_world_m,
        joint_pixels=clip.joint_pixels,
        object_pixels=clip.object_pixels,
        hand=np.array(clip.motion.hand),
        has_look_alikes=np.array(scene.has_look_alikes),
        has_actor=np.array(scene.has_actor),
        actor=np.array(scene.actor),
    )
    return ClipRecord(
        file_name=f"clips/{name}.mp4",
        text=scene.caption,
        fps=FPS,
        mask_file=f"masks/{name}.png",
        actor_mask_file=f"actors/{name}.png" if clip.actor_mask.any() else None,
        contact_frame=scene.contact_frame,
        camera=clip.intrinsics,
        source="sim",
        licence="CC0-1.0",
        truth_file=f"truth/{name}.npz",
    )


def _render_range(options: argparse.Namespace, first: int, count: int) -> Path:
    """Draw some clips, unless an earlier run has; the file of their records is written last."""
    part = _part_path(options, first, count)
    if not part.is_file():
        lines = [
            write_clip(clip, options.out, f"{number:06d}").to_json()
            for number, clip in enumerate(_draw_clips(options, first, count), start=first)
        ]
        torn = part.with_suffix(".part")
        torn.write_text("\n".join(lines) + "\n", encoding="utf-8")
        torn.replace(part)
    return part


def _part_path(options: argparse.Namespace, first: int, count: int) -> Path:
    """Name the file of a range's records by all that the clips depend on."""
    run_only = ("out", "num_clips", "workers")
    look = {key: value for key, value in vars(options).items() if key not in run_only}
    digest = hashlib.sha256(json.dumps(look, sort_keys=True).encode()).hexdigest()[:12]
    return options.out / PARTS_FOLDER / f"{digest}_{first:06d}_{count}.jsonl"


def _draw_clips(options: argparse.Namespace, first: int, count: int) -> Iterator[SimClip]:
    look_alike = True if options.look_alikes else None
    wanted = HarderOptions(
        num_objects=options.num_objects if options.world != "0" else None,
        look_alike=look_alike,
        actor=options.actor,
        camera=options.camera,
        unseen_kinds=options.unseen_kinds,
    )
    with contextlib.ExitStack() as stack:
        easy, harder = None, None
        if options.world != "1":
            easy = stack.enter_context(
                SceneRenderer(options.width, options.height, is_textured=options.textured)
            )
        if options.world != "0":
            harder = stack.enter_context(HarderRenderer(options.width, options.height))
        for number in range(first, first + count):
            seed = SPLIT_FIRST_SEED[options.split] + number
            if harder and not (easy and number % EASY_EVERY == 0):
                yield harder.render(harder.usable_scene(seed, wanted), options.num_frames)
            else:
                scene = sample_scene(seed, num_objects=options.num_objects, look_alike=look_alike)
                yield easy.render(scene, options.num_frames)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.sim",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="clip folder to write")
    parser.add_argument("--num-clips", type=int, default=100)
    parser.add_argument("--split", choices=sorted(SPLIT_FIRST_SEED), default="train")
    parser.add_argument(
        "--world",
        choices=("0", "1", "mixed"),
        default="0",
        help=f"0 easy, 1 harder, mixed: one clip in {EASY_EVERY} of world 0 [0]",
    )
    parser.add_argument(
        "--num-objects", type=int, choices=range(2, 7), help="2 to 4, 3 to 6 in world 1 [drawn]"
    )
    parser.add_argument("--look-alikes", action="store_true", help="every scene has look-alikes")
    parser.add_argument("--textured", action="store_true", help="print spots on the objects")
    parser.add_argument("--actor", choices=ACTORS, help="world 1: who reaches [drawn]")
    parser.add_argument(
        "--camera", choices=tuple(CAMERAS), default="usual", help="world 1: its height [usual]"
    )
    parser.add_argument(
        "--unseen-kinds", action="store_true", help="world 1: kinds that training never shows"
    )
    parser.add_argument("--num-frames", type=int, default=17)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    problem = _find_problem(options)
    if problem:
        parser.error(problem)
    return options


def _find_problem(options: argparse.Namespace) -> str | None:
    """Say which options do not go together, if any."""
    num_objects, world = options.num_objects, options.world
    if world == "0" and (options.actor or options.camera != "usual" or options.unseen_kinds):
        return "--actor, --camera and --unseen-kinds need --world 1"
    if world != "0" and options.textured:
        return "--textured needs --world 0"
    few, many = {"0": (2, 4), "1": (3, 6), "mixed": (3, 4)}[world]
    if num_objects is not None and not few <= num_objects <= many:
        return f"--num-objects must be in {few}..{many} in world {world}, got {num_objects}"
    return None


def main(arguments: list[str] | None = None) -> int:
    """Render the clips in parallel and write `metadata.jsonl` last; run again to go on.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    options = parse_arguments(arguments)
    for part in ("clips", "masks", "actors", "truth", PARTS_FOLDER):
        (options.out / part).mkdir(parents=True, exist_ok=True)
    chunk = 20
    starts = range(0, options.num_clips, chunk)
    context = multiprocessing.get_context("spawn")
    parts: dict[int, Path] = {}
    with (
        concurrent.futures.ProcessPoolExecutor(options.workers, mp_context=context) as pool,
        tqdm(total=options.num_clips, unit="clip", desc=f"{options.split} clips") as bar,
    ):
        jobs = {
            pool.submit(_render_range, options, start, min(chunk, options.num_clips - start)): start
            for start in starts
        }
        for job in concurrent.futures.as_completed(jobs):
            parts[jobs[job]] = job.result()
            bar.update(min(chunk, options.num_clips - jobs[job]))
    records = "".join(parts[start].read_text(encoding="utf-8") for start in sorted(parts))
    (options.out / METADATA_NAME).write_text(records, encoding="utf-8")
    return 0
