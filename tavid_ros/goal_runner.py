"""One goal of the action from acceptance to its only terminal state."""

from __future__ import annotations

import dataclasses
import datetime
import queue
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from rclpy.action.server import ServerGoalHandle
from rclpy.impl.rcutils_logger import RcutilsLogger
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, TavidError
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest
from tavid_ros import conversions
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters
from tavid_ros.publishers import PlanPublishers
from tavid_ros.worker_job import JobAnswer, JobFailure, WorkerJob, WorkerState
from tavid_ros.worker_process import WorkerProcess

__all__ = ["GoalRunner", "LastPlan", "name_folder"]

_POLL_SEC = 0.01
_QUEUED_STAGE = "queued"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LastPlan:
    """How the last goal ended, for diagnostics.

    Args:
        code: Outcome.
        message: Why, "" for success.
        duration_sec: From acceptance to the end.
        plan_uri: Where it was saved, or "".
    """

    code: ErrorCode
    message: str
    duration_sec: float
    plan_uri: str


@dataclasses.dataclass(frozen=True)
class _Outcome:
    code: ErrorCode
    message: str = ""
    answer: JobAnswer | None = None


def name_folder(output_dir: Path, goal_id: bytes, now: datetime.datetime) -> Path:
    """Name the folder of a plan: nothing in it comes from a client but its goal id, in hex.

    Args:
        output_dir: Parent folder.
        goal_id: 16 bytes.
        now: Time of the plan, with a time zone.

    Returns:
        A path that does not exist yet.
    """
    stamp = now.astimezone(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return output_dir / f"{stamp}-{goal_id.hex()}"


class GoalRunner:
    """Runs goals, one at a time, each on the thread that calls `run`.

    Args:
        worker: The process with the model.
        inputs: The latest messages.
        publishers: Where plans go.
        output_dir: Where plans are saved.
        logger: Of the node.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        inputs: LatestInputs,
        publishers: PlanPublishers,
        output_dir: Path,
        logger: RcutilsLogger,
    ) -> None:
        self._worker = worker
        self._inputs = inputs
        self._publishers = publishers
        self._output_dir = output_dir
        self._logger = logger
        self._interrupt: _Outcome | None = None
        self._num_running = 0
        self._idle = threading.Condition()
        self._last_plan: LastPlan | None = None

    @property
    def last_plan(self) -> LastPlan | None:
        """How the last goal ended."""
        return self._last_plan

    def interrupt(self, code: ErrorCode, message: str, timeout_sec: float) -> bool:
        """End the running goal and refuse to run others.

        Args:
            code: What its result reports.
            message: Why.
            timeout_sec: Longest wait for its end.

        Returns:
            Whether no goal runs any more.
        """
        self._interrupt = _Outcome(code, message)
        with self._idle:
            return self._idle.wait_for(lambda: not self._num_running, timeout_sec)

    def resume(self) -> None:
        """Run goals again after `interrupt`."""
        self._interrupt = None

    def run(
        self, goal_handle: ServerGoalHandle, parameters: PlannerParameters
    ) -> PlanInteraction.Result:
        """Plan, report progress, publish, and put the goal into its terminal state.

        Args:
            goal_handle: An accepted goal.
            parameters: Snapshot for this goal.

        Returns:
            The result to send.
        """
        with self._idle:
            self._num_running += 1
        start_sec = time.monotonic()
        try:
            outcome = self._plan(goal_handle, parameters, start_sec)
            return self._finish(goal_handle, outcome, time.monotonic() - start_sec)
        finally:
            with self._idle:
                self._num_running -= 1
                self._idle.notify_all()

    def _plan(
        self, goal_handle: ServerGoalHandle, parameters: PlannerParameters, start_sec: float
    ) -> _Outcome:
        try:
            request = self._inputs.make_request(goal_handle.request, parameters)
            run = _Run(self._worker, goal_handle, parameters, start_sec)
            return run.wait(request, self._choose_folder(goal_handle, parameters), self._check)
        except TavidError as error:
            return _Outcome(error.code, str(error))
        except Exception as error:  # noqa: BLE001 - edge of the goal's thread: its client is told
            return self._explain("plan the goal", error)

    def _explain(self, task: str, error: Exception) -> _Outcome:
        """Make an outcome of an error that nobody foresaw; rclpy would send an empty result."""
        self._logger.error(f"could not {task}:\n{traceback.format_exc()}")
        return _Outcome(
            ErrorCode.UNKNOWN,
            f"the node must {task}, got {type(error).__name__}: {error}. See the node's log.",
        )

    def _check(self) -> _Outcome | None:
        return self._interrupt

    def _choose_folder(self, goal_handle: ServerGoalHandle, parameters: PlannerParameters) -> str:
        if not parameters.save_plans:
            return ""
        now = datetime.datetime.now(datetime.timezone.utc)
        return str(name_folder(self._output_dir, bytes(goal_handle.goal_id.uuid), now))

    def _finish(
        self, goal_handle: ServerGoalHandle, outcome: _Outcome, duration_sec: float
    ) -> PlanInteraction.Result:
        if outcome.code is ErrorCode.NONE and goal_handle.is_cancel_requested:
            outcome = _Outcome(ErrorCode.CANCELED, "plan was canceled as it became ready.")
        if outcome.answer is not None:
            outcome = _judge(outcome.answer)
        result = conversions.make_result(outcome.code, outcome.message, duration_sec)
        if outcome.answer is not None:
            try:
                self._deliver(outcome, result, return_frames=goal_handle.request.return_frames)
            except Exception as error:  # noqa: BLE001 - edge of the goal's thread, as above
                outcome = self._explain("publish the plan", error)
                uri = result.plan_uri
                result = conversions.make_result(outcome.code, outcome.message, duration_sec)
                result.plan_uri = uri
        self._last_plan = LastPlan(
            code=outcome.code,
            message=outcome.message,
            duration_sec=duration_sec,
            plan_uri=result.plan_uri,
        )
        self._log(goal_handle, outcome, duration_sec)
        if outcome.code is ErrorCode.NONE:
            goal_handle.succeed()
        elif outcome.code is ErrorCode.CANCELED and goal_handle.is_cancel_requested:
            goal_handle.canceled()
        else:
            goal_handle.abort()
        return result

    def _deliver(
        self, outcome: _Outcome, result: PlanInteraction.Result, *, return_frames: bool
    ) -> None:
        plan = outcome.answer.plan
        # First, so that a plan that cannot be sent can still be found.
        result.plan_uri = uri = _make_uri(outcome.answer.folder)
        conversions.fill_result(result, plan, uri, return_frames=return_frames)
        self._publishers.publish(plan, is_executable=outcome.code is ErrorCode.NONE)

    def _log(self, goal_handle: ServerGoalHandle, outcome: _Outcome, duration_sec: float) -> None:
        name = bytes(goal_handle.goal_id.uuid).hex()[:8]
        if outcome.code in (ErrorCode.NONE, ErrorCode.CANCELED):
            self._logger.info(f"goal {name}: {outcome.code.name} after {duration_sec:.2f} s")
            if outcome.answer is not None and outcome.answer.save_error:
                self._logger.error(f"goal {name}: {outcome.answer.save_error}")
        else:
            self._logger.error(
                f"goal {name}: {outcome.code.name} after {duration_sec:.2f} s: {outcome.message}"
            )


@dataclasses.dataclass(frozen=True)
class _Run:
    """The wait for one plan."""

    worker: WorkerProcess
    goal_handle: ServerGoalHandle
    parameters: PlannerParameters
    start_sec: float

    def wait(
        self, request: PlanRequest, folder: str, find_interrupt: Callable[[], _Outcome | None]
    ) -> _Outcome:
        job, teller = None, _Teller(self.goal_handle, self.parameters, self.start_sec)
        queued = PlanProgress(stage=_QUEUED_STAGE, step=0, total_steps=0, elapsed_sec=0)
        try:
            while True:
                verdict = find_interrupt() or self._find_end()
                if verdict is not None:
                    return self._give_up(job, verdict)
                if job is None:
                    teller.tell(queued)
                    job = self._submit(request, folder)
                    continue
                try:
                    event = job.events.get(timeout=_POLL_SEC)
                except queue.Empty:
                    continue
                if isinstance(event, PlanProgress):
                    teller.tell(event)
                elif isinstance(event, JobFailure):
                    return self._judge_failure(event)
                else:
                    return _Outcome(ErrorCode.NONE, event.save_error, event)
        except Exception:
            # The worker would go on for nobody.
            if job is not None:
                self.worker.cancel(job)
            raise

    def _submit(self, request: PlanRequest, folder: str) -> WorkerJob | None:
        job = self.worker.try_submit(request, folder)
        if job is None:
            if self.worker.state in (WorkerState.FAILED, WorkerState.STOPPED):
                # Raises what is wrong with it.
                self.worker.wait_ready(0.0)
            time.sleep(_POLL_SEC)
        return job

    def _find_end(self) -> _Outcome | None:
        if self.goal_handle.is_cancel_requested:
            return _Outcome(ErrorCode.CANCELED, "plan was canceled.")
        limit_sec = self.parameters.goal_time_limit_sec
        if time.monotonic() - self.start_sec > limit_sec:
            return _Outcome(
                ErrorCode.TIMEOUT,
                f"a plan must be ready within {limit_sec:g} s, got no result. Ask for fewer steps "
                "or raise goal_time_limit_sec.",
            )
        return None

    def _give_up(self, job: WorkerJob | None, verdict: _Outcome) -> _Outcome:
        if job is None:
            return verdict
        self.worker.cancel(job)
        # The worker stops at its next step; a goal does not wait for that longer than the grace.
        deadline_sec = time.monotonic() + self.parameters.cancel_grace_sec
        while (left_sec := deadline_sec - time.monotonic()) > 0:
            try:
                event = job.events.get(timeout=left_sec)
            except queue.Empty:
                break
            if not isinstance(event, PlanProgress):
                break
        return verdict

    def _judge_failure(self, failure: JobFailure) -> _Outcome:
        if failure.code is ErrorCode.CANCELED and not self.goal_handle.is_cancel_requested:
            return _Outcome(ErrorCode.UNKNOWN, failure.message)
        return _Outcome(failure.code, failure.message)


class _Teller:
    """Sends feedback: every new stage at once, steps at most at the rate."""

    def __init__(
        self, goal_handle: ServerGoalHandle, parameters: PlannerParameters, start_sec: float
    ) -> None:
        self._goal_handle = goal_handle
        self._period_sec = 1.0 / parameters.feedback_rate_hz
        self._start_sec = start_sec
        self._last_stage = ""
        self._last_sec = 0.0

    def tell(self, progress: PlanProgress) -> None:
        now_sec = time.monotonic()
        is_due = now_sec - self._last_sec >= self._period_sec
        if progress.stage == self._last_stage and not is_due:
            return
        self._last_stage, self._last_sec = progress.stage, now_sec
        since_accepted = dataclasses.replace(progress, elapsed_sec=now_sec - self._start_sec)
        self._goal_handle.publish_feedback(conversions.feedback_from_progress(since_accepted))


def _judge(answer: JobAnswer) -> _Outcome:
    """Turn a plan without an actor into NO_ACTOR; its pictures stay worth a look."""
    plan: InteractionPlan = answer.plan
    if not plan.motion.has_actor:
        reason = plan.motion.reasons.get("actor", "no hand was found in the imagined video")
        return _Outcome(
            ErrorCode.NO_ACTOR,
            f"image must show an actor, got none: {reason}. "
            f"{answer.save_error or 'Look at the pictures of the plan.'}",
            answer,
        )
    return _Outcome(ErrorCode.NONE, answer.save_error, answer)


def _make_uri(folder: str) -> str:
    return Path(folder).absolute().as_uri() if folder else ""
