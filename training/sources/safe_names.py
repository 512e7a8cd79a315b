"""Names of recordings from names that a data set gave, which may hold anything."""

from __future__ import annotations

import hashlib
import re

__all__ = ["safe_name"]

MAX_CHARACTERS = 100


def safe_name(text: str) -> str:
    """Turn any text into a name that is safe in a path and differs where the text differs.

    Args:
        text: A file stem, a key, several joined by `_`.

    Returns:
        The text itself where it is safe; else its safe part and a hash of the whole.
    """
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:MAX_CHARACTERS].strip("-")
    if safe == text:
        return safe
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{digest}" if safe else digest
