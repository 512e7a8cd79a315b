"""`tavid show`: what a saved plan holds, in words or as a Rerun recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from tavid_core.io import load_plan
from tavid_core.rerun_export import write_rerun
from tavid_core.summary import summarize_plan

__all__ = ["add_show_command", "run_show_command"]


def add_show_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Args:
        commands: Of the main parser.
    """
    parser = commands.add_parser("show", help="print what a saved plan holds")
    parser.add_argument("folder", type=Path, help="folder that `tavid plan` wrote")
    parser.add_argument(
        "--rerun",
        type=Path,
        metavar="FILE",
        help="also write it as a Rerun recording (.rrd), to scrub through in 3D with `rerun FILE`; "
        "needs the extra 'rerun'",
    )


def run_show_command(options: argparse.Namespace) -> str:
    """Read the plan, and write the recording if one is wanted.

    Args:
        options: As parsed.

    Returns:
        Some lines for a terminal.

    Raises:
        TavidError: If the plan is damaged, or rerun-sdk is not installed.
        OSError: If the file cannot be written.
    """
    plan = load_plan(options.folder)
    lines = summarize_plan(plan)
    if options.rerun is None:
        return lines
    options.rerun.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_rerun(plan, options.rerun)
    return f"{lines}\nrecording   {options.rerun}, open it with: rerun {options.rerun}"
