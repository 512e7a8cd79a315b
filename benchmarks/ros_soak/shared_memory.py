"""The files that Fast DDS keeps in shared memory for one process."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_segments"]

_FOLDER = Path("/dev/shm")  # noqa: S108 - looked at only
_SHARED = "fastrtps_port"


def find_segments(pid: int) -> list[Path]:
    """Name the files that belong to a process, and to no other.

    Args:
        pid: Of a running process.

    Returns:
        Segments of what it sends, with their locks; not the ports, which processes share.
    """
    mapped = set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        path = line.partition("/")[2]
        if path.startswith("dev/shm/fastrtps_"):
            mapped.add(Path("/", path.removesuffix(" (deleted)")))
    opened = {
        target
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if (target := _read_link(link)) is not None and target.parent == _FOLDER
    }
    # Others map the segments that they read too, but only the owner holds the lock open.
    locks = {path for path in opened if path.name.endswith("_el")}
    own = {lock.with_name(lock.name.removesuffix("_el")) for lock in locks}
    return sorted(path for path in locks | (mapped & own) if not path.name.startswith(_SHARED))


def _read_link(link: Path) -> Path | None:
    try:
        return link.readlink()
    except FileNotFoundError:
        return None
