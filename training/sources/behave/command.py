"""The command that turns BEHAVE into clips."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tavid_core.errors import InputError
from training.sources.behave.listing import list_sequence_jobs, read_error_sequences, read_split
from training.sources.behave.pack import list_pack_jobs
from training.sources.cut_rules import CutRules
from training.sources.options import add_conversion_options, run_conversion
from training.sources.recording import RecordingJob

__all__ = ["main"]

DESCRIPTION = """Turn BEHAVE into clips, in each of its published forms.

The data is for non-commercial research; faces must be blurred in publications. Get it from its
authors. The frames at 1 per second alone are too slow for clips of motion: add the videos.
"""

EXAMPLES = """examples:
  python -m training.sources.behave BEHAVE --videos VIDEOS --masks MASKS --out CLIPS
  python -m training.sources.behave BEHAVE --videos VIDEOS --masks MASKS \\
      --params behave-30fps-params-v1 --split train --out CLIPS --workers 8
  python -m training.sources.behave --packs RHOBIN/train --out CLIPS
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m training.sources.behave`.

    Args:
        arguments: Of the command line; those of the process if None.

    Returns:
        The exit code.
    """
    options = _parse(arguments)

    def list_jobs(rules: CutRules) -> list[RecordingJob]:
        if options.packs is not None:
            return list(list_pack_jobs(options.packs, rules.fps))
        if options.root is None:
            raise InputError("behave must be given its folder or --packs, got neither. Name one.")
        only = set(options.only) if options.only else None
        if options.split is not None:
            names = set(read_split(options.root, options.split))
            only = names if only is None else only & names
        wrong = read_error_sequences(options.error_list) if options.error_list else []
        if wrong:
            told = f"left out for wrong registrations: {', '.join(sorted(wrong))}"
            print(told, file=sys.stderr)
        jobs = list_sequence_jobs(
            options.root,
            rules.fps,
            videos=options.videos,
            masks=options.masks,
            params=options.params,
            only=only,
            leave_out=wrong,
        )
        return list(jobs)

    # Folders by their names only: shards on other machines may have them elsewhere.
    paths = {key: getattr(options, key) for key in ("root", "videos", "masks", "params", "packs")}
    settings = {key: path and path.resolve().name for key, path in paths.items()}
    return run_conversion(options, list_jobs, {**settings, "split": options.split})


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.behave", description=DESCRIPTION, epilog=EXAMPLES
    )
    parser.add_argument(
        "root", type=Path, nargs="?", metavar="BEHAVE", help="with calibs, objects, sequences"
    )
    parser.add_argument(
        "--videos", type=Path, help="where SEQ.K.color.mp4 and SEQ.K.time.json lie (30 fps)"
    )
    parser.add_argument("--masks", type=Path, help="unpacked masks, one folder a sequence")
    parser.add_argument("--params", type=Path, help="behave-30fps-params-v1, unpacked")
    parser.add_argument("--packs", type=Path, help="packs of the RHOBIN challenge instead")
    parser.add_argument("--split", choices=("train", "test"), help="of BEHAVE/split.json")
    parser.add_argument("--only", nargs="+", metavar="SEQ", help="names of sequences")
    parser.add_argument(
        "--error-list",
        type=Path,
        metavar="FILE",
        help="behave-30fps-error_frames.json: its error_seqs are named and left out",
    )
    add_conversion_options(parser)
    return parser.parse_args(arguments)
