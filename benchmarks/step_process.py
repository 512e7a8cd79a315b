"""One step of a longer program, as a process whose children end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tavid_core.errors import TavidError

__all__ = ["StepError", "run_step"]

_END_SEC = 20.0


class StepError(TavidError):
    """A step did not do its part."""


def run_step(
    module: str,
    arguments: Sequence[object],
    *,
    good: Sequence[int] = (0,),
    stdout: Path | None = None,
) -> int:
    """Run a module with this Python to its end; progress bars go to the terminal.

    Whatever ends this program ends the step and the processes that it started, too.

    Args:
        module: As "training.evaluate".
        arguments: Of its command line.
        good: Exit statuses that mean success.
        stdout: File for what it prints, or None for the terminal.

    Returns:
        The exit status.

    Raises:
        StepError: If it ends with another status.
    """
    words = [str(argument) for argument in arguments]
    output = None if stdout is None else stdout.open("wb")
    try:
        # A group of its own: Ctrl-C reaches this program only, which then ends the whole group.
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words], stdout=output, start_new_session=True
        )
        try:
            status = process.wait()
        finally:
            _end_group(process)
    finally:
        if output is not None:
            output.close()
    if status not in good:
        raise StepError(
            f"python -m {module} must succeed, got exit status {status}. It says why above; give "
            "the same command again to go on from here."
        )
    return status


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            # Fine-tuning saves a checkpoint first.
            process.wait(_END_SEC)
        except subprocess.TimeoutExpired:
            continue
