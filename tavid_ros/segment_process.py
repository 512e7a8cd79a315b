"""The segmenter node's hand on its worker process: one job after the other."""

from __future__ import annotations

import dataclasses
import logging
import select
import socket
import time
from collections.abc import Callable, Mapping

from tavid_core.errors import ErrorCode, TavidError
from tavid_core.segment_prompt import Segmentation
from tavid_ros.child_process import ChildProcess, ChildProgram, read_failure
from tavid_ros.segment_job import SegmentError, SegmentJob, SegmentJobs, SegmentResult
from tavid_ros.wire import Message, WireError, receive_message, send_message
from tavid_ros.worker_job import JobFailure, WorkerState

__all__ = ["SegmentOptions", "SegmentProcess"]

_POLL_SEC = 0.1
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


class SegmentProcess(ChildProcess):
    """A supervised child process that segments; it starts at once.

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
        super().__init__(
            ChildProgram(
                module="tavid_ros.segment_worker",
                name="segmenter",
                send_timeout_sec=options.work_timeout_sec,
                advice="It was restarted; click again.",
            )
        )
        self._options = options
        self._on_load_failed = on_load_failed
        self._on_death = on_death
        self._jobs = SegmentJobs()
        self._job: SegmentJob | None = None
        self._wake_end, self._waking_end = socket.socketpair()
        self._waking_end.setblocking(False)
        self._image_key: int | None = None
        self.start()

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
        super().stop()

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

    def _end_jobs(self, failure: JobFailure, state: WorkerState) -> None:
        self._set_state(state)
        is_restarted = state is WorkerState.BACKOFF
        error = SegmentError(failure.message, failure.code) if is_restarted else None
        self._end_job(error or self._describe_end())
        if is_restarted:
            self._on_death(failure.message)
            return
        self._jobs.end_all(self._describe_end())
        if state is WorkerState.FAILED:
            self._on_load_failed(failure.message)
        self._wake_end.close()
        self._waking_end.close()

    def _end_job(self, outcome: SegmentResult | TavidError) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        try:
            job.on_end(outcome)
        except Exception:
            # The thread outlives what the node makes of an answer.
            _LOGGER.exception("an answer of the segmenter could not be used")

    def _serve(self, connection: socket.socket) -> JobFailure | None:
        self._image_key = None
        failure = self._load(connection)
        while failure is None and not self._stopping.is_set():
            self._job = self._jobs.take()
            failure = self._sleep(connection) if self._job is None else self._do(connection)
        return failure

    def _load(self, connection: socket.socket) -> JobFailure | None:
        options = self._options
        send_message(connection, {"type": "load", "options": dict(options.segmenter)})
        answer = self._receive(connection, "load_timeout_sec")
        if isinstance(answer, JobFailure):
            return answer
        header, _ = answer
        if header["type"] != "ready":
            return read_failure(header)
        self._note_loaded(header["load_time_sec"])
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

    def _do(self, connection: socket.socket) -> JobFailure | None:
        self._set_state(WorkerState.BUSY)
        try:
            header, arrays = self._pack(self._job)
            answer = self._ask(connection, header, arrays)
        except TavidError as error:
            # Of a picture that cannot be read or sent; nothing was.
            answer = error
        if isinstance(answer, JobFailure):
            return answer
        outcome = answer if isinstance(answer, TavidError) else _unpack(answer)
        self._set_state(WorkerState.READY)
        self._end_job(outcome)
        return None

    def _ask(
        self, connection: socket.socket, header: dict[str, object], arrays: Mapping[str, object]
    ) -> Message | JobFailure | TavidError:
        try:
            send_message(connection, header, arrays)
        except WireError as error:
            return error
        except OSError:
            return self._explain_end()
        try:
            return self._receive(connection, "work_timeout_sec")
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

    def _receive(self, connection: socket.socket, limit: str) -> Message | JobFailure:
        timeout_sec: float = getattr(self._options, limit)
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
                    f"was restarted; use a smaller image or model, or raise {limit}.",
                )
        message = receive_message(connection)
        return self._explain_end() if message is None else message


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
