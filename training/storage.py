"""Files of a run that are written by others: a full disk becomes one error with advice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from safetensors import SafetensorError

from tavid_core.errors import StorageError

__all__ = ["storing"]


@contextlib.contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn what libraries raise where a file cannot be written into `StorageError`.

    Args:
        what: Is written, for the message.

    Yields:
        Nothing.

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        yield
    except StorageError:
        raise
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{what} must be writable, got: {error}. Free some space and run the same command "
            "again; the last checkpoint is kept."
        ) from error
