"""Values out of documents that a data set gave, which may hold anything: checked, or refused.

JSON has numbers that no float holds, and a pickle or an array may hold a list where numbers were
meant. Every source reads its numbers and names here, so that each defect gives one typed error.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError

__all__ = ["find_inside", "is_number", "parse_index", "pick", "read_numbers", "shorten"]

# Beyond any time, length, pixel or count of a data set; in nanoseconds 300 years.
MAX_NUMBER = 1e19
MAX_PATH_CHARACTERS = 1000
MAX_NAME_BYTES = 200
MAX_SHOWN = 60


def is_number(value: Any, limit: float = MAX_NUMBER) -> bool:
    """Tell whether a value is a finite number below a limit.

    Args:
        value: Of a document.
        limit: Size that it stays below.

    Returns:
        Whether; False for true, false and texts.
    """
    # The comparison comes first: isfinite cannot take an integer that is larger than any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < limit


def read_numbers(
    values: Any, shape: tuple[int, ...], what: str, *, allows_nan: bool = False
) -> NDArray[np.float64]:
    """Read numbers of a known shape.

    Args:
        values: Of a document: a list, lists in lists, or an array.
        shape: Wanted; -1 for any length.
        what: Names file and field, for the message.
        allows_nan: Whether null and NaN stand for what is unknown.

    Returns:
        float64 of that shape.

    Raises:
        InputError: If they are no numbers, too large, or too many or too few.
    """
    if getattr(values, "dtype", np.dtype(float)).kind == "c":
        raise InputError(f"{what} must be real numbers, got complex ones. Copy the file again.")
    try:
        numbers = np.array(values, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{what} must be numbers of shape {shape}, got {shorten(error)}. Copy the file again."
        ) from error
    is_known = ~np.isnan(numbers) if allows_nan else np.True_
    if not (np.abs(numbers) < MAX_NUMBER)[is_known].all():
        raise InputError(f"{what} must be finite, got a number that is not. Copy the file again.")
    return numbers


def parse_index(text: Any) -> int | None:
    """Read the number of a frame from a key.

    Args:
        text: Of a document.

    Returns:
        The number; None if it is none, or has more than nine digits.
    """
    is_index = isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= 9
    return int(text) if is_index else None


def pick(document: Any, *keys: str | int) -> Any:
    """Go down into a document.

    Args:
        document: Objects and lists in each other.
        keys: Names in objects, places in lists.

    Returns:
        What is there; None if there is nothing.
    """
    for key in keys:
        if isinstance(document, dict) and isinstance(key, str):
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int) and 0 <= key < len(document):
            document = document[key]
        else:
            return None
    return document


def find_inside(folder: Path, relative: Any, what: str) -> Path:
    """Make a path that a document names, and that must stay in a folder.

    Args:
        folder: Of the data set.
        relative: What the document says.
        what: Names file and field, for the message.

    Returns:
        The path; need not exist.

    Raises:
        InputError: If it is no text, leads out of the folder, or cannot be a path.
    """
    if isinstance(relative, str) and len(relative) <= MAX_PATH_CHARACTERS:
        path = PurePosixPath(relative)
        is_safe = not path.is_absolute() and ".." not in path.parts
        if is_safe and all(map(_is_name, path.parts)):
            return folder / path
    raise InputError(
        f"{what} must be a path that stays in the data set, got {shorten(repr(relative))}. "
        "Download the file again."
    )


def _is_name(part: str) -> bool:
    # Lone surrogates are not printable; what is left can be encoded.
    is_plain = part.isprintable() and "\\" not in part
    return is_plain and len(part.encode("utf-8")) <= MAX_NAME_BYTES


def shorten(value: object) -> str:
    """Show a value of a document in a message.

    Args:
        value: Anything that has a text.

    Returns:
        Its first characters.
    """
    text = str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
