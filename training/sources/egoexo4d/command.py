"""The command that turns Ego-Exo4D into clips."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.sources.cut_rules import CutRules
from training.sources.egoexo4d.listing import SPLITS, list_take_jobs
from training.sources.egoexo4d.take import TakeJob
from training.sources.options import add_conversion_options, run_conversion

__all__ = ["main"]

DESCRIPTION = """Turn Ego-Exo4D into clips: one for each described touch that a still camera sees.

The data needs a signed licence. What is needed of it:
  egoexo -o EGOEXO --parts metadata annotations takes --benchmarks correspondence --views exo
"""

EXAMPLES = """examples:
  python -m training.sources.egoexo4d EGOEXO --out CLIPS --workers 8
  python -m training.sources.egoexo4d EGOEXO --downscaled --splits train val --out CLIPS
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m training.sources.egoexo4d`.

    Args:
        arguments: Of the command line; those of the process if None.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.egoexo4d", description=DESCRIPTION, epilog=EXAMPLES
    )
    parser.add_argument(
        "root", type=Path, metavar="EGOEXO", help="with takes.json, annotations, takes"
    )
    parser.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=["train"], help="default: train"
    )
    parser.add_argument("--only", nargs="+", metavar="TAKE", help="names of takes")
    parser.add_argument(
        "--downscaled",
        action="store_true",
        help="read the videos with 448 pixels on the short side (--parts downscaled_takes/448)",
    )
    add_conversion_options(parser)
    options = parser.parse_args(arguments)

    def list_jobs(rules: CutRules) -> list[TakeJob]:
        only = set(options.only) if options.only else None
        return list_take_jobs(
            options.root,
            rules,
            splits=options.splits,
            only=only,
            downscaled=options.downscaled,
        )

    return run_conversion(options, list_jobs, {"downscaled": options.downscaled})
