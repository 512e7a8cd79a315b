"""One line that shows how far a plan is."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TextIO

from tavid_core.types import PlanProgress

__all__ = ["ProgressBar"]

_WIDTH = 30


class ProgressBar:
    """Draws progress on a terminal; elsewhere it writes one line per stage.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._lock = threading.Lock()
        self._last_stage = ""

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_terminal and self._last_stage:
            self._stream.write("\n")
            self._stream.flush()

    def show(self, progress: PlanProgress) -> None:
        """Show progress.

        Args:
            progress: Where the plan is.
        """
        with self._lock:
            is_new = progress.stage != self._last_stage
            self._last_stage = progress.stage
            if self._is_terminal:
                self._stream.write(f"\r\033[K{format_progress(progress)}")
                self._stream.flush()
            elif is_new:
                print(format_progress(progress), file=self._stream, flush=True)


def format_progress(progress: PlanProgress) -> str:
    """Write progress as one line.

    Args:
        progress: Where the plan is.

    Returns:
        As "[#####.....] denoise 10 of 20, 4.1 s, about 5 s left".
    """
    total = progress.total_steps
    done = min(_WIDTH, round(_WIDTH * progress.step / total)) if total else 0
    steps = f" {progress.step} of {total}" if total > 1 else ""
    left = "" if progress.remaining_sec is None else f", about {progress.remaining_sec:.0f} s left"
    bar = "#" * done + "." * (_WIDTH - done)
    return f"[{bar}] {progress.stage}{steps}, {progress.elapsed_sec:.1f} s{left}"
