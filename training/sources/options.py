"""The options that every source of clips has, and how a source runs.

A source's own module parses its files; all of them end in `run_conversion`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tavid_core.errors import InputError, TavidError
from training.sources.conversion import Shard, convert
from training.sources.cut_rules import CutRules
from training.sources.recording import RecordingJob

__all__ = [
    "EXIT_CODES",
    "add_conversion_options",
    "parse_shard",
    "parse_size_hw",
    "read_rules",
    "run_conversion",
]

EXIT_CODES = """exit codes:
  0  all files were read to their end
  2  nothing usable: a wrong option, or not one clip
  3  clips were written, but a file could not be read or data was lost; see OUT/report.html
"""

# What the models take: size as (width, height), frames.
PRESETS = {"5b": ((720, 480), 49), "mini": ((96, 64), 17)}


def add_conversion_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of output, rules and work to a source's parser.

    Args:
        parser: Of the source; gets the exit codes as its last words if it has none.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"{parser.epilog}\n\n{EXIT_CODES}" if parser.epilog else EXIT_CODES
    out = parser.add_argument_group("output")
    out.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="CLIPS",
        help="clip folder to write; the same command goes on where it was interrupted",
    )
    out.add_argument(
        "--report", type=Path, metavar="FILE.html", help="another copy of OUT/report.html"
    )
    out.add_argument(
        "--restart",
        action="store_true",
        help="throw away what earlier calls wrote, and begin again",
    )
    _add_rules(parser.add_argument_group("what makes a clip"))
    work = parser.add_argument_group("work")
    work.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="processes; the clips are the same for any number (default 2)",
    )
    work.add_argument(
        "--shard",
        type=_argument(parse_shard),
        metavar="K/N",
        help="convert the K-th of N parts of the files only, for several machines; "
        "`python -m training.sources.merge` joins them",
    )


def _add_rules(group: argparse._ArgumentGroup) -> None:
    default = CutRules()
    group.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        default="5b",
        help="size and length for a model: 5b is 720x480 and 49 frames, mini 96x64 and 17",
    )
    group.add_argument("--size", type=_argument(parse_size_hw), metavar="WxH", help="pixels")
    group.add_argument("--num-frames", type=int, metavar="N", help="frames of a clip, 8n + 1")
    group.add_argument("--fps", type=float, default=default.fps, help="frames per second")
    group.add_argument(
        "--min-target-share",
        type=float,
        default=default.min_target_share,
        metavar="SHARE",
        help="smallest target in frame 0, share of the picture (default 0.003)",
    )
    group.add_argument(
        "--allow-unknown-actor",
        action="store_true",
        help="also use recordings in which nobody marked the actor, neither by mask nor by hands",
    )
    group.add_argument(
        "--allow-still-target",
        action="store_true",
        help="where contact is seen in the picture only, do not ask that the target moves after it",
    )


def _argument(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show our message."""

    def convert_text(text: str) -> Any:
        try:
            return parse(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert_text


def parse_size_hw(text: str) -> tuple[int, int]:
    """Read a size.

    Args:
        text: Width and height, such as `720x480`.

    Returns:
        Rows and columns, pixels.

    Raises:
        InputError: If it is no size.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if found is None:
        raise InputError(f"size must be WIDTHxHEIGHT, got {text!r}. Write it as 720x480.")
    return int(found[2]), int(found[1])


def parse_shard(text: str) -> Shard:
    """Read which part of the files is meant.

    Args:
        text: `K/N`, from 1.

    Returns:
        The shard.

    Raises:
        InputError: If it is none.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if found is None:
        raise InputError(f"shard must be K/N, got {text!r}. The first of four is 1/4.")
    return Shard(int(found[1]), int(found[2]))


def read_rules(options: argparse.Namespace) -> CutRules:
    """Make the rules that the options name.

    Args:
        options: Of a parser with `add_conversion_options`.

    Returns:
        The rules.

    Raises:
        InputError: If a value is out of range.
    """
    (width, height), num_frames = PRESETS[options.preset]
    return CutRules(
        num_frames=num_frames if options.num_frames is None else options.num_frames,
        size_hw=options.size or (height, width),
        fps=options.fps,
        min_target_share=options.min_target_share,
        allows_unknown_actor=options.allow_unknown_actor,
        allows_still_target=options.allow_still_target,
    )


def run_conversion(
    options: argparse.Namespace,
    list_jobs: Callable[[CutRules], Sequence[RecordingJob]],
    settings: Mapping[str, Any] | None = None,
) -> int:
    """Convert what a source lists, tell it, and give the exit code.

    Args:
        options: Of a parser with `add_conversion_options`.
        list_jobs: Makes the source's jobs for the rules; may raise `TavidError`.
        settings: Options of the source that decide the clips, as JSON values; when they change,
            an earlier output is not continued.

    Returns:
        0, 2 or 3; see `EXIT_CODES`.
    """
    try:
        if options.workers < 0:
            raise InputError(f"workers must be 0 or more, got {options.workers}. Use 2.")
        rules = read_rules(options)
        report = convert(
            list_jobs(rules),
            options.out,
            rules,
            workers=options.workers,
            shard=options.shard,
            settings=settings,
            restart=options.restart,
        )
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(report.describe())
    if options.shard is not None and options.shard.count > 1:
        print(f"join the shards when all are done: python -m training.sources.merge {options.out}")
        return 3 if report.losses or report.failures else 0
    page = options.out / "report.html"
    if options.report is not None:
        options.report.write_bytes(page.read_bytes())
    print(f"look at them: {page}")
    if not report.num_clips:
        print("error: no window makes a clip; see the reasons above", file=sys.stderr)
    return report.exit_code
