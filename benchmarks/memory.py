"""Peak memory of a call, as Linux counts it; meant for a fresh process per call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["peak_above"]


def peak_above(call: Callable[[], object]) -> int:
    """Measure what a call needs on top of what the process has.

    Args:
        call: What to measure.

    Returns:
        Bytes.
    """
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _read_status("VmRSS")
    call()
    return _read_status("VmHWM") - before


def _read_status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status must have {field}, got none. Linux is needed.")
