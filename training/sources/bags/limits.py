"""How much a bag may ask of the machine that reads it."""

from __future__ import annotations

import dataclasses

from tavid_core.errors import InputError

__all__ = ["BagLimits"]

_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagLimits:
    """Caps that a sound bag stays below: an image of 4096x4096 pixels in rgb8 has 48 MiB.

    What is held at one time is a few times one chunk, so that memory stays below 512 MB.

    Args:
        max_record_bytes: Of one stored record or message, before it is inflated.
        max_chunk_bytes: Of one chunk or message, after it is inflated.
        max_file_bytes: Of one file of a bag with file compression, after it is inflated to disk.
        max_memory_bytes: Address space of the process that reads.
        max_silence_sec: The process is ended when it has nothing to say for so long.
        max_cpu_sec: Processor time of that process for one bag.
        max_waiting_bytes: Of messages that wait to be put in order, and of masks and depth that
            wait for a first image, of all cameras together.

    Raises:
        InputError: If a number is not positive.
    """

    max_record_bytes: int = 64 * _MIB
    max_chunk_bytes: int = 64 * _MIB
    max_file_bytes: int = 256 * 1024 * _MIB
    max_memory_bytes: int = 3 * 1024 * _MIB
    max_silence_sec: float = 300.0
    max_cpu_sec: int = 6 * 3600
    max_waiting_bytes: int = 32 * _MIB

    def __post_init__(self) -> None:
        """Check the numbers."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise InputError(f"{field.name} must be positive, got {value}. Leave it out.")
