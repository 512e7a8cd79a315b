"""Captions, and moments of contact, of a folder of videos: from a CSV, JSONL or text file."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tavid_core.errors import InputError
from training.text_lines import split_lines

__all__ = ["VideoNote", "parse_notes", "read_notes"]

MAX_FILE_BYTES = 64 << 20
MAX_CAPTION_CHARACTERS = 4096
KINDS = (".csv", ".jsonl", ".txt")


@dataclasses.dataclass(frozen=True)
class VideoNote:
    """What is written about one video.

    Args:
        text: The caption.
        contact_sec: When the actor touches the target, seconds from the start; None if unknown.
    """

    text: str
    contact_sec: float | None = None


def read_notes(path: Path) -> dict[str, VideoNote]:
    """Read a file of captions, see `parse_notes`.

    Args:
        path: Its ending names the kind.

    Returns:
        Notes by file name of the video.

    Raises:
        InputError: If it cannot be read or a line is unusable.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"captions must be below {MAX_FILE_BYTES} bytes, got {path}. Split.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"captions must be a readable UTF-8 file, got {error}: {path}. Check the path."
        ) from error
    return parse_notes(text, path.suffix.lower())


def parse_notes(text: str, kind: str) -> dict[str, VideoNote]:
    """Read captions.

    Args:
        text: CSV with a header, or JSON objects, one per line, with `file_name`, `text` and, if
            known, `contact_sec`; or lines of a file name, a tab and a caption.
        kind: `.csv`, `.jsonl` or `.txt`.

    Returns:
        Notes by file name of the video.

    Raises:
        InputError: If the kind is unknown, a line is unusable, or a name comes twice.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".txt": _read_lines}
    if kind not in readers:
        raise InputError(f"captions must be one of {', '.join(KINDS)}, got {kind!r}. Rename it.")
    notes: dict[str, VideoNote] = {}
    for number, fields in readers[kind](text):
        name = fields.get("file_name")
        if not isinstance(name, str) or not name:
            raise InputError(f"captions line {number}: file_name must be text, got {name!r}.")
        if name in notes:
            raise InputError(f"captions line {number}: file_name must differ, got {name!r} twice.")
        notes[name] = _make_note(fields, number)
    return notes


def _read_csv(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        yield from enumerate(csv.DictReader(io.StringIO(text), strict=True), start=2)
    except csv.Error as error:
        raise InputError(f"captions must be a CSV file, got {error}. Export it again.") from error


def _read_jsonl(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(split_lines(text), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise InputError(f"captions line {number} must be a JSON object, got {line[:80]!r}.")
        yield number, fields


def _read_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(split_lines(text), start=1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        if not tab:
            raise InputError(
                f"captions line {number} must be a file name, a tab and a caption, got "
                f"{line[:80]!r}. Put a tab between them."
            )
        yield number, {"file_name": name.strip(), "text": caption}


def _make_note(fields: Mapping[str, Any], number: int) -> VideoNote:
    text = fields.get("text")
    if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_CAPTION_CHARACTERS:
        raise InputError(
            f"captions line {number}: text must have 1 to {MAX_CAPTION_CHARACTERS} characters, got "
            f"{str(text)[:80]!r}. Write what happens."
        )
    moment = fields.get("contact_sec")
    if moment in (None, ""):
        return VideoNote(text.strip())
    try:
        contact_sec = float(moment) if not isinstance(moment, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        contact_sec = math.nan
    if not (math.isfinite(contact_sec) and contact_sec >= 0):
        raise InputError(
            f"captions line {number}: contact_sec must be seconds from the start, got "
            f"{str(moment)[:80]!r}. Leave it empty where unknown."
        )
    return VideoNote(text.strip(), contact_sec)
