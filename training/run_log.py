"""The log of measured rows: one JSON object per line, appended to and never rewritten."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

from tavid_core.errors import InputError
from training.text_lines import split_lines

__all__ = ["RunLine", "RunLog"]

RATES = ("target_contact", "wrong_target", "no_contact")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunLine:
    """What was measured; two lines with the same fields are the same measurement.

    Args:
        row: See `training.rows`.
        scenes: Which held-out scenes.
        seed: Of the training.
        step: After how many training steps.
        num_clips: Clips trained on.
        num_scenes: Scenes imagined and judged.
    """

    row: str
    scenes: str
    seed: int
    step: int
    num_clips: int
    num_scenes: int


class RunLog:
    """Read and extend a log.

    Args:
        path: The file; it need not exist.

    Raises:
        InputError: If a line is no measurement; the message names it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[RunLine, dict[str, object]] = {}
        if path.is_file():
            for number, text in enumerate(split_lines(path.read_text(encoding="utf-8")), start=1):
                if text.strip():
                    line, found = parse_line(text, f"{path.name} line {number}")
                    self.lines[line] = found

    def __contains__(self, line: RunLine) -> bool:
        """Say whether this was measured already."""
        return line in self.lines

    def bases(self, scenes: str) -> tuple[str, ...]:
        """Say which base models were measured on some scenes.

        Args:
            scenes: Which held-out scenes.

        Returns:
            First digits of their SHA-256, "" for one that was not logged; none if nothing was
            measured there.
        """
        return tuple(
            sorted(
                {
                    str(found.get("base", ""))
                    for line, found in self.lines.items()
                    if line.scenes == scenes
                }
            )
        )

    def demand_base(self, scenes: str, base: str) -> None:
        """Refuse to measure on scenes that the log has of another base model.

        Args:
            scenes: Which held-out scenes.
            base: First digits of the SHA-256 of the base model's folder.

        Raises:
            InputError: If the log holds any.
        """
        others = [other for other in self.bases(scenes) if other != base]
        if others:
            raise InputError(
                f"{self.path} must hold rows of base model {base} only for {scenes}, got rows of "
                f"{others[0] or 'one that was not logged'}. Give another --log."
            )

    def append(self, line: RunLine, found: Mapping[str, object]) -> None:
        """Add a measurement; it is on the disk when this returns.

        Args:
            line: What was measured.
            found: JSON values: rates, intervals and whatever else is known.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            fields = {**dataclasses.asdict(line), **found}
            file.write(json.dumps(fields, allow_nan=False) + "\n")
        self.lines[line] = dict(found)


def parse_line(text: str, where: str) -> tuple[RunLine, dict[str, object]]:
    """Read one line.

    Args:
        text: A JSON object.
        where: For messages.

    Returns:
        What was measured, and everything found.

    Raises:
        InputError: If a field is missing or of the wrong type.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} must be JSON, got {text[:60]!r}. Remove the line.") from error
    if not isinstance(fields, dict):
        raise InputError(f"{where} must be a JSON object, got {text[:60]!r}. Remove the line.")
    named = {field.name: fields.pop(field.name, None) for field in dataclasses.fields(RunLine)}
    for name, value in named.items():
        kind = str if name in ("row", "scenes") else int
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{where} must have {name}, got {value!r}. Remove the line.")
    for name in RATES:
        rate = fields.get(name)
        is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if not (is_number and math.isfinite(rate) and 0 <= rate <= 1):
            raise InputError(f"{where} must have {name} in 0..1, got {rate!r}. Remove the line.")
    return RunLine(**named), fields
