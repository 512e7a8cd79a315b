"""Videos with metric truth for the lifting benchmark, drawn once and kept.

The scenes are those of the held-out split (three look-alikes each), larger, and the target turns
while it is lifted. Slow clips have 49 frames of the same motion.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.types import CameraIntrinsics
from training.clips import parse_record, read_frames, read_truth
from training.sources.sim import ActorMotion, Scene, SceneRenderer, plan_motion, sample_scene
from training.sources.sim.dataset import SPLIT_FIRST_SEED, write_clip

__all__ = ["ClipSet", "LiftingClip", "draw_missing", "load_clip", "make_scene"]

NUM_OBJECTS = 3
MAX_TURN_RAD = math.radians(45.0)
SLOW_FACTOR = 3
# A depth camera's noise grows with the square of the distance.
DEPTH_NOISE_PER_M = 0.003


@dataclasses.dataclass(frozen=True)
class ClipSet:
    """One kind of clips.

    Args:
        is_textured: Whether the objects carry a print.
        is_slow: Whether the motion takes 49 frames instead of 17.
        size_hw: Rows and columns, pixels.
        split: "held_out", which is reported, or "validation", on which thresholds are chosen.
    """

    is_textured: bool
    is_slow: bool = False
    size_hw: tuple[int, int] = (480, 720)
    split: str = "held_out"

    @property
    def num_frames(self) -> int:
        """Frames per clip."""
        return 49 if self.is_slow else 17

    @property
    def name(self) -> str:
        """Name of its folder."""
        look = "textured" if self.is_textured else "plain"
        name = f"{look}_{self.size_hw[0]}x{self.size_hw[1]}_{self.num_frames}"
        return name if self.split == "held_out" else f"{self.split}_{name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiftingClip:
    """One clip with its truth.

    Args:
        index: Of the held-out scene.
        scene: What was drawn.
        motion: Truth in the world frame.
        frames: RGB, uint8 (T, H, W, 3).
        depth_m: Of frame 0 with a sensor's noise, float32 (H, W), metres.
        instance_masks: All objects in frame 0, bool (N, H, W).
        intrinsics: Of the frames.
        camera_from_world: float64 (4, 4), optical frame.
    """

    index: int
    scene: Scene
    motion: ActorMotion
    frames: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    instance_masks: NDArray[np.bool_]
    intrinsics: CameraIntrinsics
    camera_from_world: NDArray[np.float64]


def make_scene(index: int, kind: ClipSet) -> Scene:
    """Give a scene of the split, with a turn of the target and at the set's speed.

    Args:
        index: 0 or more.
        kind: Which set it is for.

    Returns:
        The scene; the same numbers give the same scene on every machine.
    """
    scene = sample_scene(
        SPLIT_FIRST_SEED[kind.split] + index, num_objects=NUM_OBJECTS, look_alike=True
    )
    turn = np.random.default_rng([11, index]).uniform(-MAX_TURN_RAD, MAX_TURN_RAD)
    factor = SLOW_FACTOR if kind.is_slow else 1
    return dataclasses.replace(
        scene,
        lift_yaw_rad=float(turn),
        start_frame=factor * scene.start_frame,
        contact_frame=factor * scene.contact_frame,
    )


def draw_missing(root: Path, kind: ClipSet, indices: Sequence[int], num_workers: int) -> None:
    """Draw the clips that are not there yet, with a progress bar.

    Args:
        root: Where the sets are kept.
        kind: Which set.
        indices: Of the held-out scenes.
        num_workers: Processes.

    Raises:
        MissingExtraError: If MuJoCo is not installed.
    """
    folder = root / kind.name
    missing = [index for index in indices if not _record_path(folder, index).is_file()]
    if not missing:
        return
    for part in ("clips", "masks", "actors", "truth", "records"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    share = max(1, min(10, -(-len(missing) // num_workers)))
    parts = [missing[start : start + share] for start in range(0, len(missing), share)]
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(num_workers, mp_context=context) as pool,
        tqdm(total=len(missing), unit="clip", desc=f"drawing {kind.name}") as bar,
    ):
        jobs = [pool.submit(_draw, folder, kind, part) for part in parts]
        for job in concurrent.futures.as_completed(jobs):
            bar.update(job.result())


def load_clip(root: Path, kind: ClipSet, index: int) -> LiftingClip:
    """Read one clip that `draw_missing` has drawn.

    Args:
        root: Where the sets are kept.
        kind: Which set.
        index: Of the held-out scene.

    Returns:
        The clip.

    Raises:
        InputError: If a file of it is missing or damaged.
    """
    folder = root / kind.name
    record = parse_record(_record_path(folder, index).read_text(encoding="utf-8"))
    truth = read_truth(folder, record)
    scene = make_scene(index, kind)
    depth_m = truth["depth_m"].astype(np.float32)
    noise = np.random.default_rng([12, index]).standard_normal(depth_m.shape)
    return LiftingClip(
        index=index,
        scene=scene,
        motion=plan_motion(scene, kind.num_frames),
        frames=read_frames(folder, record),
        depth_m=(depth_m + DEPTH_NOISE_PER_M * depth_m**2 * noise).astype(np.float32),
        instance_masks=truth["instance_masks"].astype(bool),
        intrinsics=record.camera,
        camera_from_world=truth["camera_from_world"].astype(np.float64),
    )


def _record_path(folder: Path, index: int) -> Path:
    return folder / f"records/{index:06d}.json"


def _draw(folder: Path, kind: ClipSet, indices: Sequence[int]) -> int:
    height, width = kind.size_hw
    with SceneRenderer(width, height, is_textured=kind.is_textured) as renderer:
        for index in indices:
            clip = renderer.render(make_scene(index, kind), kind.num_frames)
            record = write_clip(clip, folder, f"{index:06d}")
            # Last, so that a clip with a record is a whole clip.
            _record_path(folder, index).write_text(record.to_json() + "\n", encoding="utf-8")
    return len(indices)
