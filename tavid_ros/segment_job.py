"""What the segmenter node asks its worker process, and in which order."""

from __future__ import annotations

import collections
import dataclasses
import enum
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import CanceledError, ErrorCode, TavidError
from tavid_core.segment_prompt import Segmentation

__all__ = [
    "JobKind",
    "SegmentError",
    "SegmentJob",
    "SegmentJobs",
    "SegmentResult",
    "TargetQuery",
]

_MAX_WAITING_REQUESTS = 8


class SegmentError(TavidError):
    """The worker process refused a job, or is gone.

    Args:
        message: What happened.
        code: What kind of failure.
    """

    def __init__(self, message: str, code: ErrorCode) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetQuery:
    """What points at a target: clicks, a box, or a label; checked by the worker.

    Args:
        points: Column and row of each click, pixels.
        labels: 1 = on the target, 0 = beside it; one per point, or none for all on it.
        box: x0, y0, x1, y1, pixels, or None.
        label: Words, or "".
    """

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    label: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentResult:
    """A mask, and the picture that shows it.

    Args:
        found: The target, or None if a followed one is out of sight.
        overlay: RGB, uint8 (H, W, 3), or None.
    """

    found: Segmentation | None
    overlay: NDArray[np.uint8] | None


class JobKind(enum.Enum):
    """Who waits for a job, which decides what happens when many come."""

    CLICK = "click"
    REQUEST = "request"
    FRAME = "frame"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentJob:
    """One thing for the worker to do.

    Args:
        kind: Of a click or a frame only the newest waits; requests wait in a row.
        image_key: Names the image; the same number means the same image.
        read_image: Gives it, RGB, uint8 (H, W, 3); called on the process's thread.
        on_end: Takes the one outcome, on the process's thread.
        query: What points at the target; None for a frame.
        is_followed: Whether later frames shall follow this target.
        has_overlay: Whether a picture of the mask is wanted.
    """

    kind: JobKind
    image_key: int
    read_image: Callable[[], NDArray[np.uint8]]
    on_end: Callable[[SegmentResult | TavidError], None]
    query: TargetQuery | None = None
    is_followed: bool = False
    has_overlay: bool = True


class SegmentJobs:
    """The jobs that wait; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[JobKind, collections.deque[SegmentJob]] = {
            kind: collections.deque() for kind in JobKind
        }

    def put(self, job: SegmentJob) -> None:
        """Let a job wait.

        Args:
            job: A click or frame takes the place of the one that waits.
        """
        replaced = refused = None
        with self._lock:
            waiting = self._waiting[job.kind]
            if job.kind is JobKind.REQUEST and len(waiting) >= _MAX_WAITING_REQUESTS:
                refused = job
            else:
                if job.kind is not JobKind.REQUEST and waiting:
                    replaced = waiting.popleft()
                waiting.append(job)
        if replaced is not None:
            replaced.on_end(
                CanceledError("click must be the newest, got a newer one. Nothing to do.")
            )
        if refused is not None:
            job.on_end(
                SegmentError(
                    f"requests must wait in a row of {_MAX_WAITING_REQUESTS}, got one more. "
                    "Ask again later.",
                    ErrorCode.BUSY,
                )
            )

    def take(self) -> SegmentJob | None:
        """Take the next job: clicks go before requests, these before frames.

        Returns:
            The job, or None.
        """
        with self._lock:
            for waiting in self._waiting.values():
                if waiting:
                    return waiting.popleft()
        return None

    def end_all(self, error: TavidError) -> None:
        """End every waiting job with an error.

        Args:
            error: Why.
        """
        while (job := self.take()) is not None:
            job.on_end(error)
