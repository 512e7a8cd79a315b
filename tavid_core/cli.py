"""The `tavid` command: mark a target, plan from files, show plans and hand them on.

Exit codes: 0 done, 1 failed, 2 the input is unusable, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Sequence

from tavid_core.download_command import add_download_command, run_download_command
from tavid_core.errors import ErrorCode, TavidError
from tavid_core.export_command import add_export_command, run_export_command
from tavid_core.plan_command import PLAN_EXAMPLE, add_plan_command, run_plan_command
from tavid_core.planner_options import PlannerFactory, load_planner
from tavid_core.retarget_command import add_retarget_command, run_retarget_command
from tavid_core.segment_command import add_segment_command, run_segment_command
from tavid_core.sequence_command import add_sequence_command, run_sequence_command
from tavid_core.show_command import add_show_command, run_show_command

__all__ = ["main"]

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None, make_planner: PlannerFactory | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words after `tavid`, or None for the process's own.
        make_planner: Loads the model; the real one if None.

    Returns:
        The exit code.
    """
    options = _make_parser().parse_args(arguments)
    try:
        print(_commands(make_planner or load_planner)[options.command](options))
    except TavidError as error:
        print(f"tavid: {_one_line(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT if error.code is ErrorCode.INVALID_INPUT else EXIT_FAILED
    except OSError as error:
        print(f"tavid: {_one_line(error)}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("tavid: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _commands(make_planner: PlannerFactory) -> dict[str, Callable[[argparse.Namespace], str]]:
    return {
        "segment": run_segment_command,
        "plan": lambda options: run_plan_command(options, make_planner),
        "sequence": lambda options: run_sequence_command(options, make_planner),
        "show": run_show_command,
        "retarget": run_retarget_command,
        "export": run_export_command,
        "download": run_download_command,
    }


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tavid",
        description="Point at an object and see it happen: from an image, a mask and a sentence "
        "to an imagined video and a 3D motion.",
        epilog=PLAN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tavid {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_segment_command(commands)
    add_plan_command(commands)
    add_sequence_command(commands)
    add_show_command(commands)
    add_retarget_command(commands)
    add_export_command(commands)
    add_download_command(commands)
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("tavid")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
