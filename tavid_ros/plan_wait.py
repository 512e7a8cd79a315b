"""The wait of one goal for the worker's plan."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping

from tavid_core.errors import ErrorCode
from tavid_core.types import PlanProgress, PlanRequest
from tavid_ros.goal_feedback import GoalFeedback
from tavid_ros.goal_outcome import GoalOutcome
from tavid_ros.goal_watch import GoalWatch
from tavid_ros.worker_job import JobFailure, WorkerJob, WorkerState
from tavid_ros.worker_process import WorkerProcess

__all__ = ["POLL_SEC", "PlanWait"]

POLL_SEC = 0.01


class PlanWait:
    """Submits a request, forwards progress, and gives up when the goal has to end.

    Args:
        worker: The process with the model.
        watch: Says when the goal has to end.
        feedback: Of the goal.
        cancel_grace_sec: How long a goal that gave up waits for the worker to stop.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        watch: GoalWatch,
        feedback: GoalFeedback,
        cancel_grace_sec: float,
    ) -> None:
        self._worker = worker
        self._watch = watch
        self._feedback = feedback
        self._cancel_grace_sec = cancel_grace_sec

    def wait(self, request: PlanRequest, folder: str, provenance: Mapping[str, str]) -> GoalOutcome:
        """Wait for the plan.

        Args:
            request: The question.
            folder: Where the worker saves the plan, "" = nowhere.
            provenance: Goes into the plan's.

        Returns:
            How the goal ends.

        Raises:
            WorkerError: If there is no worker to wait for.
        """
        job: WorkerJob | None = None
        try:
            while True:
                end = self._watch.find_end()
                if end is not None:
                    self._give_up(job)
                    return end
                if job is None:
                    self._feedback.tell_queued()
                    job = self._submit(request, folder, provenance)
                    continue
                try:
                    event = job.events.get(timeout=POLL_SEC)
                except queue.Empty:
                    self._feedback.repeat()
                    continue
                if isinstance(event, PlanProgress):
                    self._feedback.tell(event)
                elif isinstance(event, JobFailure):
                    return self._judge_failure(event)
                else:
                    return GoalOutcome(ErrorCode.NONE, event.save_error, event)
        except Exception:
            # The worker would go on for nobody.
            if job is not None:
                self._worker.cancel(job)
            raise

    def _submit(
        self, request: PlanRequest, folder: str, provenance: Mapping[str, str]
    ) -> WorkerJob | None:
        job = self._worker.try_submit(request, folder, provenance)
        if job is None:
            if self._worker.state in (WorkerState.FAILED, WorkerState.STOPPED):
                # Raises what is wrong with it.
                self._worker.wait_ready(0.0)
            time.sleep(POLL_SEC)
        return job

    def _give_up(self, job: WorkerJob | None) -> None:
        if job is None:
            return
        self._worker.cancel(job)
        # The worker stops at its next step; a goal does not wait for that longer than the grace.
        deadline_sec = time.monotonic() + self._cancel_grace_sec
        while (left_sec := deadline_sec - time.monotonic()) > 0:
            try:
                event = job.events.get(timeout=left_sec)
            except queue.Empty:
                break
            if not isinstance(event, PlanProgress):
                break

    def _judge_failure(self, failure: JobFailure) -> GoalOutcome:
        if failure.code is ErrorCode.CANCELED and not self._watch.is_canceled:
            return GoalOutcome(ErrorCode.UNKNOWN, failure.message)
        return GoalOutcome(failure.code, failure.message)
