"""What a job reads, in short: whether a file is done is asked of this, never of its name alone."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from tavid_core.errors import InputError
from training.sources.recording import RecordingJob

__all__ = ["stamp_job"]

MAX_FILES = 1_000_000


def stamp_job(job: RecordingJob) -> str:
    """Say in short which data a job reads, and with which values.

    Of files count name, size and time, of folders those of all files in them, at any depth, by
    their path in the folder. Where the data set itself lies does not count: it may be moved.

    Args:
        job: A dataclass whose fields are paths and plain values, also in tuples, mappings and
            dataclasses; or anything with `inputs`, see `RecordingJob`.

    Returns:
        A hash; another one when a file or a value was changed.

    Raises:
        InputError: If a folder holds more files than can be looked at.
    """
    digest = hashlib.sha256()
    for part in (repr(job.name), *_describe(job)):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:16]


def _describe(value: object) -> Iterator[str]:
    if isinstance(value, Path):
        yield from _list_files(value)
    elif hasattr(value, "inputs"):
        yield from _describe(value.inputs())
    elif dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        yield from _describe({field.name: getattr(value, field.name) for field in fields})
    elif isinstance(value, Mapping):
        yield f"{len(value)} by name"
        for key, item in value.items():
            yield repr(key)
            yield from _describe(item)
    elif isinstance(value, list | tuple):
        yield f"{len(value)} in order"
        for item in value:
            yield from _describe(item)
    elif isinstance(value, AbstractSet):
        yield from sorted(map(repr, value))
    else:
        yield repr(value)


def _list_files(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield _describe_file(path, path.name)
        return
    num_files = 0
    for folder, folders, files in os.walk(path):
        folders.sort()
        num_files += len(files)
        if num_files > MAX_FILES:
            raise InputError(
                f"folder of a job must hold at most {MAX_FILES} files, got more in {path}. Name "
                "the folder of the recording itself."
            )
        yield os.path.relpath(folder, path)
        for name in sorted(files):
            yield _describe_file(Path(folder, name), name)


def _describe_file(path: Path, name: str) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return f"{name} is not there"
    return f"{name} {status.st_size} {status.st_mtime_ns}"
