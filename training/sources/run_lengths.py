"""Masks as run lengths in COCO's compressed text.

Columns one after another, runs of unmarked and marked pixels in turn. Each number is written in
characters of five bits, from the third on as the difference to the one before the last.
`pycocotools` reads the same, but trusts the numbers; the tests compare.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from training.sources.field_values import shorten

__all__ = ["decode_run_lengths"]

MAX_PIXELS = 64_000_000
_FIRST_CHARACTER, _MORE, _SIGN, _BITS = 48, 0x20, 0x10, 0x1F
# A run of 64 million needs six characters.
_MAX_CHARACTERS = 7


def decode_run_lengths(text: str, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a mask.

    Args:
        text: COCO's `counts`.
        size_hw: Rows and columns, COCO's `size`.

    Returns:
        bool, shape `size_hw`.

    Raises:
        InputError: If the size is impossible, or the runs do not fill it.
    """
    height, width = size_hw
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        shown = shorten(f"{width}x{height}")
        raise InputError(f"mask size must be 1 to {MAX_PIXELS} pixels, got {shown}. Download it.")
    counts: list[int] = []
    place = 0
    while place < len(text):
        number, place = _read_number(text, place)
        counts.append(number + counts[-2] if len(counts) > 2 else number)
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise _damaged(f"runs that do not fill {width}x{height}")
    is_marked = np.arange(len(counts)) % 2 == 1
    flat = np.repeat(is_marked, np.array(counts, dtype=np.int64))
    return np.ascontiguousarray(flat.reshape((height, width), order="F"))


def _read_number(text: str, place: int) -> tuple[int, int]:
    number = 0
    for count in range(_MAX_CHARACTERS):
        if place >= len(text):
            raise _damaged("one that ends too soon")
        bits = ord(text[place]) - _FIRST_CHARACTER
        if not 0 <= bits < 64:
            raise _damaged(f"the character {text[place]!r}")
        place += 1
        number |= (bits & _BITS) << (5 * count)
        if not bits & _MORE:
            negative = bits & _SIGN
            return number - (1 << 5 * (count + 1)) if negative else number, place
    raise _damaged("a number that is too long")


def _damaged(what: str) -> InputError:
    return InputError(f"mask must be run lengths, got {what}. Download the file again.")
