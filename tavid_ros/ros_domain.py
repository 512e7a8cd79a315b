"""A ROS domain of one's own, so that runs beside each other on one machine do not meet."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from types import TracebackType

from tavid_core.errors import NotReadyError

__all__ = ["RosDomain"]

# Higher domains use ports that the system gives to outgoing connections.
_NUM_DOMAINS = 100
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Fast DDS keeps its files
# By the rules of DDS a domain has 250 ports from here on.
_FIRST_PORT, _PORTS_PER_DOMAIN = 7400, 250
# In the abstract name space.
_SOCKET_PREFIX = "\0tavid_ros_domain_"


class RosDomain:
    """A domain that no other run of tavid on this machine has, for as long as this lives.

    It is held by a Unix socket of the abstract name space, which the kernel frees with the process
    however that ends, and which is seen exactly where local discovery is: within one network
    namespace. Domains in which a process was killed come last: what it left in shared memory makes
    Fast DDS lose large messages there. A context manager.

    Attributes:
        number: For ROS_DOMAIN_ID, 1 to 100.

    Raises:
        NotReadyError: If all are taken.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        used = _find_used()
        numbers = [1 + (os.getpid() + offset) % _NUM_DOMAINS for offset in range(_NUM_DOMAINS)]
        for number in sorted(numbers, key=lambda number: number in used):
            self.number = number
            try:
                self._socket.bind(f"{_SOCKET_PREFIX}{self.number}")
            except OSError:
                continue
            return
        self._socket.close()
        raise NotReadyError(
            f"one of {_NUM_DOMAINS} ROS domains must be free, got all taken by other runs on this "
            "machine. End some, or set ROS_DOMAIN_ID yourself."
        )

    def __enter__(self) -> RosDomain:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the domain back."""
        self._socket.close()


def _find_used() -> set[int]:
    """Find the domains whose ports have files in shared memory: of what runs, or was killed."""
    names = [path.name for path in _SHARED_MEMORY.glob("fastrtps_port*")]
    found = [re.fullmatch(r"fastrtps_port(\d{4,5})", name) for name in names]
    return {(int(match[1]) - _FIRST_PORT) // _PORTS_PER_DOMAIN for match in found if match}
