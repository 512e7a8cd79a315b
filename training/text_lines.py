"""Lines of a file; they end at line feeds and carriage returns, and nowhere else."""

from __future__ import annotations

__all__ = ["split_lines"]


def split_lines(text: str) -> list[str]:
    """Split text at line feeds, carriage returns and pairs of them.

    `str.splitlines` also splits at characters that JSON strings may hold as they are, such as
    U+2028, and breaks a line that its own writer made.

    Args:
        text: Of a file.

    Returns:
        Lines without their ends; what follows the last end is a line, unless it is empty.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]
