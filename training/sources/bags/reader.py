"""Reads bags in a process with limits, so that no bag can take the machine down."""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from tavid_core.errors import InputError
from training.sources.bags.inspection import Inspection
from training.sources.bags.limits import BagLimits
from training.sources.bags.settings import BagSettings

__all__ = ["inspect_in_process", "read_in_process"]

_COMMAND = (sys.executable, "-m", "training.sources.bags.reader_process")
_ROOT = Path(__file__).parents[3]
# Libraries for linear algebra reserve address space for each of their threads.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def inspect_in_process(bag: Path, limits: BagLimits | None = None) -> Inspection:
    """Look at the topics of a bag.

    Args:
        bag: Folder or file.
        limits: What it may ask of the machine.

    Returns:
        What was found.

    Raises:
        InputError: If the bag cannot be read.
    """
    with tqdm(total=100, desc=f"read {bag.name}", unit="%", leave=False, delay=1) as bar:
        for event in _run(bag, limits or BagLimits(), {"settings": None}):
            if event["event"] == "inspection":
                return Inspection.from_json(event)
            bar.update(int(100 * event["share"]) - bar.n)
    raise AssertionError("a process that ended well has told what it found")


def read_in_process(
    bag: Path, name: str, settings: BagSettings, folder: Path
) -> Iterator[dict[str, object]]:
    """Turn a bag into files of recordings.

    Args:
        bag: Folder or file.
        name: Begins the names of the recordings.
        settings: How it is read.
        folder: For the files.

    Yields:
        Events: `recording` with the name of its index file, `note` with the fields of a
        `SourceNote`, `progress` with the share that is read. The process goes on when the next
        event is asked for.

    Raises:
        InputError: If the bag cannot be read (to its end).
    """
    order = {"name": name, "folder": str(folder), "settings": settings.to_json()}
    yield from _run(bag, settings.limits, order)


def _run(bag: Path, limits: BagLimits, order: dict[str, object]) -> Iterator[dict[str, object]]:
    environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
    order = {**order, "bag": str(bag.absolute()), "limits": dataclasses.asdict(limits)}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            cwd=_ROOT, env=environment, bufsize=0,
        ) as process,
    ):  # fmt: skip
        try:
            _send(process, json.dumps(order))
            error, is_over = None, False
            for line in _lines(process, limits.max_silence_sec):
                event = json.loads(line)
                if event["event"] == "end":
                    is_over = True
                    break
                if event["event"] == "error":
                    error = event["message"]
                    continue
                is_recording = event["event"] == "recording"
                yield event
                if is_recording:
                    _send(process, "")
            if error is not None:
                raise InputError(error)
            if not is_over:
                log.seek(0)
                said = log.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
                raise _make_error(bag, process.wait(10), (said or ["nothing"])[-1])
        finally:
            # Also when nobody wants more of it.
            process.kill()


def _send(process: subprocess.Popen[bytes], line: str) -> None:
    try:
        process.stdin.write(line.encode() + b"\n")
    except BrokenPipeError:
        # Its end tells why.
        return


def _lines(process: subprocess.Popen[bytes], max_silence_sec: float) -> Iterator[bytes]:
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            deadline_sec = time.monotonic() + max_silence_sec
            if not selector.select(max(0.0, deadline_sec - time.monotonic())):
                process.kill()
                return
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                return
            *lines, pending = (pending + part).split(b"\n")
            yield from lines


def _make_error(bag: Path, status: int, said: str) -> InputError:
    reason = f"signal {-status}" if status < 0 else f"status {status}"
    return InputError(
        f"bag must be readable within the limits, got a reader that ended with {reason} "
        f"({said[:200]}): {bag}. Is it damaged, or made to do harm?"
    )
