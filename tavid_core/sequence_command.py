"""`tavid sequence`: several interactions, each beginning where the one before ended."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.files import read_camera, read_depth, read_image, read_mask
from tavid_core.io import check_plan_folder, save_plan
from tavid_core.lifting.sources import load_mesh_body
from tavid_core.motion_parts import motion_arrays, motion_fields
from tavid_core.planner_options import PlannerFactory, add_planner_options
from tavid_core.progress_bar import ProgressBar
from tavid_core.segment import make_segmenter
from tavid_core.sequence import SequencePlan, SequenceStep, plan_sequence
from tavid_core.summary import describe_outcome
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest

__all__ = ["add_sequence_command", "run_sequence_command"]

EXAMPLE = """\
example:
  tavid sequence --image kitchen.png --out plans/tidy \\
      --step left_mug.png "The woman picks up the left mug." \\
      --step 350,380 "The woman picks up the right mug."
  writes plans/tidy/step_1, step_2, ... (each a plan folder), motion.npz and motion.json
"""


def add_sequence_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Args:
        commands: Of the main parser.
    """
    parser = commands.add_parser(
        "sequence",
        help="plan several interactions in a row",
        description="The last frame of one step is the first of the next; the targets of later "
        "steps are followed until it is their turn.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("input and output").add_argument
    add("--image", type=Path, required=True, metavar="FILE", help="the scene, png or jpg")
    add(
        "--step",
        nargs=2,
        action="append",
        required=True,
        metavar=("TARGET", "TEXT"),
        help="a mask file or a pixel X,Y on the target, both of the first image, and what happens",
    )
    add(
        "--actor-mask",
        type=Path,
        metavar="FILE",
        help="the actor in the image, for the first step: an arm acts in that one only",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--depth", type=Path, metavar="FILE", help="16-bit png in millimetres, or npy in metres")
    add("--camera", type=Path, metavar="FILE", help="json: fx fy cx cy width height, pixels")
    add_planner_options(parser)


def run_sequence_command(options: argparse.Namespace, make_planner: PlannerFactory) -> str:
    """Read the files, plan every step, and save the plans and the whole motion.

    Args:
        options: As parsed.
        make_planner: Loads the model.

    Returns:
        One line per step, and where they are.

    Raises:
        TavidError: If something given is unusable, or a step fails; the plans before it are saved.
        OSError: If a file cannot be written.
    """
    request, steps = _read_steps(options)
    folders = [options.out / f"step_{number}" for number in range(1, len(steps) + 2)]
    options.out.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        check_plan_folder(folder)
    with ProgressBar() as bar:
        body_model = load_mesh_body(options.body_fit, options.body_model)
        planner = make_planner(options)

        def show(index: int, progress: PlanProgress) -> None:
            bar.prefix = f"step {index + 1} of {len(folders)}: "
            bar.show(progress)

        def save(index: int, plan: InteractionPlan) -> None:
            save_plan(plan, folders[index], body_model=body_model)

        sequence = plan_sequence(planner, request, steps, on_progress=show, on_plan=save)
        bar.prefix = ""
        bar.name("save")
        _save_motion(sequence, options.out)
    told = [f"{folder.name}: {describe_outcome(plan)}" for folder, plan in _zip(folders, sequence)]
    return "\n".join([*told, f"plans and their motion in {options.out}"])


def _zip(folders: list[Path], sequence: SequencePlan) -> list[tuple[Path, InteractionPlan]]:
    return list(zip(folders, sequence.plans, strict=True))


def _read_steps(options: argparse.Namespace) -> tuple[PlanRequest, list[SequenceStep]]:
    image = read_image(options.image)
    masks = [_read_target(target, image) for target, _ in options.step]
    actor_mask = options.actor_mask and read_mask(options.actor_mask, image.shape[:2], "actor mask")
    request = PlanRequest(
        image=image,
        target_mask=masks[0],
        actor_mask=actor_mask,
        prompt=options.step[0][1],
        depth_m=None if options.depth is None else read_depth(options.depth),
        intrinsics=None if options.camera is None else read_camera(options.camera),
        seed=options.seed,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        num_frames=options.frames,
    )
    later = zip(masks[1:], options.step[1:], strict=True)
    return request, [
        SequenceStep(prompt=prompt, target_mask=mask, seed=options.seed)
        for mask, (_, prompt) in later
    ]


def _read_target(target: str, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    column, comma, row = target.partition(",")
    try:
        point = (float(column), float(row)) if comma else None
    except ValueError:
        point = None
    if point is None:
        path = Path(target)
        if not path.is_file():
            raise InputError(
                f"step must name a mask file or a pixel X,Y, got {target!r}. Check the path."
            )
        return read_mask(path, image.shape[:2])
    segmenter = make_segmenter("auto")
    segmenter.set_image(image)
    return segmenter.segment([point], [1], None).mask


def _save_motion(sequence: SequencePlan, folder: Path) -> None:
    motion = sequence.motion
    document = {
        "fps": sequence.fps,
        "first_frames": list(sequence.first_frames),
        "motion": motion_fields(motion),
    }
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1)
    (folder / "motion.json").write_text(text + "\n", encoding="utf-8")
    times_sec = np.arange(motion.num_frames) / sequence.fps
    np.savez_compressed(folder / "motion.npz", time_sec=times_sec, **motion_arrays(motion))
