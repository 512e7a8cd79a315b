"""Join the parts of a conversion that ran as shards, on one machine or on several."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tavid_core.errors import InputError, TavidError
from training.sources.conversion import assemble, list_shards
from training.sources.conversion_report import ConversionReport
from training.sources.job import PARTS
from training.sources.job_state import STATE
from training.sources.options import EXIT_CODES

__all__ = ["main", "merge"]

EXAMPLES = """examples:
  # four shards wrote into one folder that all machines see
  python -m training.sources.merge runs/data/bags

  # two machines wrote into folders of their own
  python -m training.sources.merge machine_1/bags machine_2/bags --out runs/data/bags
"""


def merge(folders: Sequence[Path], out: Path) -> ConversionReport:
    """Check that all shards are there, and write the report and `metadata.jsonl`.

    Args:
        folders: Clip folders of the shards; all began with the same rules.
        out: Where to; the only folder itself, or a new one that gets copies.

    Returns:
        What was kept and left out, of all shards.

    Raises:
        InputError: If a shard is missing, rules differ, or `out` holds something else.
    """
    for folder in folders:
        if not (folder / STATE / "rules.json").is_file():
            raise InputError(
                f"folder must be of a conversion, got {folder}. Name the --out of a shard."
            )
    rules = {(folder / STATE / "rules.json").read_bytes() for folder in folders}
    if len(rules) != 1:
        raise InputError(
            f"shards must have the same rules, got {len(rules)} different ones. "
            "Convert them with the same options."
        )
    if [folder.resolve() for folder in folders] != [out.resolve()]:
        _copy(folders, out)
    return assemble(out, list_shards(out))


def _copy(folders: Sequence[Path], out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out must be new or empty, got {out}. Name another folder.")
    (out / STATE).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folders[0] / STATE / "rules.json", out / STATE / "rules.json")
    parts = (*PARTS, f"{STATE}/jobs", f"{STATE}/shards")
    files = [
        (folder, path)
        for folder in folders
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.is_file() and path.suffix != ".part"
    ]
    for folder, path in tqdm(files, "copy", unit="file"):
        target = out / path.relative_to(folder)
        if target.exists():
            raise InputError(
                f"shards must not overlap, got {path.relative_to(folder)} twice. "
                "Give each machine its own K of --shard K/N."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.merge",
        description=__doc__,
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, help="clip folders of the shards")
    parser.add_argument("--out", type=Path, help="folder to copy to; needed for more than one")
    options = parser.parse_args(arguments)
    try:
        if options.out is None and len(options.folders) > 1:
            raise InputError("out must be named for several folders, got none. Add --out CLIPS.")
        report = merge(options.folders, options.out or options.folders[0])
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.describe())
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
