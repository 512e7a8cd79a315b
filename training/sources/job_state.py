"""What a conversion knows about each file it has done, kept so that it can go on."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tavid_core.errors import InputError
from training.clips import ClipRecord, parse_record
from training.sources.recording import SourceNote

__all__ = [
    "STATE",
    "JobResult",
    "KeptClip",
    "RejectedEntry",
    "progress_path",
    "read_progress",
    "read_result",
    "result_path",
    "write_atomically",
    "write_result",
]

STATE = "conversion"


@dataclasses.dataclass(frozen=True)
class KeptClip:
    """A clip that was written.

    Args:
        record: Its line of `metadata.jsonl`.
        picture: For the report, relative to the clip folder.
    """

    record: ClipRecord
    picture: str


@dataclasses.dataclass(frozen=True)
class RejectedEntry:
    """A window that was left out.

    Args:
        recording: Its name.
        start: Frame in it.
        reason: Why.
        detail: Values that decided, or "".
        picture: For the report, relative to the clip folder, or "".
    """

    recording: str
    start: int
    reason: str
    detail: str
    picture: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobResult:
    """What became of one file.

    Args:
        name: Of the job.
        stamp: Tells whether the file is still the same.
        clips: What was kept.
        rejected: What was left out.
        notes: What the source told.
        error: Why the file could not be read, or not to its end; or "".
    """

    name: str
    stamp: str
    clips: tuple[KeptClip, ...] = ()
    rejected: tuple[RejectedEntry, ...] = ()
    notes: tuple[SourceNote, ...] = ()
    error: str = ""


def result_path(out: Path, name: str) -> Path:
    """Say where a job's result lies.

    Args:
        out: The clip folder.
        name: Of the job.

    Returns:
        The path.
    """
    return out / STATE / "jobs" / f"{name}.json"


def progress_path(out: Path, name: str) -> Path:
    """Say where a job tells how far it is while it runs.

    Args:
        out: The clip folder.
        name: Of the job.

    Returns:
        The path.
    """
    return out / STATE / "progress" / name


def read_progress(out: Path, name: str) -> float:
    """Read how far a job is.

    Args:
        out: The clip folder.
        name: Of the job.

    Returns:
        0..1; 0 for one that does not run, or does not tell.
    """
    try:
        return min(1.0, max(0.0, float(progress_path(out, name).read_text(encoding="ascii"))))
    except (OSError, ValueError):
        return 0.0


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one, never a part.

    Args:
        path: Where to.
        text: UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_name(f"{path.name}.{os.getpid()}.part")
    with torn.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    torn.replace(path)


def write_result(out: Path, result: JobResult) -> None:
    """Keep what became of a job.

    Args:
        out: The clip folder.
        result: To be kept.
    """
    fields = {
        **dataclasses.asdict(result),
        "clips": [
            {"record": json.loads(clip.record.to_json()), "picture": clip.picture}
            for clip in result.clips
        ],
    }
    write_atomically(
        result_path(out, result.name), json.dumps(fields, ensure_ascii=False, indent=1) + "\n"
    )


def read_result(path: Path) -> JobResult:
    """Read what became of a job.

    Args:
        path: Of `write_result`.

    Returns:
        The result.

    Raises:
        InputError: If it was not written by a conversion.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return JobResult(
            name=_text(fields, "name"),
            stamp=_text(fields, "stamp"),
            clips=tuple(
                KeptClip(parse_record(json.dumps(clip["record"])), _text(clip, "picture"))
                for clip in fields["clips"]
            ),
            rejected=tuple(RejectedEntry(**entry) for entry in fields["rejected"]),
            notes=tuple(SourceNote(**note) for note in fields["notes"]),
            error=_text(fields, "error"),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path.name} must be a result of a conversion, got {error!r}. "
            "Delete it; its file is then done again."
        ) from error


def _text(fields: Mapping[str, Any], key: str) -> str:
    if not isinstance(fields[key], str):
        raise TypeError(f"{key} is no text")
    return fields[key]
