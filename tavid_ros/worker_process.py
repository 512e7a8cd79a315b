"""The node's hand on its worker process: start, watch, ask, cancel, restart.

One thread per worker starts the child, reads what it sends and starts it again when it dies. The
child asks the kernel to be killed when the thread that started it ends (that is how PDEATHSIG
counts), so this thread lives as long as the child does.
"""

from __future__ import annotations

import collections
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from tavid_core.errors import ErrorCode
from tavid_core.types import PlanRequest
from tavid_ros import plan_codec
from tavid_ros.wire import Message, WireError, receive_message, send_message
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
_EXIT_WAIT_SEC = 2.0
_FIRST_BACKOFF_SEC = 0.2
_LONGEST_BACKOFF_SEC = 60.0
_DEATH_MEMORY_SEC = 300.0
_LOGGER = logging.getLogger("tavid.worker_process")
_SHUT_DOWN = JobFailure(code=ErrorCode.SHUTTING_DOWN, message="the node ended its worker.")


class WorkerProcess:
    """A supervised child process that holds the model.

    Args:
        options: What to load and how long to wait.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._state = WorkerState.STOPPED
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._job: WorkerJob | None = None
        self._num_jobs = 0
        self._has_loaded = False
        self._load_time_sec: float | None = None
        self._gpu_memory_bytes: int | None = None
        self._last_error: JobFailure | None = None
        self._deaths_sec: collections.deque[float] = collections.deque(maxlen=64)

    @property
    def state(self) -> WorkerState:
        """What the worker is doing."""
        return self._state

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    @property
    def load_time_sec(self) -> float | None:
        """How long the last load took."""
        return self._load_time_sec

    @property
    def gpu_memory_bytes(self) -> int | None:
        """What the child last held of the GPU's memory, None without a GPU."""
        return self._gpu_memory_bytes

    @property
    def last_error(self) -> JobFailure | None:
        """Why the worker last ended or failed to load."""
        return self._last_error

    @property
    def num_recent_deaths(self) -> int:
        """Unwanted ends within the last five minutes."""
        now = time.monotonic()
        return sum(now - death < _DEATH_MEMORY_SEC for death in tuple(self._deaths_sec))

    def start(self) -> None:
        """Start the child, once, and return at once; does nothing after `stop`."""
        with self._changed:
            if self._stopping.is_set():
                return
            self._state = WorkerState.LOADING
            self._thread = threading.Thread(target=self._supervise, name="worker", daemon=True)
            self._thread.start()

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

    def stop(self) -> None:
        """End the child and wait for its end; safe to call twice."""
        self._stopping.set()
        self._kill()
        with self._changed:
            thread = self._thread
        if thread is not None:
            thread.join(_EXIT_WAIT_SEC)
        self._set_state(WorkerState.STOPPED)

    def _set_state(self, state: WorkerState) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

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

    def _kill(self) -> None:
        process = self._process
        if process is not None:
            process.kill()

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            self._set_state(WorkerState.LOADING)
            try:
                failure = self._run_child()
            except Exception as error:  # noqa: BLE001 - edge of the thread, which outlives it all
                failure = _explain_death(error)
            if self._stopping.is_set():
                # Killed on purpose, its socket may break in any way: that is not the reason.
                failure = _SHUT_DOWN
            # State and job change together: no job can be taken on that nobody would end.
            self._end_job(failure, WorkerState.BACKOFF)
            if self._stopping.is_set():
                break
            self._last_error = failure
            if not self._has_loaded:
                self._set_state(WorkerState.FAILED)
                return
            self._deaths_sec.append(time.monotonic())
            self._set_state(WorkerState.BACKOFF)
            delay = _FIRST_BACKOFF_SEC * 2 ** (self.num_recent_deaths - 1)
            self._stopping.wait(min(delay, _LONGEST_BACKOFF_SEC))
        self._set_state(WorkerState.STOPPED)

    def _run_child(self) -> JobFailure:
        own_end, child_end = socket.socketpair()
        with own_end, child_end:
            own_end.settimeout(self._options.watchdog_sec)
            process = subprocess.Popen(self._command(child_end), pass_fds=[child_end.fileno()])
            child_end.close()
            self._process, self._connection = process, own_end
            if self._stopping.is_set():
                process.kill()
            try:
                reason = self._serve(own_end)
            finally:
                self._connection = self._process = None
                end = _reap(process, was_asked=self._stopping.is_set())
        return reason or end

    def _command(self, child_end: socket.socket) -> list[str]:
        return [
            sys.executable,
            "-m",
            "tavid_ros.worker",
            f"--socket={child_end.fileno()}",
            f"--parent={os.getpid()}",
            f"--niceness={self._options.niceness}",
        ]

    def _serve(self, connection: socket.socket) -> JobFailure | None:
        """Read until the child ends (None) or has to be ended (the reason)."""
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
            self._has_loaded = True
            self._load_time_sec = header["load_time_sec"]
            self._set_state(WorkerState.READY)
        elif kind == "load_failed":
            return _read_failure(header)
        elif job is not None and header.get("job") == job.identity:
            job.last_heard_sec = time.monotonic()
            if kind == "progress":
                job.events.put(plan_codec.unpack_progress(header))
            elif kind == "failure":
                self._end_job(_read_failure(header), WorkerState.READY)
            elif kind == "result":
                plan = plan_codec.unpack_plan(header, arrays, job.request)
                folder, save_error = str(header["folder"]), str(header["save_error"])
                answer = JobAnswer(plan=plan, folder=folder, save_error=save_error)
                self._end_job(answer, WorkerState.READY)
        return None

    def _end_job(self, event: JobAnswer | JobFailure, state: WorkerState | None = None) -> None:
        with self._changed:
            job, self._job = self._job, None
            if state is not None:
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


def _read_failure(header: Mapping[str, object]) -> JobFailure:
    return JobFailure(code=ErrorCode(header["code"]), message=str(header["message"]))


def _explain_death(error: Exception) -> JobFailure:
    if isinstance(error, WireError):
        return JobFailure(code=ErrorCode.WORKER_DIED, message=str(error))
    if not isinstance(error, OSError):
        _LOGGER.error("the worker's answer could not be used", exc_info=error)
    return JobFailure(
        code=ErrorCode.WORKER_DIED,
        message=f"the worker process must start and answer, got {type(error).__name__}: {error}. "
        "It was restarted; see the node's log.",
    )


def _reap(process: subprocess.Popen[bytes], *, was_asked: bool) -> JobFailure:
    try:
        # A child that closed its socket is about to end; let it, its exit status says why.
        status = process.wait(0.0 if was_asked else 0.2)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    advice = "Was it out of memory?" if status == -signal.SIGKILL else "See the worker's log."
    return JobFailure(
        code=ErrorCode.WORKER_DIED,
        message=f"the worker process must live, got its end by {how}. {advice} It was restarted.",
    )
