"""Values out of a plan's JSON document, each checked for its type where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError

__all__ = ["read_array", "read_field", "read_optional_array", "read_point"]


def read_field(document: Mapping[str, Any], path: str, *kinds: type, optional: bool = False) -> Any:
    """Take one value out of the document.

    Args:
        document: Nested JSON values.
        path: Keys joined by dots.
        kinds: Types it may have; `float` admits whole numbers, and only finite ones.
        optional: Whether null will do.

    Returns:
        The value.

    Raises:
        InputError: If it is missing or of another kind.
    """
    value: Any = document
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(f"plan.json must have {path}, got none. Make the plan again.")
        value = value[key]
    if value is None and optional:
        return None
    if float in kinds and type(value) in (int, float) and abs(value) < 1e18:
        return float(value)
    if type(value) in kinds and type(value) is not float:
        return value
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise InputError(
        f"plan.json's {path} must be {wanted}, got {str(value)[:40]!r}. Make the plan again."
    )


def read_point(document: Mapping[str, Any], path: str) -> NDArray[np.float32] | None:
    """Take a point in metres out of the document.

    Args:
        document: Nested JSON values.
        path: Keys joined by dots.

    Returns:
        float32 (3,), or None for null.

    Raises:
        InputError: If it is anything else.
    """
    values = read_field(document, path, list, optional=True)
    if values is None:
        return None
    is_point = len(values) == 3 and all(
        type(value) in (int, float) and abs(value) < 1e6 for value in values
    )
    if not is_point:
        raise InputError(
            f"plan.json's {path} must be three metres, got {str(values)[:60]}. Make the plan again."
        )
    return np.array(values, dtype=np.float32)


def read_array(arrays: Mapping[str, NDArray[Any]], name: str, dtype: type) -> NDArray[Any]:
    """Take one array out of a plan's arrays.

    Args:
        arrays: By name.
        name: Of the array.
        dtype: Which it must have.

    Returns:
        The array.

    Raises:
        InputError: If it is missing or of another type.
    """
    array = arrays.get(name)
    if array is None or array.dtype != dtype:
        got = "none" if array is None else str(array.dtype)
        raise InputError(f"array {name} must be {np.dtype(dtype)}, got {got}. Make the plan again.")
    return array


def read_optional_array(
    arrays: Mapping[str, NDArray[Any]], name: str, dtype: type
) -> NDArray[Any] | None:
    """Take one array out of a plan's arrays if it is there.

    Args:
        arrays: By name.
        name: Of the array.
        dtype: Which it must have.

    Returns:
        The array, or None.

    Raises:
        InputError: If it is of another type.
    """
    return read_array(arrays, name, dtype) if name in arrays else None
