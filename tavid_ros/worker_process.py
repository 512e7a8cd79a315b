"""The planner node's hand on its worker process: ask, watch, cancel."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Mapping

from tavid_core.errors import ErrorCode
from tavid_core.types import PlanRequest
from tavid_ros import plan_codec
from tavid_ros.child_process import ChildProcess, ChildProgram, read_failure
from tavid_ros.wire import Message, receive_message, send_message
from tavid_ros.worker_job import (
    JobAnswer,
    JobFailure,
    WorkerError,
    WorkerJob,
    WorkerOptions,
    WorkerState,
)

__all__ = ["WorkerProcess"]

_POLL_SEC = 0.05


class WorkerProcess(ChildProcess):
    """A supervised child process that holds the model.

    Args:
        options: What to load and how long to wait.
    """

    def __init__(self, options: WorkerOptions) -> None:
        super().__init__(
            ChildProgram(
                module="tavid_ros.worker",
                name="worker",
                send_timeout_sec=options.watchdog_sec,
                niceness=options.niceness,
            )
        )
        self._options = options
        self._send_lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._job: WorkerJob | None = None
        self._num_jobs = 0
        self._gpu_memory_bytes: int | None = None

    @property
    def gpu_memory_bytes(self) -> int | None:
        """What the child last held of the GPU's memory, None without a GPU."""
        return self._gpu_memory_bytes

    def wait_ready(self, timeout_sec: float) -> None:
        """Wait until the model is loaded.

        Args:
            timeout_sec: Longest wait.

        Raises:
            WorkerError: If it cannot be loaded, or not in time.
        """
        ready = (WorkerState.READY, WorkerState.BUSY)
        final = (*ready, WorkerState.FAILED, WorkerState.STOPPED)
        with self._changed:
            self._changed.wait_for(lambda: self._state in final, timeout_sec)
            if self._state in ready:
                return
            failure = self._last_error
        if self._stopping.is_set():
            raise WorkerError(
                "the model must be loaded before the worker is stopped, got its stop. "
                "Configure the node again.",
                ErrorCode.SHUTTING_DOWN,
            )
        if failure is not None:
            raise WorkerError(failure.message, failure.code)
        raise WorkerError(
            f"the model must be loaded within {timeout_sec:g} s, got state "
            f"{self._state.value!r}. Raise load_timeout_sec.",
            ErrorCode.NOT_READY,
        )

    def try_submit(
        self, request: PlanRequest, save_to: str, provenance: Mapping[str, str] | None = None
    ) -> WorkerJob | None:
        """Give the worker a plan to make, if it is free.

        Args:
            request: The question.
            save_to: Folder to save the plan to, "" = do not save.
            provenance: Goes into the plan's, beside what the model says.

        Returns:
            The job, or None while the worker loads, works, or is gone.
        """
        with self._changed:
            if self._state is not WorkerState.READY:
                return None
            self._num_jobs += 1
            job = WorkerJob(str(self._num_jobs), request)
            self._job = job
            self._state = WorkerState.BUSY
            connection = self._connection
        header, arrays = plan_codec.pack_request(request)
        self._send(
            connection,
            {
                "type": "plan",
                "job": job.identity,
                "save_to": save_to,
                "provenance": dict(provenance or {}),
                **header,
            },
            arrays,
        )
        return job

    def cancel(self, job: WorkerJob) -> None:
        """Ask the worker to stop a job at its next step; it is killed if it does not.

        Args:
            job: Of `try_submit`; one that has ended is ignored.
        """
        with self._changed:
            if self._job is not job or job.canceled_sec is not None:
                return
            job.canceled_sec = time.monotonic()
            connection = self._connection
        self._send(connection, {"type": "cancel", "job": job.identity})

    def _send(
        self,
        connection: socket.socket | None,
        header: Mapping[str, object],
        arrays: plan_codec.Arrays | None = None,
    ) -> None:
        if connection is None:
            return
        try:
            with self._send_lock:
                send_message(connection, header, arrays)
        except OSError:
            # The supervising thread sees the same end and fails the job.
            self._kill()

    def _end_jobs(self, failure: JobFailure, state: WorkerState) -> None:
        # State and job change together: no job can be taken on that nobody would end.
        self._end_job(failure, state)

    def _serve(self, connection: socket.socket) -> JobFailure | None:
        self._connection = connection
        try:
            return self._talk(connection)
        finally:
            self._connection = None

    def _talk(self, connection: socket.socket) -> JobFailure | None:
        options = self._options
        self._send(
            connection,
            {"type": "load", "backend": options.backend, "options": dict(options.planner)},
        )
        started_sec = time.monotonic()
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        while not self._stopping.is_set():
            if poller.poll(_POLL_SEC * 1000):
                message = receive_message(connection)
                if message is None:
                    return None
                failure = self._dispatch(message)
            else:
                failure = self._find_overdue(time.monotonic(), started_sec)
            if failure is not None:
                return failure
        return None

    def _dispatch(self, message: Message) -> JobFailure | None:
        header, arrays = message
        kind, job = header["type"], self._job
        self._gpu_memory_bytes = header.get("gpu_memory_bytes", self._gpu_memory_bytes)
        if kind == "ready":
            self._note_loaded(header["load_time_sec"])
        elif kind == "load_failed":
            return read_failure(header)
        elif job is not None and header.get("job") == job.identity:
            job.last_heard_sec = time.monotonic()
            if kind == "progress":
                job.events.put(plan_codec.unpack_progress(header))
            elif kind == "failure":
                self._end_job(read_failure(header), WorkerState.READY)
            elif kind == "result":
                plan = plan_codec.unpack_plan(header, arrays, job.request)
                folder, save_error = str(header["folder"]), str(header["save_error"])
                answer = JobAnswer(plan=plan, folder=folder, save_error=save_error)
                self._end_job(answer, WorkerState.READY)
        return None

    def _end_job(self, event: JobAnswer | JobFailure, state: WorkerState) -> None:
        with self._changed:
            job, self._job = self._job, None
            self._state = state
            self._changed.notify_all()
        if job is not None:
            job.events.put(event)

    def _find_overdue(self, now_sec: float, started_sec: float) -> JobFailure | None:
        options, job = self._options, self._job
        if self._state is WorkerState.LOADING and now_sec - started_sec > options.load_timeout_sec:
            return JobFailure(
                code=ErrorCode.NOT_READY,
                message=f"the model must be loaded within {options.load_timeout_sec:g} s, got no "
                "answer. Raise load_timeout_sec.",
            )
        if job is None:
            return None
        if job.canceled_sec is not None and now_sec - job.canceled_sec > options.drain_timeout_sec:
            return JobFailure(
                code=ErrorCode.CANCELED,
                message=f"the worker must stop within {options.drain_timeout_sec:g} s of a cancel, "
                "got no answer. It was restarted.",
            )
        if now_sec - job.last_heard_sec > options.watchdog_sec:
            return JobFailure(
                code=ErrorCode.WORKER_DIED,
                message=f"the worker must report within {options.watchdog_sec:g} s, got silence. "
                "It was restarted; raise watchdog_sec if a step may take longer.",
            )
        return None
