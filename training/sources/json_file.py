"""JSON files of data sets, which may be large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tavid_core.errors import InputError

__all__ = ["read_json_file", "read_json_object"]

MAX_BYTES = 8 << 30
MAX_OBJECT_BYTES = 1 << 24


def read_json_file(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file as a whole.

    Args:
        path: The file; reading takes several times its size in memory.
        max_bytes: A larger file is refused.

    Returns:
        What it holds.

    Raises:
        InputError: If it cannot be read or is no JSON.
    """
    try:
        size = path.stat().st_size
        if size <= max_bytes:
            with path.open("rb") as file:
                return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path.name} must be a readable JSON file, got {error}: {path}. Download it again."
        ) from error
    raise InputError(f"{path.name} must have at most {max_bytes} bytes, got {size}: {path}.")


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of one frame or one camera.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        InputError: If it cannot be read, is no object, or has more than 16 MiB.
    """
    fields = read_json_file(path, max_bytes=MAX_OBJECT_BYTES)
    if not isinstance(fields, dict):
        raise InputError(
            f"{path.name} must hold an object, got {type(fields).__name__}: {path}. Copy it again."
        )
    return fields
