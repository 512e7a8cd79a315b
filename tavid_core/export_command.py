"""`tavid export`: a saved plan in formats that other programs read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tavid_core.export import write_motion_csv
from tavid_core.export_body import write_physhoi, write_smplx
from tavid_core.export_glb import render_glb
from tavid_core.io import load_plan
from tavid_core.lifting.body_model import STANDIN, BodyModel, load_body_model
from tavid_core.types import InteractionPlan

__all__ = ["add_export_command", "run_export_command"]

Writer = Callable[[InteractionPlan, Path, BodyModel | None], None]

EXAMPLE = """\
example:
  tavid export plans/mug --to csv --out mug.csv
  tavid plan ... --body-fit joints --out plans/mug
  tavid export plans/mug --to smplx --out mug_body.npz
"""


def _write_csv(plan: InteractionPlan, path: Path, _body_model: BodyModel | None) -> None:
    write_motion_csv(plan.motion, plan.rollout.fps, path)


def _write_glb(plan: InteractionPlan, path: Path, body_model: BodyModel | None) -> None:
    fit = plan.motion.body_fit
    if body_model is None and fit is not None and fit.model == STANDIN:
        body_model = load_body_model()
    path.write_bytes(render_glb(plan, body_model))


def _write_smplx(plan: InteractionPlan, path: Path, body_model: BodyModel | None) -> None:
    write_smplx(plan.motion, plan.rollout.fps, path, body_model)


def _write_physhoi(plan: InteractionPlan, path: Path, body_model: BodyModel | None) -> None:
    write_physhoi(plan.motion, plan.rollout.fps, path, body_model)


FORMATS: dict[str, Writer] = {
    "csv": _write_csv,
    "glb": _write_glb,
    "physhoi": _write_physhoi,
    "smplx": _write_smplx,
}


def add_export_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Args:
        commands: Of the main parser.
    """
    parser = commands.add_parser(
        "export",
        help="write a plan's motion for other programs",
        description="Positions are metres in the camera's optical frame: x right, y down, z "
        "forward. docs/plan_files.md describes every format.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder that `tavid plan` wrote")
    parser.add_argument(
        "--to",
        required=True,
        choices=sorted(FORMATS),
        help="csv: hands and target as a table; glb: an animated 3D scene for Blender and others; "
        "smplx: the fitted body as npz; physhoi: body, target and contact as a torch tensor",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--body-model",
        type=Path,
        metavar="FILE",
        help="npz that the body was fitted with, if it was not the stand-in",
    )


def run_export_command(options: argparse.Namespace) -> str:
    """Read the plan and write the file.

    Args:
        options: As parsed.

    Returns:
        One line: what was written.

    Raises:
        TavidError: If the plan is damaged, or has not what the format needs.
        OSError: If the file cannot be written.
    """
    plan = load_plan(options.folder)
    options.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    body_model = None if options.body_model is None else load_body_model(options.body_model)
    FORMATS[options.to](plan, options.out, body_model)
    return f"{plan.motion.num_frames} frames as {options.to} in {options.out}"
