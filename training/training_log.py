"""The log of a run, one line of JSON per step: `log.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tavid_core.errors import StorageError
from training.text_lines import split_lines

__all__ = ["LOG_FILE", "TrainingLog"]

LOG_FILE = "log.jsonl"


class TrainingLog:
    """Appends to `log.jsonl`; what a killed run wrote after its last checkpoint is dropped.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG_FILE

    def begin(self, first_step: int) -> None:
        """Keep the lines of the steps before the first one.

        Args:
            first_step: Of this process.

        Raises:
            StorageError: If it cannot be written.
        """
        kept = [line for line, fields in self._read() if fields["step"] < first_step]
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            raise _storage_error(self._path, error) from error

    def write(self, fields: Mapping[str, float]) -> None:
        """Note a step.

        Args:
            fields: Its figures, with "step".

        Raises:
            StorageError: If it cannot be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(fields)) + "\n")
        except OSError as error:
            raise _storage_error(self._path, error) from error

    def last(self) -> dict[str, float]:
        """Read the figures of the last step.

        Returns:
            Without "step"; empty if there are none.
        """
        lines = self._read()
        if not lines:
            return {}
        return {name: value for name, value in lines[-1][1].items() if name != "step"}

    def _read(self) -> list[tuple[str, dict[str, float]]]:
        if not self._path.is_file():
            return []
        lines = []
        for line in split_lines(self._path.read_text(encoding="utf-8", errors="replace")):
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                # The line that a killed run was writing.
                continue
            if isinstance(fields, dict) and isinstance(fields.get("step"), int):
                lines.append((line, fields))
        return lines


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} must be writable, got: {error}. Free some space and run the same command again."
    )
