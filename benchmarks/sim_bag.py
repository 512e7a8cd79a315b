"""Write a bag as a robot would record it, of episodes in the simulated world.

    python -m benchmarks.sim_bag evening.mcap --num-episodes 6
    python -m training.sources.bags evening.mcap --inspect

Each episode has a marker, a prompt, and for every image camera_info and masks of target and actor.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.bag_maker import (
    START_NS,
    STORE,
    BagScene,
    Entry,
    make_messages,
    shift_entry,
    write_mcap,
)
from tavid_core.errors import TavidError
from training.sources.sim.render import SceneRenderer
from training.sources.sim.scene import Scene, sample_scene

__all__ = ["EpisodeScene", "main", "write_sim_bag"]

RATE_HZ, NUM_IMAGES, PAUSE_SEC = 8.0, 25, 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodeScene(BagScene):
    """A simulated clip in place of the drawn disc.

    Args:
        frames: RGB, uint8 (T, H, W, 3).
        target_masks: Bool (T, H, W).
        actor_masks: Bool (T, H, W).
    """

    frames: NDArray[np.uint8]
    target_masks: NDArray[np.bool_]
    actor_masks: NDArray[np.bool_]

    def draw(self, index: int) -> NDArray[np.uint8]:
        """Give an image, RGB, uint8 (H, W, 3)."""
        return self.frames[index]

    def target_mask(self, index: int) -> NDArray[np.bool_]:
        """Give the target, bool (H, W)."""
        return self.target_masks[index]

    def actor_mask(self, index: int) -> NDArray[np.bool_]:
        """Give the person, bool (H, W)."""
        return self.actor_masks[index]


def _film(renderer: SceneRenderer, scene: Scene) -> EpisodeScene:
    clip = renderer.render(scene, NUM_IMAGES)
    targets, actors = renderer.render_masks(scene, NUM_IMAGES)
    return EpisodeScene(
        size_hw=(renderer.height, renderer.width),
        num_images=NUM_IMAGES,
        rate_hz=RATE_HZ,
        prompt=scene.caption,
        frames=clip.frames,
        target_masks=targets,
        actor_masks=actors,
        focal_px=clip.intrinsics.fx,
    )


def write_sim_bag(path: Path, num_episodes: int, size_hw: tuple[int, int] = (64, 96)) -> int:
    """Write a bag.

    Args:
        path: MCAP file to write.
        num_episodes: How many scenes, one after the other, with a pause between them.
        size_hw: Rows and columns of the images, pixels.

    Returns:
        How many messages it holds.
    """
    return write_mcap(path, _film_episodes(num_episodes, size_hw))


def _film_episodes(num_episodes: int, size_hw: tuple[int, int]) -> Iterator[Entry]:
    height, width = size_hw
    marker = STORE.types["std_msgs/msg/Bool"]
    length_sec = NUM_IMAGES / RATE_HZ
    with SceneRenderer(width, height) as renderer:
        for number in tqdm(range(num_episodes), "episodes", leave=False):
            offset_ns = round(number * (length_sec + PAUSE_SEC) * 1e9)
            yield Entry("/episode", START_NS + offset_ns, marker(data=True))
            for entry in make_messages(_film(renderer, sample_scene(number))):
                yield shift_entry(entry, offset_ns)
            end_ns = START_NS + offset_ns + round(length_sec * 1e9)
            yield Entry("/episode", end_ns, marker(data=False))


def main(arguments: list[str] | None = None) -> int:
    """Write a bag.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sim_bag",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bag", type=Path, metavar="BAG.mcap", help="file to write")
    parser.add_argument("--num-episodes", type=int, default=6)
    options = parser.parse_args(arguments)
    if options.num_episodes < 1:
        parser.error(f"--num-episodes must be at least 1, got {options.num_episodes}")
    try:
        num_messages = write_sim_bag(options.bag, options.num_episodes)
    except (TavidError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.bag}: {num_messages} messages, {options.num_episodes} episodes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
