"""A node's hand on a child process: start it, tie it to the node, watch it, start it again.

One thread per child starts it, serves it and waits for its end. The child asks the kernel to be
killed when the thread that started it ends (that is how PDEATHSIG counts), so this thread lives as
long as the child does.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from tavid_core.errors import ErrorCode
from tavid_ros.wire import WireError
from tavid_ros.worker_job import JobFailure, WorkerState

__all__ = ["ChildProcess", "ChildProgram", "read_failure"]

_EXIT_WAIT_SEC = 2.0
_FIRST_BACKOFF_SEC = 0.2
_LONGEST_BACKOFF_SEC = 60.0
_DEATH_MEMORY_SEC = 300.0
_LOGGER = logging.getLogger("tavid.child_process")
_SHUT_DOWN = JobFailure(code=ErrorCode.SHUTTING_DOWN, message="the node ended its child process.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChildProgram:
    """What to start.

    Args:
        module: Run as `python -m`; it calls `tavid_ros.child.connect_to_parent`.
        name: As messages call it.
        send_timeout_sec: A child that does not read for longer counts as gone.
        advice: What its user does after its end.
        niceness: Added to the node's.
    """

    module: str
    name: str
    send_timeout_sec: float
    advice: str = "It was restarted."
    niceness: int = 0


class ChildProcess(abc.ABC):
    """A supervised child process; who derives from it says what is talked about with the child.

    Args:
        program: What to start.
    """

    def __init__(self, program: ChildProgram) -> None:
        self._program = program
        self._changed = threading.Condition()
        self._state = WorkerState.STOPPED
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._load_time_sec: float | None = None
        self._last_error: JobFailure | None = None
        self._deaths_sec: collections.deque[float] = collections.deque(maxlen=64)

    @property
    def state(self) -> WorkerState:
        """What the child is doing."""
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
    def last_error(self) -> JobFailure | None:
        """Why the child last ended or failed to load."""
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
            self._thread = threading.Thread(
                target=self._supervise, name=self._program.name, daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the child and wait for its end; safe to call twice."""
        self._stopping.set()
        self._kill()
        with self._changed:
            thread = self._thread
        if thread is not None:
            thread.join(_EXIT_WAIT_SEC)
        self._set_state(WorkerState.STOPPED)

    @abc.abstractmethod
    def _serve(self, connection: socket.socket) -> JobFailure | None:
        """Load and work until the child has gone (None) or must go (why)."""

    @abc.abstractmethod
    def _end_jobs(self, failure: JobFailure, state: WorkerState) -> None:
        """Enter a state without a child, and end what will not be done any more in one step.

        FAILED: the first load went wrong, and no other is tried. BACKOFF: it is started again
        soon. STOPPED: the node ends.
        """

    def _note_loaded(self, load_time_sec: float) -> None:
        self._load_time_sec = load_time_sec
        self._set_state(WorkerState.READY)

    def _set_state(self, state: WorkerState) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

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
                failure = self._explain_error(error)
            if self._stopping.is_set():
                break
            self._last_error = failure
            if self._load_time_sec is None:
                self._end_jobs(failure, WorkerState.FAILED)
                return
            self._deaths_sec.append(time.monotonic())
            self._end_jobs(failure, WorkerState.BACKOFF)
            delay_sec = _FIRST_BACKOFF_SEC * 2 ** (self.num_recent_deaths - 1)
            self._stopping.wait(min(delay_sec, _LONGEST_BACKOFF_SEC))
        # Killed on purpose, its socket may have broken in any way: that is not the reason.
        self._end_jobs(_SHUT_DOWN, WorkerState.STOPPED)

    def _run_child(self) -> JobFailure:
        own_end, child_end = socket.socketpair()
        with own_end, child_end:
            own_end.settimeout(self._program.send_timeout_sec)
            process = subprocess.Popen(self._command(child_end), pass_fds=[child_end.fileno()])
            child_end.close()
            self._process = process
            if self._stopping.is_set():
                process.kill()
            try:
                return self._serve(own_end) or self._explain_end()
            finally:
                self._process = None
                process.kill()
                process.wait()

    def _command(self, child_end: socket.socket) -> list[str]:
        return [
            sys.executable,
            "-m",
            self._program.module,
            f"--socket={child_end.fileno()}",
            f"--parent={os.getpid()}",
            f"--niceness={self._program.niceness}",
        ]

    def _explain_error(self, error: Exception) -> JobFailure:
        if isinstance(error, WireError):
            return JobFailure(code=ErrorCode.WORKER_DIED, message=str(error))
        name = self._program.name
        if not isinstance(error, OSError):
            _LOGGER.error("the answer of the %s could not be used", name, exc_info=error)
        return JobFailure(
            code=ErrorCode.WORKER_DIED,
            message=f"the {name} process must start and answer, got {type(error).__name__}: "
            f"{error}. It was restarted; see the node's log.",
        )

    def _explain_end(self) -> JobFailure:
        """Tell how a child ended that closed its socket, and so is about to end."""
        process = self._process
        assert process is not None
        status: int | None = None
        if not self._stopping.is_set():
            try:
                status = process.wait(_EXIT_WAIT_SEC)
            except subprocess.TimeoutExpired:
                status = None
        if status is None:
            how = "the end of its socket"
        else:
            how = (
                f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            )
        cause = "Was it out of memory?" if status == -signal.SIGKILL else "See the node's log."
        return JobFailure(
            code=ErrorCode.WORKER_DIED,
            message=f"the {self._program.name} process must live, got its end by {how}. {cause} "
            f"{self._program.advice}",
        )


def read_failure(header: Mapping[str, object]) -> JobFailure:
    """Read what a child says of a job or a load that went wrong.

    Args:
        header: With code and message.

    Returns:
        The failure.
    """
    return JobFailure(code=ErrorCode(header["code"]), message=str(header["message"]))
