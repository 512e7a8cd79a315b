"""Errors of single clips, kept on disk, so that a long benchmark can be run in pieces.

What is kept belongs to the code that made it: rows of other code are not used.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import tavid_core
from tavid_core.errors import InputError

__all__ = ["ClipRow", "RowStore", "code_fingerprint"]

ClipRow = tuple[str, bool, dict[str, float]]
SOURCES = ("lifting/**/*.py", "camera.py", "frame_fit.py", "motion.py", "types.py")
DETECTOR = "assets/**/*.safetensors"


def code_fingerprint(*parts: str) -> str:
    """Name the code and the weights that decide a clip's errors.

    Args:
        parts: Of the benchmark, beside "clips" and "metrics", as in the names of its files.

    Returns:
        Sixteen hexadecimal digits.
    """
    core, own = Path(tavid_core.__file__).parent, Path(__file__).parent
    files = [path for pattern in (*SOURCES, DETECTOR) for path in core.glob(pattern)]
    files += [own / f"lifting_{name}.py" for name in ("clips", "metrics", *parts)]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class RowStore:
    """The rows of one state of the code.

    Args:
        root: Where the benchmark keeps its things.
        fingerprint: Of `code_fingerprint`.
    """

    def __init__(self, root: Path, fingerprint: str) -> None:
        self._folder = root / "rows" / fingerprint

    def path(self, name: str) -> Path:
        """Say where rows are kept.

        Args:
            name: Of a clip in one size, or of a plan.

        Returns:
            A JSON file, there or not.
        """
        return self._folder / f"{name}.json"

    def write(self, name: str, rows: list[ClipRow]) -> None:
        """Keep the rows of one clip; whole or not at all.

        Args:
            name: Of the clip.
            rows: Setting, whether a look-alike was marked, and errors, each.
        """
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(rows), encoding="utf-8")
        part.replace(path)

    def read(self, name: str) -> list[ClipRow] | None:
        """Get the rows of one clip.

        Args:
            name: Of the clip.

        Returns:
            The rows, or None if it was not measured yet.

        Raises:
            InputError: If the file is damaged.
        """
        path = self.path(name)
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return [(str(setting), bool(decoy), dict(row)) for setting, decoy, row in found]
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path.name} must hold a clip's rows, got something else ({error}). Delete it."
            ) from error
