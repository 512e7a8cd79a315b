"""Write episodes of the mini world as videos: `python -m training.sources.sim.episodes --out LAB`.

What a camera in a lab would see, with masks of every frame. camera_node plays them, so that they
can be recorded (`source: episodes`), and `python -m training.sources.video` reads them.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.errors import TavidError
from training.clips import write_frames
from training.sources.sim.dataset import FPS, SPLIT_FIRST_SEED
from training.sources.sim.harder import ACTORS, CAMERAS, HarderOptions
from training.sources.sim.harder_render import HarderRenderer
from training.sources.sim.scene import Scene

__all__ = ["CAPTIONS_NAME", "NUM_FRAMES", "main"]

CAPTIONS_NAME = "captions.csv"
# Longer than a clip by half a second, so that the cutter can choose.
NUM_FRAMES = 21


def _write_episode(renderer: HarderRenderer, scene: Scene, folder: Path, name: str) -> None:
    clip = renderer.render(scene, NUM_FRAMES)
    targets, actors = renderer.render_masks(scene, NUM_FRAMES)
    write_frames(folder / f"{name}_mask.mp4", _grey(targets), FPS)
    write_frames(folder / f"{name}_actor.mp4", _grey(actors), FPS)
    camera = json.dumps(dataclasses.asdict(clip.intrinsics))
    (folder / f"{name}.camera.json").write_text(camera + "\n", encoding="utf-8")
    # The last, so that an episode with a video is whole.
    write_frames(folder / f"{name}.mp4", clip.frames, FPS)


def _grey(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.repeat(masks[..., None].astype(np.uint8) * 255, 3, axis=-1)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.sim.episodes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--num-episodes", type=int, default=16)
    parser.add_argument("--split", choices=sorted(SPLIT_FIRST_SEED), default="train")
    parser.add_argument("--camera", choices=tuple(CAMERAS), default="usual", help="its height")
    parser.add_argument("--actor", choices=ACTORS, help="who reaches [drawn]")
    parser.add_argument(
        "--unseen-kinds", action="store_true", help="objects of kinds that training never shows"
    )
    parser.add_argument("--width", type=int, default=96, help="pixels [96]")
    parser.add_argument("--height", type=int, default=64, help="pixels [64]")
    options = parser.parse_args(arguments)
    if options.num_episodes < 1:
        parser.error(f"--num-episodes must be at least 1, got {options.num_episodes}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Write the episodes; those that are there already stay.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    options = _parse(arguments)
    wanted = HarderOptions(
        actor=options.actor, camera=options.camera, unseen_kinds=options.unseen_kinds
    )
    rows = []
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with HarderRenderer(options.width, options.height) as renderer:
            for number in tqdm(range(options.num_episodes), "episodes", unit="episode"):
                scene = renderer.usable_scene(SPLIT_FIRST_SEED[options.split] + number, wanted)
                name = f"episode_{number:04d}"
                if not (options.out / f"{name}.mp4").is_file():
                    _write_episode(renderer, scene, options.out, name)
                rows.append((f"{name}.mp4", scene.caption, scene.contact_frame / FPS))
        with (options.out / CAPTIONS_NAME).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("file_name", "text", "contact_sec"), *rows])
    except (TavidError, OSError) as error:
        print(f"episodes: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
