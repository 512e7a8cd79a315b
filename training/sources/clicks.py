"""A user's clicks and boxes on recordings: what to read from a JSON or CSV file."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tavid_core.errors import InputError

__all__ = ["EVERY", "Clicks", "parse_clicks", "read_clicks"]

EVERY = "*"
CSV_COLUMNS = ("recording", "frame", "kind", "x", "y", "x1", "y1")
KINDS = ("target", "background", "box")
MAX_FILE_BYTES = 50_000_000

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Clicks:
    """What points at the target in one frame of a recording.

    Args:
        frame: Index in the recording.
        on_target: Column and row of clicks on it, pixels of the recording.
        beside: Of clicks that are not on it.
        box: x0, y0, x1, y1 around it; or None.
    """

    frame: int
    on_target: tuple[Point, ...] = ()
    beside: tuple[Point, ...] = ()
    box: tuple[float, float, float, float] | None = None


def read_clicks(path: Path) -> dict[str, tuple[Clicks, ...]]:
    """Read a file of clicks.

    Args:
        path: `.json` or `.csv`; docs/data.md shows both.

    Returns:
        By name of the recording, or `*` for every one; in the order of frames.

    Raises:
        InputError: If it cannot be read, or is not of that form; says where.
    """
    if path.suffix.lower() not in (".json", ".csv"):
        raise InputError(f"clicks must be a .json or .csv file, got {path.name}. Rename it.")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"clicks must be under 50 MB, got {path.name}. Is it the right file?")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"clicks must be a readable text file, got {error}. Check it.") from error
    return parse_clicks(text, is_csv=path.suffix.lower() == ".csv")


def parse_clicks(text: str, *, is_csv: bool) -> dict[str, tuple[Clicks, ...]]:
    """Read clicks from text.

    Args:
        text: Of the file.
        is_csv: Whether it is CSV rather than JSON.

    Returns:
        By name of the recording; in the order of frames.

    Raises:
        InputError: If it is not of that form.
    """
    found = _parse_csv(text) if is_csv else _parse_json(text)
    for name, clicks in found.items():
        for click in clicks:
            if not click.on_target and click.box is None:
                raise InputError(
                    f"clicks of {name!r} in frame {click.frame} must point at the target, got none "
                    "on it and no box. Add one."
                )
        frames = [click.frame for click in clicks]
        if len(set(frames)) < len(frames):
            raise InputError(f"clicks of {name!r} must name a frame once, got {frames}. Join them.")
    return {name: tuple(sorted(c, key=lambda click: click.frame)) for name, c in found.items()}


def _parse_json(text: str) -> dict[str, list[Clicks]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"clicks must be JSON, got {text[:60]!r}. Repair it.") from error
    if not isinstance(document, dict):
        raise InputError('clicks must be an object of recordings, got none. Write {"NAME": [...]}.')
    found: dict[str, list[Clicks]] = {}
    for name, entries in document.items():
        if not isinstance(entries, list) or not entries:
            raise InputError(
                f"clicks of {name!r} must be a list, got {entries!r:.60}. See the docs."
            )
        found[name] = [_read_entry(name, entry) for entry in entries]
    return found


def _read_entry(name: str, entry: Any) -> Clicks:
    known = {"frame", "target", "background", "box"}
    if not isinstance(entry, Mapping) or not set(entry) <= known:
        raise InputError(
            f"a click of {name!r} must be an object with {', '.join(sorted(known))}, got "
            f"{entry!r:.80}. Correct it."
        )
    box = entry.get("box")
    points = {}
    for kind in ("target", "background"):
        values = entry.get(kind, [])
        if not isinstance(values, list):
            raise InputError(f"{kind} of {name!r} must be [[x, y], ...], got {values!r:.60}.")
        points[kind] = tuple(_numbers(name, kind, value, 2) for value in values)
    return Clicks(
        frame=_frame(name, entry.get("frame", 0)),
        on_target=points["target"],
        beside=points["background"],
        box=None if box is None else _numbers(name, "box", box, 4),
    )


def _parse_csv(text: str) -> dict[str, list[Clicks]]:
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise InputError(f"clicks must be CSV, got {error}. Repair it.") from error
    gathered: dict[tuple[str, int], dict[str, list]] = {}
    for number, row in enumerate(rows, start=2):
        name, kind = row.get("recording") or "", row.get("kind") or ""
        if not name or kind not in KINDS:
            raise InputError(
                f"clicks line {number} must have recording and kind ({', '.join(KINDS)}), got "
                f"{name!r} and {kind!r}. The columns are {','.join(CSV_COLUMNS)}."
            )
        keys = ("x", "y", "x1", "y1") if kind == "box" else ("x", "y")
        values = _numbers(f"line {number}", kind, [row.get(key) for key in keys], len(keys))
        entry = gathered.setdefault((name, _frame(name, row.get("frame") or 0)), {})
        entry.setdefault(kind, []).append(values)
    found: dict[str, list[Clicks]] = {}
    for (name, frame), entry in gathered.items():
        boxes = entry.get("box", [None])
        if len(boxes) > 1:
            raise InputError(f"clicks of {name!r} must have one box a frame, got {len(boxes)}.")
        clicks = Clicks(
            frame, tuple(entry.get("target", ())), tuple(entry.get("background", ())), boxes[0]
        )
        found.setdefault(name, []).append(clicks)
    return found


def _frame(name: str, value: Any) -> int:
    try:
        frame = int(value)
        is_whole = not isinstance(value, bool) and float(value) == frame
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole or not 0 <= frame < 10**9:
        raise InputError(f"frame of {name!r} must be a whole number from 0, got {value!r:.40}.")
    return frame


def _numbers(name: str, what: str, values: Any, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
        is_good = len(numbers) == count and all(math.isfinite(n) for n in numbers)
        is_good = is_good and not any(isinstance(value, bool) for value in values)
    except (TypeError, ValueError, OverflowError):
        is_good = False
    if not is_good:
        raise InputError(
            f"{what} of {name} must be {count} finite numbers, got {values!r:.60}. Give pixels."
        )
    return numbers
