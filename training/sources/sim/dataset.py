"""Write clips of the mini world: `python -m training.sources.sim --out CLIPS --num-clips 100`."""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from training.clips import METADATA_NAME, ClipRecord, write_frames
from training.sources.sim.render import SceneRenderer, SimClip
from training.sources.sim.scene import sample_scene

FPS = 8.0

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
        objects_world_m=clip.motion.objects_world_m,
        joint_pixels=clip.joint_pixels,
        object_pixels=clip.object_pixels,
        hand=np.array(clip.motion.hand),
        has_look_alikes=np.array(scene.has_look_alikes),
        has_actor=np.array(scene.has_actor),
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


def _render_range(options: argparse.Namespace, first: int, count: int) -> list[str]:
    lines = []
    with SceneRenderer(options.width, options.height, is_textured=options.textured) as renderer:
        for index in range(first, first + count):
            scene = sample_scene(
                SPLIT_FIRST_SEED[options.split] + index,
                num_objects=options.num_objects,
                look_alike=True if options.look_alikes else None,
            )
            clip = renderer.render(scene, options.num_frames)
            lines.append(write_clip(clip, options.out, f"{index:06d}").to_json())
    return lines


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(prog="python -m training.sources.sim", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="clip folder to write")
    parser.add_argument("--num-clips", type=int, default=100)
    parser.add_argument("--split", choices=sorted(SPLIT_FIRST_SEED), default="train")
    parser.add_argument("--num-objects", type=int, choices=(2, 3, 4), help="default: drawn")
    parser.add_argument("--look-alikes", action="store_true", help="every scene has look-alikes")
    parser.add_argument("--textured", action="store_true", help="print spots on the objects")
    parser.add_argument("--num-frames", type=int, default=17)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Render the clips in parallel and write `metadata.jsonl` last.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    options = parse_arguments(arguments)
    for part in ("clips", "masks", "actors", "truth"):
        (options.out / part).mkdir(parents=True, exist_ok=True)
    chunk = 20
    starts = range(0, options.num_clips, chunk)
    context = multiprocessing.get_context("spawn")
    lines: dict[int, list[str]] = {}
    with (
        concurrent.futures.ProcessPoolExecutor(options.workers, mp_context=context) as pool,
        tqdm(total=options.num_clips, unit="clip", desc=f"{options.split} clips") as bar,
    ):
        jobs = {
            pool.submit(_render_range, options, start, min(chunk, options.num_clips - start)): start
            for start in starts
        }
        for job in concurrent.futures.as_completed(jobs):
            lines[jobs[job]] = job.result()
            bar.update(len(lines[jobs[job]]))
    ordered = [line for start in sorted(lines) for line in lines[start]]
    (options.out / METADATA_NAME).write_text("\n".join(ordered) + "\n", encoding="utf-8")
    return 0
