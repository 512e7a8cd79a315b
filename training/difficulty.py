"""Fix how hard the scenes of the results are: `python -m training.difficulty --log RUNS.jsonl`.

Where every row is near chance or near 1, a table says nothing. So the scenes are chosen, among some
of the validation split, by one row's rate alone: nearest to the middle of chance and 1. Nothing
that is measured on held-out scenes is looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from tavid_core.errors import InputError, TavidError
from training.results_table import collect
from training.run_log import RunLog

__all__ = ["choose_difficulty", "main"]

EXAMPLE = """\
example:
  python -m training.difficulty --log runs/results/runs.jsonl --row lambda_0 --scenes \\
      3=harder_validation_3_sloppy 5=harder_validation_5_sloppy
"""


def choose_difficulty(log: RunLog, row: str, scenes: Mapping[int, str]) -> int:
    """Choose the number of look-alikes.

    Args:
        log: Holds the row's measurements on these scenes.
        row: Whose rates decide.
        scenes: Names of validation scenes by their number of look-alikes, 2 or more.

    Returns:
        The number; of two that are as good, the smaller.

    Raises:
        InputError: If some scenes were not measured.
    """
    rates = {found.scenes: found.target_contact for found in collect(log) if found.name == row}
    missing = [name for name in scenes.values() if name not in rates]
    if missing or not scenes:
        raise InputError(
            f"log must hold {row} on all scenes to choose from, got none on {missing}. "
            "Measure it with training.ablate."
        )
    return min(sorted(scenes), key=lambda number: _far(number, rates[scenes[number]]))


def _far(num_look_alikes: int, rate: float) -> float:
    return abs(rate - (1 / num_look_alikes + 1) / 2)


def _read_scenes(text: str) -> tuple[int, str]:
    number, _, name = text.partition("=")
    if not (number.isascii() and number.isdigit() and int(number) > 1 and name):
        raise argparse.ArgumentTypeError(f"scenes must be NUMBER=NAME, 2 or more, got {text!r}")
    return int(number), name


def main(arguments: list[str] | None = None) -> int:
    """Print the number of look-alikes.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the log is unusable.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.difficulty",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--log", type=Path, required=True, metavar="FILE")
    parser.add_argument("--row", default="lambda_0", help="whose rates decide [lambda_0]")
    parser.add_argument(
        "--scenes",
        type=_read_scenes,
        nargs="+",
        required=True,
        metavar="NUMBER=NAME",
        help="look-alikes, and what the log calls the scenes",
    )
    options = parser.parse_args(arguments)
    try:
        print(choose_difficulty(RunLog(options.log), options.row, dict(options.scenes)))
    except TavidError as error:
        print(f"difficulty: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
