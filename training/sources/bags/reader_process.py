"""The process that reads a bag, under limits: `python -m training.sources.bags.reader_process`.

Reads one line of JSON (what to read) from its input, writes one line of JSON per event to its
output, and waits after each recording for a line that says that its files were used up.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
from pathlib import Path
from typing import TextIO

from tavid_core.errors import TavidError
from training.sources.bags.bag import Bag
from training.sources.bags.bag_recorder import BagRecorder
from training.sources.bags.inspection import inspect_bag
from training.sources.bags.limits import BagLimits
from training.sources.bags.settings import BagSettings

__all__ = ["main"]


def main() -> int:
    """Read the bag that the input names.

    Returns:
        0; what went wrong is an event.
    """
    order = json.loads(sys.stdin.readline())
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # A library that prints must not speak between the events.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    limits = BagLimits(**order["limits"])
    _limit(limits)
    try:
        # Also a sign of life: a long recording has nothing else to say until it ends.
        bag = Bag(Path(order["bag"]), limits, lambda share: _tell(output, "progress", share=share))
        if order["settings"] is None:
            _tell(output, "inspection", **dataclasses.asdict(inspect_bag(bag)))
        else:
            _record(bag, order, output)
    except TavidError as error:
        _tell(output, "error", message=str(error))
    except MemoryError:
        _tell(output, "error", message=_too_large(order["bag"], limits))
    _tell(output, "end")
    return 0


def _record(bag: Bag, order: dict[str, object], output: TextIO) -> None:
    settings = BagSettings.from_json(order["settings"])
    recorder = BagRecorder(order["name"], bag, settings, Path(order["folder"]))
    try:
        for path in recorder.recordings():
            _tell(output, "recording", index=path.name)
            if not sys.stdin.readline():
                # Nobody wants more.
                return
    finally:
        for note in bag.report.source_notes():
            _tell(output, "note", **dataclasses.asdict(note))


def _limit(limits: BagLimits) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, limits.max_memory_bytes),
        (resource.RLIMIT_CPU, limits.max_cpu_sec),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, hard))


def _too_large(bag: str, limits: BagLimits) -> str:
    return (
        f"bag must be readable within {limits.max_memory_bytes} bytes of memory, got more: {bag}. "
        "Is it made to fill the memory?"
    )


def _tell(output: TextIO, event: str, **fields: object) -> None:
    output.write(json.dumps({"event": event, **fields}) + "\n")
    output.flush()


if __name__ == "__main__":
    sys.exit(main())
