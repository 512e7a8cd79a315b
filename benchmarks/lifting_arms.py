"""Measure the lifting of a robot's arm, on drawn videos and on the planner's own.

    python -m benchmarks.lifting_arms --json
    python -m benchmarks.lifting_arms --num-scenes 6 --skip-rollouts

Scenes of world 1: an arm, three look-alikes, clutter; the arm's mask and the depth of frame 0 are
given. Each is lifted as drawn at 480x320 pixels and at the model's 96x64, with noise of 6 grey
levels, and as the planner imagines it. Figures are shares of the scenes, 0..1:

- touched: the lifting says that the target is touched.
- within_one_frame: it does so, and within a frame of when it is. Nobody knows when an imagined
  one is.
- from_start: it does so, from frame 0 on, before the arm has moved.
- other_touched: of the look-alikes that the arm leaves alone, when they are marked instead.
- halted_touched: of videos that stand still from two frames before the touch on.
- still_touched: of a still picture under that noise.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import make_bar, make_parser, run
from benchmarks.summary import Figure
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.keypoints import KEYPOINT_NAMES, Keypoints
from tavid_core.lifting.lift import lift
from tavid_core.motion import Contact
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest, Rollout
from training.sources.sim.dataset import FPS, SPLIT_FIRST_SEED
from training.sources.sim.harder import HarderOptions
from training.sources.sim.harder_render import HarderRenderer

__all__ = ["ArmScene", "judge_scene", "main", "summarize_scenes"]

# Beyond the clips that training and evaluation draw of a split.
FIRST_SCENE = 500_000
NUM_FRAMES, NOISE_LEVELS = 17, 6.0
ARM_OF_THREE = HarderOptions(num_objects=3, look_alike=True, actor="arm")
Row = dict[str, float]


@dataclasses.dataclass(frozen=True)
class ArmScene:
    """One scene and what happens in it.

    Args:
        request: With the target marked, 480x320 pixels.
        other_masks: Of the objects that the arm leaves alone, bool (320, 480) each.
        videos: Frames by name, uint8 (T, h, w, 3).
        contact_frame: First frame of the touch in the drawn ones.
    """

    request: PlanRequest
    other_masks: Sequence[NDArray[np.bool_]]
    videos: dict[str, NDArray[np.uint8]]
    contact_frame: int


def judge_scene(scene: ArmScene) -> Row:
    """Lift all videos of a scene.

    Args:
        scene: With its videos.

    Returns:
        0 or 1, or a mean of them, by VIDEO_FIGURE.
    """
    row: Row = {}
    for name, frames in scene.videos.items():
        contact = _lift(frames, scene.request)
        if name.startswith(("halted", "still")):
            row[f"{name}_touched"] = float(contact.touches_target)
            continue
        start = contact.start_frame if contact.touches_target else None
        row[f"{name}_touched"] = float(contact.touches_target)
        row[f"{name}_from_start"] = float(start == 0)
        if name != "imagined_64":
            is_near = start is not None and abs(start - scene.contact_frame) <= 1
            row[f"{name}_within_one_frame"] = float(is_near)
        others = [
            _lift(frames, dataclasses.replace(scene.request, target_mask=mask))
            for mask in scene.other_masks
        ]
        row[f"{name}_other_touched"] = float(np.mean([one.touches_target for one in others]))
    return row


def summarize_scenes(rows: Sequence[Row]) -> dict[str, Figure]:
    """Average what was seen in the scenes.

    Args:
        rows: Of `judge_scene`, at least one.

    Returns:
        The number of scenes, and shares by the rows' names.
    """
    shares = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
    return {"num_scenes": len(rows), **shares}


def _lift(frames: NDArray[np.uint8], request: PlanRequest) -> Contact:
    nobody = Keypoints(
        KEYPOINT_NAMES,
        np.full((len(frames), len(KEYPOINT_NAMES), 2), np.nan, dtype=np.float32),
        np.zeros((len(frames), len(KEYPOINT_NAMES)), dtype=np.float32),
    )
    fit = FrameFit(request.image.shape[:2], frames.shape[1:3])
    return lift(Rollout(frames=frames, fps=FPS), request, nobody, fit=fit).contact


def _draw_scenes(options: argparse.Namespace) -> Iterator[ArmScene]:
    first = SPLIT_FIRST_SEED[options.split] + FIRST_SCENE
    with HarderRenderer(480, 320) as large, HarderRenderer(96, 64) as small:
        for seed in range(first, first + options.num_scenes):
            scene = large.usable_scene(seed, ARM_OF_THREE)
            clip = large.render(scene, num_frames=NUM_FRAMES)
            frames = small.render(scene, num_frames=NUM_FRAMES).frames
            masks = [clip.instance_masks[i] for i in range(len(scene.objects))]
            target_mask = masks.pop(scene.target_index)
            request = PlanRequest(
                image=clip.frames[0],
                target_mask=target_mask,
                prompt=scene.caption,
                actor_mask=clip.actor_mask,
                depth_m=clip.depth_m,
                intrinsics=clip.intrinsics,
            )
            videos = {"drawn_480": clip.frames, "drawn_64": frames}
            yield ArmScene(request, masks, videos, scene.contact_frame)


def _spoil(scene: ArmScene, seed: int) -> dict[str, NDArray[np.uint8]]:
    """Make of the small video a noisy one, one that halts, and a still one."""
    frames = scene.videos["drawn_64"]
    noise = np.random.default_rng(seed).normal(0, NOISE_LEVELS, frames.shape)
    halted = frames.copy()
    halted[scene.contact_frame - 2 :] = halted[scene.contact_frame - 2]
    return {
        "noisy_64": (frames + noise).clip(0, 255).astype(np.uint8),
        "halted_64": halted,
        "still_64": (frames[:1] + noise).clip(0, 255).astype(np.uint8),
    }


def _measure(options: argparse.Namespace) -> dict[str, Figure]:
    planner = None if options.skip_rollouts else InteractionPlanner.from_pretrained()
    rows = []
    with make_bar(options.num_scenes, "scenes of an arm") as bar:
        for number, scene in enumerate(_draw_scenes(options)):
            scene.videos.update(_spoil(scene, number))
            if planner is not None:
                scene.videos["imagined_64"] = planner.plan(scene.request).rollout.frames
            rows.append(judge_scene(scene))
            bar.update()
    return summarize_scenes(rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = make_parser("benchmarks.lifting_arms", __doc__)
    parser.add_argument("--num-scenes", type=int, default=24, help="[24]")
    parser.add_argument(
        "--split",
        choices=("validation", "held_out"),
        default="held_out",
        help="validation: to choose thresholds on [held_out]",
    )
    parser.add_argument("--skip-rollouts", action="store_true", help="drawn videos only")
    options = parser.parse_args(arguments)
    if options.num_scenes < 1:
        parser.error(f"--num-scenes must be at least 1, got {options.num_scenes}")
    return run(_measure, options, limits={})


if __name__ == "__main__":
    sys.exit(main())
