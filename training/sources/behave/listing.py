"""Which sequences of BEHAVE there are, and which files belong to each."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tavid_core.errors import InputError
from training.sources.behave.sequence import SequenceJob
from training.sources.behave.sequence_name import SequenceName
from training.sources.json_file import read_json_object

__all__ = ["list_sequence_jobs", "read_error_sequences", "read_split"]


def list_sequence_jobs(
    root: Path,
    fps: float,
    *,
    videos: Path | None = None,
    masks: Path | None = None,
    params: Path | None = None,
    only: Collection[str] | None = None,
    leave_out: Collection[str] = (),
) -> list[SequenceJob]:
    """List the sequences that have frames or videos.

    Args:
        root: Of the data set, with `calibs`, `objects` and `sequences`.
        fps: Moments per second wanted.
        videos: Where `SEQ.K.color.mp4` and `SEQ.K.time.json` lie, also in folders below.
        masks: With one folder of masks per sequence.
        params: With one folder of registrations per sequence.
        only: Names to take; None for all.
        leave_out: Names to leave out.

    Returns:
        One job per sequence.

    Raises:
        InputError: If there is none.
    """
    frames = _list_folders(root / "sequences")
    videos_by_name = {
        path.name.removesuffix(f".{k}.color.mp4"): path.parent
        for k in range(4)
        for path in (sorted(videos.rglob(f"*.{k}.color.mp4")) if videos else ())
    }
    names = sorted({*frames, *videos_by_name})
    chosen = [n for n in names if (only is None or n in only) and n not in leave_out]
    if not chosen:
        raise InputError(
            f"{root} must hold sequences, or --videos their videos, got none that is wanted. "
            "Check the paths and the names."
        )
    annotated = {"masks": _list_folders(masks), "params": _list_folders(params)}
    return [
        SequenceJob(
            name=name,
            root=root,
            frames=frames.get(name),
            videos=videos_by_name.get(name),
            **{key: _find_parts(name, found, names) for key, found in annotated.items()},
            fps=fps,
        )
        for name in chosen
    ]


def _list_folders(parent: Path | None) -> dict[str, Path]:
    if parent is None or not parent.is_dir():
        return {}
    return {path.name: path for path in sorted(parent.iterdir()) if path.is_dir()}


def _find_parts(name: str, found: dict[str, Path], recorded: Collection[str]) -> tuple[Path, ...]:
    """Find the folders of a recording: registrations were split in two where they failed."""
    parts = [found[name]] if name in found else []
    for other, path in found.items():
        parsed = SequenceName.parse(other)
        if other not in recorded and parsed is not None and parsed.recorded_name == name:
            parts.append(path)
    return tuple(parts)


def read_error_sequences(path: Path) -> list[str]:
    """Read which sequences have wrong registrations.

    Args:
        path: `behave-30fps-error_frames.json`, with `error_seqs` and `good_quality`.

    Returns:
        The names under `error_seqs`.

    Raises:
        InputError: If it cannot be read or lacks them.
    """
    return _read_names(read_json_object(path), "error_seqs", path)


def read_split(root: Path, split: str) -> list[str]:
    """Read which sequences belong to a split.

    Args:
        root: Of the data set, with `split.json`.
        split: "train" or "test".

    Returns:
        Their names.

    Raises:
        InputError: If it cannot be read or lacks them.
    """
    return _read_names(read_json_object(root / "split.json"), split, root / "split.json")


def _read_names(fields: dict[str, Any], key: str, path: Path) -> list[str]:
    names = fields.get(key)
    # A list of names, or what is wrong by name.
    if not isinstance(names, list | dict) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path.name} must hold names under {key}, got none: {path}. Copy it.")
    return list(names)
