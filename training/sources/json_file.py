"""JSON files of data sets, which may be large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tavid_core.errors import InputError

__all__ = ["read_json_file"]

MAX_BYTES = 8 << 30


def read_json_file(path: Path) -> Any:
    """Read a JSON file as a whole.

    Args:
        path: The file; reading takes several times its size in memory.

    Returns:
        What it holds.

    Raises:
        InputError: If it cannot be read or is no JSON.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path.name} must have at most {MAX_BYTES} bytes: {path}. Split it.")
        with path.open("rb") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path.name} must be a readable JSON file, got {error}: {path}. Download it again."
        ) from error
