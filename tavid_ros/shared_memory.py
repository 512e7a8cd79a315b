"""Shared memory that killed processes left behind.

Fast DDS gives each participant segments of half a megabyte and more below /dev/shm and removes
them at its end. A process that is killed has no such end, so a robot that respawns its nodes runs
out of memory in time. Beside each segment lies a lock file that its owner holds (flock) for as long
as it lives: a lock that is free names a segment that nobody owns. Ports (fastrtps_port...) are left
alone: they are small, and Fast DDS takes them over by their number.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path

__all__ = ["remove_stale_segments"]

_FOLDER = Path("/dev", "shm")
_LOCK_NAME = re.compile(r"fast(rtps|dds)_[0-9a-f]{16}_el")
# Between making its lock file and locking it an owner needs microseconds.
_YOUNGEST_SEC = 1.0


def remove_stale_segments(folder: Path = _FOLDER) -> int:
    """Remove segments of Fast DDS whose owner is dead; those of other users stay.

    Args:
        folder: Where they are; one that does not exist holds none.

    Returns:
        Bytes that were freed.
    """
    num_bytes = 0
    for lock in sorted(folder.glob("fast*_el")) if folder.is_dir() else ():
        if _LOCK_NAME.fullmatch(lock.name):
            num_bytes += _remove_if_stale(lock)
    return num_bytes


def _remove_if_stale(lock: Path) -> int:
    segment = lock.with_name(lock.name.removesuffix("_el"))
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNGEST_SEC:
            return 0
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        num_bytes = segment.lstat().st_size if segment.exists() else 0
        segment.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    except OSError:
        # Locked: its owner lives. Or another process cleans up at the same time.
        return 0
    finally:
        os.close(descriptor)
    return num_bytes
