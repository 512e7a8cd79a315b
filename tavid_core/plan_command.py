"""`tavid plan`: from files to a plan folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from tavid_core.files import read_camera, read_depth, read_image, read_mask
from tavid_core.io import check_plan_folder, save_plan
from tavid_core.lifting.sources import load_mesh_body
from tavid_core.planner_options import PlannerFactory, add_planner_options
from tavid_core.progress_bar import ProgressBar
from tavid_core.summary import describe_outcome
from tavid_core.types import PlanRequest

__all__ = ["PLAN_EXAMPLE", "add_plan_command", "run_plan_command"]

PLAN_EXAMPLE = """\
example:
  tavid segment --image kitchen.png --point 350 380 --out left_mug.png
  tavid plan --image kitchen.png --mask left_mug.png --out plans/left_mug \\
      --prompt "The woman picks up the left mug."
  then open plans/left_mug/plan.html, or: tavid show plans/left_mug
"""


def add_plan_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Args:
        commands: Of the main parser.
    """
    plan = commands.add_parser(
        "plan",
        help="make a plan from files",
        epilog=PLAN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_inputs(plan)
    add_planner_options(plan)


def run_plan_command(options: argparse.Namespace, make_planner: PlannerFactory) -> str:
    """Read the files, plan, and save the plan.

    Args:
        options: As parsed.
        make_planner: Loads the model.

    Returns:
        One line: the outcome, and where the plan is.

    Raises:
        TavidError: If something given is unusable, or the planner fails.
        OSError: If a file cannot be written.
    """
    request = _read_request(options)
    options.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    # Before minutes of planning, not after them.
    check_plan_folder(options.out)
    body_model = load_mesh_body(options.body_fit, options.body_model)
    with ProgressBar() as bar:
        plan = make_planner(options).plan(request, bar.show)
        bar.name("save")
        save_plan(plan, options.out, body_model=body_model)
    return f"{describe_outcome(plan)}; plan in {options.out}, open {options.out / 'plan.html'}"


def _read_request(options: argparse.Namespace) -> PlanRequest:
    image = read_image(options.image)
    size_hw = image.shape[:2]
    actor_mask = options.actor_mask and read_mask(options.actor_mask, size_hw, "actor mask")
    extra_masks = tuple(read_mask(path, size_hw, "extra mask") for path in options.extra_mask)
    return PlanRequest(
        image=image,
        target_mask=read_mask(options.mask, size_hw),
        prompt=options.prompt,
        actor_mask=actor_mask,
        extra_masks=extra_masks,
        depth_m=None if options.depth is None else read_depth(options.depth),
        intrinsics=None if options.camera is None else read_camera(options.camera),
        seed=options.seed,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        num_frames=options.frames,
        num_candidates=options.candidates,
    )


def _add_inputs(plan: argparse.ArgumentParser) -> None:
    inputs = plan.add_argument_group("input and output")
    add = inputs.add_argument
    add("--image", type=Path, required=True, metavar="FILE", help="the scene, png or jpg")
    add(
        "--mask",
        type=Path,
        required=True,
        metavar="FILE",
        help="the target, png of the image's aspect; bright and opaque pixels are marked "
        "(with one colour only, the alpha channel is the mask)",
    )
    add("--prompt", required=True, metavar="TEXT", help="what should happen, one sentence")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write; an earlier plan there is replaced",
    )
    add("--actor-mask", type=Path, metavar="FILE", help="where the person or arm is, as --mask")
    add(
        "--extra-mask",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a further target, for adapters with more than two mask slots; may be repeated",
    )
    add("--depth", type=Path, metavar="FILE", help="16-bit png in millimetres, or npy in metres")
    add("--camera", type=Path, metavar="FILE", help="json: fx fy cx cy width height, pixels")
