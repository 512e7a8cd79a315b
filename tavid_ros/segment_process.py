"""The segmenter node's hand on its worker process: start, ask, watch, restart.

One thread starts the child, gives it one job after the other and starts it again when it dies. The
child asks the kernel to be killed when the thread that started it ends, so this thread lives as
long as the child does.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

from tavid_core.errors import ErrorCode, TavidError
from tavid_core.segment_prompt import Segmentation
from tavid_ros.segment_job import SegmentError, SegmentJob, SegmentJobs, SegmentResult
from tavid_ros.wire import Message, WireError, receive_message, send_message
from tavid_ros.worker_job import JobFailure, WorkerState

__all__ = ["SegmentOptions", "SegmentProcess"]

_POLL_SEC = 0.1
_EXIT_WAIT_SEC = 2.0
_FIRST_BACKOFF_SEC = 0.2
_LONGEST_BACKOFF_SEC = 60.0
_DEATH_MEMORY_SEC = 300.0
_LOGGER = logging.getLogger("tavid.segment_process")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """What the worker loads, and how patient the node is with it.

    Args:
        segmenter: method, checkpoint, model_type, device, detector, detector_min_score.
        load_timeout_sec: For loading the models.
        work_timeout_sec: Longest time for one job; then the worker counts as hung.
    """

    segmenter: Mapping[str, object]
    load_timeout_sec: float = 300.0
    work_timeout_sec: float = 60.0


class SegmentProcess:
    """A supervised child process that segments.

    Args:
        options: What to load and how long to wait.
        on_load_failed: Called once, on the thread of this object, if the first load fails; the
            process is then not started again.
        on_death: Called with the reason when the child ended against our will.
    """

    def __init__(
        self,
        options: SegmentOptions,
        on_load_failed: Callable[[str], None] = lambda _: None,
        on_death: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._options = options
        self._on_load_failed = on_load_failed
        self._on_death = on_death
        self._jobs = SegmentJobs()
        self._state = WorkerState.LOADING
        self._stopping = threading.Event()
        self._wake_end, self._waking_end = socket.socketpair()
        self._waking_end.setblocking(False)
        self._process: subprocess.Popen[bytes] | None = None
        self._image_key: int | None = None
        self._has_loaded = False
        self._load_time_sec: float | None = None
        self._last_error: JobFailure | None = None
        self._deaths_sec: collections.deque[float] = collections.deque(maxlen=64)
        self._thread = threading.Thread(target=self._supervise, name="segmenter", daemon=True)
        self._thread.start()

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
    def last_error(self) -> JobFailure | None:
        """Why the worker last ended or failed to load."""
        return self._last_error

    @property
    def num_recent_deaths(self) -> int:
        """Unwanted ends within the last five minutes."""
        now = time.monotonic()
        return sum(now - death < _DEATH_MEMORY_SEC for death in tuple(self._deaths_sec))

    def submit(self, job: SegmentJob) -> None:
        """Let a job be done, and return at once.

        Args:
            job: Its `on_end` is called exactly once, whatever happens.
        """
        self._jobs.put(job)
        if self._state in (WorkerState.FAILED, WorkerState.STOPPED):
            self._jobs.end_all(self._describe_end())
        else:
            self._wake()

    def stop(self) -> None:
        """End the child and wait for its end; safe to call twice."""
        self._stopping.set()
        self._wake()
        process = self._process
        if process is not None:
            process.kill()
        self._thread.join(_EXIT_WAIT_SEC)

    def _wake(self) -> None:
        try:
            self._waking_end.send(b"\0")
        except OSError:
            # Full means that it will wake anyway; closed means that it has ended.
            return

    def _describe_end(self) -> TavidError:
        failure = self._last_error
        if failure is not None and self._state is WorkerState.FAILED:
            return SegmentError(failure.message, failure.code)
        return SegmentError(
            "the node must run, got its end. Start it again.", ErrorCode.SHUTTING_DOWN
        )

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            self._state = WorkerState.LOADING
            try:
                failure = self._run_child()
            except Exception as error:  # noqa: BLE001 - edge of the thread, which outlives it all
                failure = _explain(error)
            if self._stopping.is_set():
                break
            self._last_error = failure
            if not self._has_loaded:
                self._state = WorkerState.FAILED
                self._jobs.end_all(self._describe_end())
                self._on_load_failed(failure.message)
                return
            self._deaths_sec.append(time.monotonic())
            self._state = WorkerState.BACKOFF
            self._on_death(failure.message)
            delay_sec = _FIRST_BACKOFF_SEC * 2 ** (self.num_recent_deaths - 1)
            self._stopping.wait(min(delay_sec, _LONGEST_BACKOFF_SEC))
        self._state = WorkerState.STOPPED
        self._jobs.end_all(self._describe_end())
        self._wake_end.close()
        self._waking_end.close()

    def _run_child(self) -> JobFailure:
        own_end, child_end = socket.socketpair()
        with own_end, child_end:
            own_end.settimeout(self._options.work_timeout_sec)
            command = [sys.executable, "-m", "tavid_ros.segment_worker"]
            command += [f"--socket={child_end.fileno()}", f"--parent={os.getpid()}"]
            process = subprocess.Popen(command, pass_fds=[child_end.fileno()])
            child_end.close()
            self._process, self._image_key = process, None
            try:
                failure = self._load(own_end)
                if failure is not None:
                    return failure
                while not self._stopping.is_set():
                    job = self._jobs.take()
                    failure = self._sleep(own_end) if job is None else self._do(own_end, job)
                    if failure is not None:
                        return failure
            finally:
                self._process = None
                process.kill()
                status = process.wait()
        return _explain_status(status)

    def _load(self, connection: socket.socket) -> JobFailure | None:
        options = self._options
        send_message(connection, {"type": "load", "options": dict(options.segmenter)})
        answer = self._receive(connection, options.load_timeout_sec)
        if isinstance(answer, JobFailure):
            return answer
        header, _ = answer
        if header["type"] != "ready":
            return JobFailure(code=ErrorCode(header["code"]), message=str(header["message"]))
        self._has_loaded = True
        self._load_time_sec = header["load_time_sec"]
        self._state = WorkerState.READY
        return None

    def _sleep(self, connection: socket.socket) -> JobFailure | None:
        """Wait for a job; an idle child says nothing, so what comes from it is its end."""
        poller = select.poll()
        poller.register(self._wake_end, select.POLLIN)
        poller.register(connection, select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll()}
        if self._wake_end.fileno() in ready:
            self._wake_end.recv(4096)
        if connection.fileno() in ready:
            return self._explain_end()
        return None

    def _do(self, connection: socket.socket, job: SegmentJob) -> JobFailure | None:
        self._state = WorkerState.BUSY
        try:
            header, arrays = self._pack(job)
        except TavidError as error:
            _end(job, error)
            self._state = WorkerState.READY
            return None
        try:
            send_message(connection, header, arrays)
        except WireError as error:
            # Too long to be sent, and nothing was.
            _end(job, error)
            self._state = WorkerState.READY
            return None
        except OSError:
            answer: Message | JobFailure = self._explain_end()
        else:
            answer = self._listen(connection)
        if isinstance(answer, JobFailure):
            if not self._stopping.is_set():
                _end(job, SegmentError(answer.message, answer.code))
            else:
                _end(job, self._describe_end())
            return answer
        self._state = WorkerState.READY
        _end(job, _unpack(answer))
        return None

    def _listen(self, connection: socket.socket) -> Message | JobFailure:
        try:
            return self._receive(connection, self._options.work_timeout_sec)
        except OSError:
            return self._explain_end()

    def _pack(self, job: SegmentJob) -> Message:
        header: dict[str, object] = {"image_key": job.image_key, "has_overlay": job.has_overlay}
        if job.query is None:
            return {"type": "follow", **header}, {"image": job.read_image()}
        arrays = {}
        if job.image_key != self._image_key:
            arrays = {"image": job.read_image()}
            self._image_key = job.image_key
        header |= {"is_followed": job.is_followed, **dataclasses.asdict(job.query)}
        return {"type": "mark", **header}, arrays

    def _receive(self, connection: socket.socket, timeout_sec: float) -> Message | JobFailure:
        deadline_sec = time.monotonic() + timeout_sec
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        while not poller.poll(_POLL_SEC * 1000):
            if self._stopping.is_set():
                return JobFailure(code=ErrorCode.SHUTTING_DOWN, message="the node ended.")
            if time.monotonic() > deadline_sec:
                return JobFailure(
                    code=ErrorCode.TIMEOUT,
                    message=f"the segmenter must answer within {timeout_sec:g} s, got silence. It "
                    "was restarted; use a smaller image or model, or raise the time limit.",
                )
        message = receive_message(connection)
        return self._explain_end() if message is None else message

    def _explain_end(self) -> JobFailure:
        process = self._process
        assert process is not None
        try:
            # It closed its socket, so it is about to end; its exit status says why.
            return _explain_status(process.wait(_EXIT_WAIT_SEC))
        except subprocess.TimeoutExpired:
            return _explain_status(None)


def _end(job: SegmentJob, outcome: SegmentResult | TavidError) -> None:
    try:
        job.on_end(outcome)
    except Exception:
        # The thread outlives what the node makes of an answer.
        _LOGGER.exception("an answer of the segmenter could not be used")


def _unpack(message: Message) -> SegmentResult | TavidError:
    header, arrays = message
    if header["type"] == "failure":
        return SegmentError(str(header["message"]), ErrorCode(header["code"]))
    if header["type"] == "hidden":
        return SegmentResult(found=None, overlay=None)
    found = Segmentation(
        mask=arrays["mask"],
        score=float(header["score"]),
        method=str(header["method"]),
        note=str(header["note"]),
    )
    return SegmentResult(found=found, overlay=arrays.get("overlay"))


def _explain(error: Exception) -> JobFailure:
    if not isinstance(error, OSError):
        _LOGGER.error("the segmenter's answer could not be used", exc_info=error)
    return JobFailure(
        code=ErrorCode.WORKER_DIED,
        message=f"the segmenter process must start and answer, got {type(error).__name__}: "
        f"{error}. It was restarted; see the node's log.",
    )


def _explain_status(status: int | None) -> JobFailure:
    if status is None:
        how = "the end of its socket"
    else:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    advice = "Was it out of memory?" if status == -signal.SIGKILL else "See the node's log."
    return JobFailure(
        code=ErrorCode.WORKER_DIED,
        message=f"the segmenter process must live, got its end by {how}. {advice} It was "
        "restarted; click again.",
    )
