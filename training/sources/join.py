"""Join clip folders of several sources into one, or draw some clips of them."""

from __future__ import annotations

import argparse
import dataclasses
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tavid_core.errors import InputError, TavidError
from training.clips import METADATA_NAME, ClipRecord, read_records
from training.sources.job_state import write_atomically
from training.sources.safe_names import safe_name

__all__ = ["join_clips", "main"]

EXAMPLES = """examples:
  python -m training.sources.join runs/data/behave runs/data/egoexo4d --out runs/data/all
  python -m training.sources.join behave egoexo4d --num-clips 1290 --seed 0 --out paper
"""

_FILES = ("file_name", "mask_file", "actor_mask_file", "truth_file")


def join_clips(
    folders: Sequence[Path], out: Path, *, num_clips: int | None = None, seed: int = 0
) -> list[ClipRecord]:
    """Copy clips into one folder; those of a folder come under its name.

    Args:
        folders: Clip folders of any sources.
        out: New or empty.
        num_clips: How many to draw; None for all.
        seed: Of the draw; the same clips for the same folders.

    Returns:
        The records of the new folder.

    Raises:
        InputError: If a folder cannot be read, two have one name, `out` holds something, or there
            are fewer clips.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out must be new or empty, got {out}. Name another folder.")
    names = [safe_name(folder.resolve().name) for folder in folders]
    if len(set(names)) != len(names):
        raise InputError(f"folders must have different names, got {names}. Rename one.")
    found = [
        (folder, name, record)
        for folder, name in zip(folders, names, strict=True)
        for record in read_records(folder)
    ]
    if num_clips is not None:
        if not 0 < num_clips <= len(found):
            raise InputError(
                f"num_clips must be in 1..{len(found)}, got {num_clips}. The folders hold no more."
            )
        chosen = sorted(random.Random(seed).sample(range(len(found)), num_clips))  # noqa: S311
        found = [found[index] for index in chosen]
    joined = [
        _copy(folder, name, record, out)
        for folder, name, record in tqdm(found, "copy", unit="clip", disable=None)
    ]
    # Last, so that a folder with metadata is whole.
    write_atomically(out / METADATA_NAME, "".join(record.to_json() + "\n" for record in joined))
    return joined


def _copy(folder: Path, name: str, record: ClipRecord, out: Path) -> ClipRecord:
    def copy(path: str | None) -> str | None:
        if path is None:
            return None
        target = out / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(folder / path, target)
        except OSError as error:
            raise InputError(
                f"{path} must be readable, got {error.strerror}: {folder}. Convert it again."
            ) from error
        return f"{name}/{path}"

    moved = {field: copy(getattr(record, field)) for field in _FILES}
    extra = tuple(str(copy(path)) for path in record.extra_mask_files)
    return dataclasses.replace(record, **moved, extra_mask_files=extra)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m training.sources.join`.

    Args:
        arguments: Of the command line; those of the process if None.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.join",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="CLIPS", help="clip folders")
    parser.add_argument("--out", type=Path, required=True, help="new clip folder")
    parser.add_argument("--num-clips", type=int, metavar="N", help="draw so many; default all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    options = parser.parse_args(arguments)
    try:
        joined = join_clips(
            options.folders, options.out, num_clips=options.num_clips, seed=options.seed
        )
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(joined)} clips in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
