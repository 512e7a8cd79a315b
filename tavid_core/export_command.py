"""`tavid export`: a saved plan in formats that other programs read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tavid_core.export import write_motion_csv
from tavid_core.io import load_plan
from tavid_core.types import InteractionPlan

__all__ = ["add_export_command", "run_export_command"]

Writer = Callable[[InteractionPlan, Path], None]

EXAMPLE = """\
example:
  tavid export plans/mug --to csv --out mug.csv
"""


def _write_csv(plan: InteractionPlan, path: Path) -> None:
    write_motion_csv(plan.motion, plan.rollout.fps, path)


FORMATS: dict[str, Writer] = {"csv": _write_csv}


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
    parser.add_argument("--to", required=True, choices=sorted(FORMATS), help="the format")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")


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
    FORMATS[options.to](plan, options.out)
    return f"{plan.motion.num_frames} frames as {options.to} in {options.out}"
