"""The command line of `python -m training.sources.bags`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tavid_core.errors import InputError, TavidError
from training.sources.bags.inspection import Inspection, draft_map
from training.sources.bags.job import BagJob
from training.sources.bags.reader import inspect_in_process
from training.sources.bags.settings import BagSettings
from training.sources.bags.topic_map import TopicMap, read_topic_map
from training.sources.cut_rules import CutRules
from training.sources.mask_options import add_mask_options, add_masks, read_mask_maker
from training.sources.options import add_conversion_options, run_conversion
from training.sources.recording import RecordingJob

__all__ = ["main"]

_EXAMPLES = """examples:
  what is in a bag, and a first topic map to correct:
    python -m training.sources.bags evening/ --inspect --topics topics.yaml
  all bags of a folder to clips for the 5B model:
    python -m training.sources.bags bags/* --topics topics.yaml --out clips
  an unmapped bag, its topics guessed, for the mini model:
    python -m training.sources.bags evening.mcap --preset mini --out clips"""


def main(arguments: list[str] | None = None) -> int:
    """Inspect a bag, or convert bags to clips.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--inspect" in arguments:
        return _inspect(_make_inspect_parser().parse_args(arguments))
    options = _make_parser().parse_args(arguments)

    try:
        topic_map = _find_map(options)
        maker = read_mask_maker(options)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def list_jobs(rules: CutRules) -> Sequence[RecordingJob]:
        settings = BagSettings(topic_map=topic_map, size_hw=rules.size_hw, fps=rules.fps)
        names = name_bags(options.bags)
        jobs = [
            BagJob(name=name, bag=bag, settings=settings, licence=options.licence)
            for name, bag in zip(names, options.bags, strict=True)
        ]
        return add_masks(jobs, maker)

    settings = {
        "topics": topic_map.to_yaml(), "licence": options.licence, "masks": maker.settings(),
    }  # fmt: skip
    return run_conversion(options, list_jobs, settings)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.bags",
        description="Cut clips out of recorded rosbag2 bags (MCAP or SQLite); needs no ROS.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="bag folder or file")
    parser.add_argument(
        "--topics", type=Path, metavar="MAP.yaml",
        help="which topic is what; guessed from the first bag if left out",
    )  # fmt: skip
    parser.add_argument("--inspect", action="store_true", help="only tell what is in a bag")
    parser.add_argument("--prompt", default="", help="what happens, where the bag does not say it")
    parser.add_argument("--licence", default="unknown", help="of the bags; kept with the clips")
    add_mask_options(parser)
    add_conversion_options(parser)
    return parser


def _make_inspect_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.bags",
        description="Tell which topics a bag has, and write a first topic map.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bag", type=Path, metavar="BAG", help="bag folder or file")
    parser.add_argument("--inspect", action="store_true", required=True)
    parser.add_argument(
        "--topics", type=Path, metavar="MAP.yaml", help="write the map here, if it is not there yet"
    )
    return parser


def _find_map(options: argparse.Namespace) -> TopicMap:
    if options.topics is not None:
        topic_map = read_topic_map(options.topics)
    else:
        topic_map = draft_map(inspect_in_process(options.bags[0]))
        told = f"topics were guessed from {options.bags[0].name}; --inspect shows them"
        print(told, file=sys.stderr)
    if options.prompt:
        fields = {name: getattr(topic_map, name) for name in topic_map.__dataclass_fields__}
        topic_map = TopicMap(**{**fields, "prompt_text": options.prompt})
    return topic_map


def name_bags(bags: Sequence[Path]) -> list[str]:
    """Name bags by their files, with a number where two have the same.

    Args:
        bags: Folders or files.

    Returns:
        One name for each; letters, digits, - and _.
    """
    names: list[str] = []
    for bag in bags:
        stem = bag.absolute().name
        for suffix in (".zstd", ".mcap", ".db3"):
            stem = stem.removesuffix(suffix)
        letters = [c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem[:60]]
        plain = name = "".join(letters) or "bag"
        number = 2
        while name in names:
            name, number = f"{plain}_{number}", number + 1
        names.append(name)
    return names


def _inspect(options: argparse.Namespace) -> int:
    try:
        inspection = inspect_in_process(options.bag)
        print(make_table(inspection))
        topic_map = draft_map(inspection)
        if options.topics is None:
            print(f"\na first topic map (--topics MAP.yaml writes it):\n\n{topic_map.to_yaml()}")
            return _exit_code(inspection)
        if options.topics.exists():
            raise InputError(
                f"topics must be a new file, got {options.topics}, which is there. "
                "Name another, or remove it."
            )
        options.topics.write_text(topic_map.to_yaml(), encoding="utf-8")
        print(f"\nwrote {options.topics}: look at it, and correct it")
        return _exit_code(inspection)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _exit_code(inspection: Inspection) -> int:
    is_lossy = any(topic.num_lost for topic in inspection.topics)
    return 3 if is_lossy or any(note.is_loss for note in inspection.notes) else 0


def make_table(inspection: Inspection) -> str:
    """Lay the topics out.

    Args:
        inspection: Of a bag.

    Returns:
        Lines of text.
    """
    rows = [("topic", "type", "messages", "lost", "Hz", "longest gap", "first message")]
    rows += [
        (
            _printable(topic.name),
            _printable(topic.type_name),
            str(topic.num_messages),
            str(topic.num_lost),
            f"{topic.rate_hz:.1f}",
            f"{topic.longest_gap_sec:.2f} s",
            _printable(topic.what),
        )
        for topic in inspection.topics
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    for note in inspection.notes:
        kind = "LOST" if note.is_loss else "note"
        lines.append(f"{kind}: {_printable(note.reason)} {_printable(note.detail)}".rstrip())
    return "\n".join(lines)


def _printable(text: str) -> str:
    """Keep a bag from writing control characters to the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:80])
