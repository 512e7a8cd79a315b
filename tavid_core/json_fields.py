"""JSON files into dataclasses, strictly: every value has the declared type or is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

__all__ = ["read_json_object", "typed_fields"]

_MAX_BYTES = 1 << 20
_SCALARS = {"str": str, "int": int, "bool": bool}


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a small JSON file that must hold an object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no JSON, no UTF-8, or larger than 1 MiB.
        TypeError: If it holds anything but an object.
        RecursionError: If it is nested too deeply.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes, far more than such a file has.")
    fields = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(fields, dict):
        raise TypeError(f"a JSON {type(fields).__name__}, not an object.")
    return fields


def typed_fields(cls: type, fields: object) -> dict[str, Any]:
    """Turn JSON values into the types of a dataclass's fields.

    Args:
        cls: The dataclass; its fields are str, int, float, bool, or tuples of these.
        fields: The JSON object.

    Returns:
        Arguments for `cls`.

    Raises:
        TypeError: If a value has another type than its field; no number becomes a bool, no float
            an int.
        ValueError: If a field is unknown.
    """
    if not isinstance(fields, dict):
        raise TypeError(f"{cls.__name__} is a JSON {type(fields).__name__}, not an object.")
    types = {field.name: field.type for field in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - set(types))
    if unknown:
        raise ValueError(f"unknown fields {unknown[:3]}.")
    return {name: _convert(name, value, types[name]) for name, value in fields.items()}


def _convert(name: str, value: Any, declared: str) -> Any:
    if declared in _SCALARS and type(value) is _SCALARS[declared]:
        return value
    if declared == "float" and type(value) in (int, float):
        return float(value)
    if declared.startswith("tuple[") and isinstance(value, list):
        item = declared.removeprefix("tuple[").partition(",")[0]
        return tuple(_convert(name, part, item) for part in value)
    raise TypeError(f"{name} is {json.dumps(value)[:80]}, not {declared}.")
