"""What the node and its worker process say about one plan, and how they wait for each other."""

from __future__ import annotations

import dataclasses
import enum
import queue
import time
from collections.abc import Mapping

from tavid_core.errors import ErrorCode, TavidError
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest

__all__ = [
    "JobAnswer",
    "JobFailure",
    "WorkerError",
    "WorkerJob",
    "WorkerOptions",
    "WorkerState",
]


class WorkerState(enum.Enum):
    """What the worker process is doing."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    BACKOFF = "waiting to restart"
    FAILED = "failed to load"


class WorkerError(TavidError):
    """The worker reported a failure, or is one.

    Args:
        message: What happened.
        code: What the action's result reports.
    """

    def __init__(self, message: str, code: ErrorCode = ErrorCode.WORKER_DIED) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What the worker loads, and how patient the node is with it.

    Args:
        backend: "tavid" or "fake".
        planner: model, adapter, device, dtype and offload of the planner.
        load_timeout_sec: For loading the model.
        watchdog_sec: Longest silence within a plan; then the worker counts as hung.
        drain_timeout_sec: Longest time from a cancel until the worker is free again.
        niceness: Added to the node's, so that the node answers while the model works.
    """

    backend: str = "tavid"
    planner: Mapping[str, str] = dataclasses.field(default_factory=dict)
    load_timeout_sec: float = 600.0
    watchdog_sec: float = 120.0
    drain_timeout_sec: float = 30.0
    niceness: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobAnswer:
    """The end of a job that went well.

    Args:
        plan: The answer.
        folder: Where it was saved, "" = nowhere.
        save_error: Why it could not be saved, or "".
    """

    plan: InteractionPlan
    folder: str
    save_error: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFailure:
    """The end of a job that went wrong.

    Args:
        code: What the action's result reports.
        message: Why, and what to do.
    """

    code: ErrorCode
    message: str


class WorkerJob:
    """One plan that the worker works on.

    Args:
        identity: Unique among the jobs of this process.
        request: The question.

    Attributes:
        events: `PlanProgress` any number of times, then one `JobAnswer` or `JobFailure`.
    """

    def __init__(self, identity: str, request: PlanRequest) -> None:
        self.identity = identity
        self.request = request
        self.events: queue.SimpleQueue[PlanProgress | JobAnswer | JobFailure] = queue.SimpleQueue()
        self.last_heard_sec = time.monotonic()
        self.canceled_sec: float | None = None
