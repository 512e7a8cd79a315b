"""Texts packed by LZString for the component of a URI, as annotation tools of the web write them.

The one Python package that reads them has not been kept since 2018; this reader is checked against
texts that it packed, and stops at a size where that one goes on.
"""

from __future__ import annotations

from tavid_core.errors import InputError

__all__ = ["unpack_text"]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-$"
MAX_CHARACTERS = 1 << 24
BITS_PER_CHARACTER = 6
_NEW_8, _NEW_16, _END, _FIRST = 0, 1, 2, 3
_WIDTH = {_NEW_8: 8, _NEW_16: 16}
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


class _Bits:
    """Bits of a packed text: highest of a character first, lowest of a number first."""

    def __init__(self, packed: str) -> None:
        try:
            self._values = [_VALUES[character] for character in packed.replace(" ", "+")]
        except KeyError as error:
            raise _damaged(f"the character {error}") from error
        self._place = 0

    def read(self, count: int) -> int:
        number = 0
        for power in range(count):
            character, bit = divmod(self._place, BITS_PER_CHARACTER)
            if character >= len(self._values):
                raise _damaged("one that ends too soon")
            number |= (self._values[character] >> (BITS_PER_CHARACTER - 1 - bit) & 1) << power
            self._place += 1
        return number


def unpack_text(packed: str) -> str:
    """Unpack a text.

    Args:
        packed: As LZString's `compressToEncodedURIComponent` returns it.

    Returns:
        The text.

    Raises:
        InputError: If it is damaged, or unpacks to more than 16 million characters.
    """
    if not packed:
        return ""
    bits = _Bits(packed)
    words = ["", "", ""]
    # How many words fit before their numbers need one bit more.
    room, width = 4, 3
    kind = bits.read(2)
    if kind == _END:
        return ""
    if kind not in _WIDTH:
        raise _damaged("a first word that is none")
    last = chr(bits.read(_WIDTH[kind]))
    words.append(last)
    pieces, num_characters = [last], 1
    while True:
        number = bits.read(width)
        if number == _END:
            return "".join(pieces)
        if number in _WIDTH:
            words.append(chr(bits.read(_WIDTH[number])))
            number = len(words) - 1
            room -= 1
            if room == 0:
                room, width = 1 << width, width + 1
        if number > len(words) or number < _FIRST:
            raise _damaged("a word that is not there")
        word = words[number] if number < len(words) else last + last[0]
        pieces.append(word)
        num_characters += len(word)
        if num_characters > MAX_CHARACTERS:
            raise _damaged(f"more than {MAX_CHARACTERS} characters")
        words.append(last + word[0])
        last = word
        room -= 1
        if room == 0:
            room, width = 1 << width, width + 1


def _damaged(what: str) -> InputError:
    return InputError(f"encodedMask must be a packed text, got {what}. Download the file again.")
