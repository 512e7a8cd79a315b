"""The command that turns a folder of videos with masks into clips."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from tavid_core.errors import TavidError
from training.sources.cut_rules import CutRules
from training.sources.mask_options import add_mask_options, add_masks, read_mask_maker
from training.sources.options import add_conversion_options, run_conversion
from training.sources.recording import RecordingJob
from training.sources.video.captions import read_notes
from training.sources.video.folder import list_video_jobs

__all__ = ["main"]

DESCRIPTION = """Turn a folder of videos with masks into clips.

Beside NAME.mp4 lies NAME_mask.png, the target in its first frame (or NAME_mask.mp4, or a folder
NAME_mask of pictures numbered by frame from 0), and, if you have it, NAME_actor.* in the same ways,
NAME.txt with the caption, and NAME.camera.json with fx, fy, cx, cy, width, height. Videos without
masks can be used too: point at the target once (--clicks), or let it be found by its motion.
"""

EXAMPLES = """examples:
  python -m training.sources.video LAB --out CLIPS --caption "A person lifts the mug."
  python -m training.sources.video LAB --out CLIPS --captions LAB/captions.csv --licence CC-BY-4.0
  python -m training.sources.video LAB --out CLIPS --captions LAB/captions.csv --masks-from-motion

captions.csv:
  file_name,text,contact_sec
  pick_mug.mp4,A person lifts the blue mug.,2.4
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m training.sources.video`.

    Args:
        arguments: Of the command line; those of the process if None.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.video", description=DESCRIPTION, epilog=EXAMPLES
    )
    parser.add_argument("folder", type=Path, help="videos, also in folders below it")
    parser.add_argument(
        "--captions",
        type=Path,
        metavar="FILE",
        help="CSV or JSONL with file_name, text and, if known, contact_sec; or .txt with a file "
        "name, a tab and a caption on each line",
    )
    parser.add_argument("--caption", metavar="TEXT", help="for every video without its own")
    parser.add_argument("--source", default="video", metavar="NAME", help="name of the data set")
    parser.add_argument(
        "--licence", default="unknown", metavar="NAME", help="of the videos; kept with each clip"
    )
    add_mask_options(parser)
    add_conversion_options(parser)
    options = parser.parse_args(arguments)

    try:
        maker = read_mask_maker(options)
        notes = read_notes(options.captions) if options.captions else {}
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def list_jobs(rules: CutRules) -> Sequence[RecordingJob]:
        jobs = list_video_jobs(
            options.folder,
            rules.fps,
            notes=notes,
            caption=options.caption,
            source=options.source,
            licence=options.licence,
            needs_masks=not maker.makes_any,
        )
        return add_masks(jobs, maker)

    settings = {"source": options.source, "licence": options.licence, "caption": options.caption}
    settings["masks"] = maker.settings()
    settings["captions"] = {name: dataclasses.asdict(note) for name, note in notes.items()}
    return run_conversion(options, list_jobs, settings)
