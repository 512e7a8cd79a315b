"""The command line that the benchmarks of the nodes have in common."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping

from tqdm import tqdm

from benchmarks.summary import Figure, format_json, format_table
from tavid_core.errors import TavidError

__all__ = ["make_bar", "make_parser", "run"]


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Make a parser with the options that all have.

    Args:
        name: Of the benchmark's module.
        description: Its docstring.

    Returns:
        The parser.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON, not a table")
    return parser


def make_bar(num_steps: int, name: str) -> tqdm:
    """Make the bar of one part of a benchmark.

    Args:
        num_steps: Of the part.
        name: Shown on the left.

    Returns:
        A context manager, on stderr.
    """
    return tqdm(total=num_steps, desc=name, unit="", file=sys.stderr, mininterval=0.5)


def run(
    measure: Callable[[argparse.Namespace], Mapping[str, Figure]],
    options: argparse.Namespace,
    limits: Mapping[str, str],
) -> int:
    """Measure and print; a signal ends what was started before it ends the program.

    Args:
        measure: Takes the options.
        options: Of `make_parser`.
        limits: What figures should be, see `format_table`.

    Returns:
        Exit status: 0, 1 if something could not be measured, 130 after a signal.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        figures = measure(options)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ended by a signal", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    print(format_json(figures) if options.json else format_table(figures, limits))
    return 0
