"""One goal of the action from acceptance to its only terminal state."""

from __future__ import annotations

import dataclasses
import datetime
import time
import traceback
from pathlib import Path

from rclpy.action.server import ServerGoalHandle
from rclpy.impl.rcutils_logger import RcutilsLogger
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, TavidError
from tavid_ros import conversions
from tavid_ros.goal_feedback import GoalFeedback
from tavid_ros.goal_gate import GoalGate, GoalTicket
from tavid_ros.goal_outcome import GoalOutcome, judge_answer
from tavid_ros.goal_statistics import GoalStatistics
from tavid_ros.goal_watch import GoalWatch
from tavid_ros.inputs import LatestInputs
from tavid_ros.keep_alive import KeepAlive
from tavid_ros.parameters import PlannerParameters
from tavid_ros.plan_wait import POLL_SEC, PlanWait
from tavid_ros.publishers import PlanPublishers
from tavid_ros.worker_job import WorkerState
from tavid_ros.worker_process import WorkerProcess

__all__ = ["GoalRunner", "LastPlan", "name_folder"]

_OCCUPIED = (WorkerState.LOADING, WorkerState.BUSY, WorkerState.BACKOFF)


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
    """Runs goals, each on the thread that calls `run`; the worker takes one at a time.

    Args:
        worker: The process with the model.
        inputs: The latest messages.
        publishers: Where plans go.
        gate: Whose turn it is.
        output_dir: Where plans are saved.
        logger: Of the node.

    Attributes:
        statistics: How goals ended.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        inputs: LatestInputs,
        publishers: PlanPublishers,
        gate: GoalGate,
        output_dir: Path,
        logger: RcutilsLogger,
    ) -> None:
        self._worker = worker
        self._inputs = inputs
        self._publishers = publishers
        self._gate = gate
        self._output_dir = output_dir
        self._logger = logger
        self._interrupt: GoalOutcome | None = None
        self._last_plan: LastPlan | None = None
        self.statistics = GoalStatistics()

    @property
    def last_plan(self) -> LastPlan | None:
        """How the last goal ended."""
        return self._last_plan

    def interrupt(self, code: ErrorCode, message: str) -> None:
        """End every goal within milliseconds and refuse to run others.

        Args:
            code: What their results report.
            message: Why.
        """
        self._interrupt = GoalOutcome(code, message)

    def resume(self) -> None:
        """Run goals again after `interrupt`."""
        self._interrupt = None

    def run(
        self,
        goal_handle: ServerGoalHandle,
        ticket: GoalTicket,
        parameters: PlannerParameters,
        keep_alive: KeepAlive,
    ) -> PlanInteraction.Result:
        """Wait for its turn, plan, report progress, publish, and end the goal.

        Args:
            goal_handle: An accepted goal.
            ticket: Its place.
            parameters: Snapshot of the moment of its acceptance.
            keep_alive: What its client says.

        Returns:
            The result to send; the goal is in its terminal state.
        """
        outcome = self._plan(goal_handle, ticket, parameters, keep_alive)
        return self._finish(goal_handle, outcome, time.monotonic() - ticket.accepted_sec)

    def _plan(
        self,
        goal_handle: ServerGoalHandle,
        ticket: GoalTicket,
        parameters: PlannerParameters,
        keep_alive: KeepAlive,
    ) -> GoalOutcome:
        try:
            limit_sec = parameters.goal_time_limit_sec
            watch = GoalWatch(goal_handle, ticket, keep_alive, limit_sec, lambda: self._interrupt)
            feedback = GoalFeedback(goal_handle, ticket.accepted_sec, parameters.feedback_rate_hz)
            while not (self._gate.is_first(ticket) and self._may_choose(goal_handle.request)):
                end = watch.find_end()
                if end is not None:
                    return end
                feedback.tell_queued()
                time.sleep(POLL_SEC)
            # Not before its plan can start: "the latest image" is meant as of then.
            request = self._inputs.wait_request(goal_handle.request, parameters, watch.find_end)
            if request is None:
                return watch.find_end() or GoalOutcome(ErrorCode.CANCELED, "plan was canceled.")
            self._publishers.prepare(request, lambda: watch.find_end() is not None)
            wait = PlanWait(self._worker, watch, feedback, parameters.cancel_grace_sec)
            provenance = {"goal_id": bytes(goal_handle.goal_id.uuid).hex()}
            return wait.wait(request, self._choose_folder(goal_handle, parameters), provenance)
        except TavidError as error:
            return GoalOutcome(error.code, str(error))
        except Exception as error:  # noqa: BLE001 - edge of the goal's thread: its client is told
            return self._explain("plan the goal", error)

    def _may_choose(self, goal: PlanInteraction.Goal) -> bool:
        """Tell whether the inputs can be chosen: a topic's would age while the worker is busy."""
        if not conversions.is_empty_image(goal.image):
            return True
        return self._worker.state not in _OCCUPIED

    def _explain(self, task: str, error: Exception) -> GoalOutcome:
        """Make an outcome of an error that nobody foresaw; rclpy would send an empty result."""
        self._logger.error(f"could not {task}:\n{traceback.format_exc()}")
        return GoalOutcome(
            ErrorCode.UNKNOWN,
            f"the node must {task}, got {type(error).__name__}: {error}. See the node's log.",
        )

    def _choose_folder(self, goal_handle: ServerGoalHandle, parameters: PlannerParameters) -> str:
        if not parameters.save_plans:
            return ""
        now = datetime.datetime.now(datetime.timezone.utc)
        return str(name_folder(self._output_dir, bytes(goal_handle.goal_id.uuid), now))

    def _finish(
        self, goal_handle: ServerGoalHandle, outcome: GoalOutcome, duration_sec: float
    ) -> PlanInteraction.Result:
        if outcome.code is ErrorCode.NONE and goal_handle.is_cancel_requested:
            outcome = GoalOutcome(
                ErrorCode.CANCELED, "plan was canceled as it became ready. Ask again."
            )
        if outcome.answer is not None:
            outcome = judge_answer(outcome.answer)
        result = conversions.make_result(outcome.code, outcome.message, duration_sec)
        if outcome.answer is not None:
            try:
                self._deliver(outcome, result, return_frames=goal_handle.request.return_frames)
            except Exception as error:  # noqa: BLE001 - edge of the goal's thread, as above
                outcome = self._explain("publish the plan", error)
                uri = result.plan_uri
                result = conversions.make_result(outcome.code, outcome.message, duration_sec)
                result.plan_uri = uri
        self.statistics.add(outcome.code, duration_sec)
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
        self, outcome: GoalOutcome, result: PlanInteraction.Result, *, return_frames: bool
    ) -> None:
        plan = outcome.answer.plan
        # First, so that a plan that cannot be sent can still be found.
        result.plan_uri = uri = _make_uri(outcome.answer.folder)
        conversions.fill_result(result, plan, uri, return_frames=return_frames)
        self._publishers.change_frame(plan.request, result.motion)
        # Without a contact it is empty, and in no frame.
        if result.contact_point.header.frame_id:
            self._publishers.change_frame(plan.request, result.contact_point)
        self._publishers.publish(plan, is_executable=outcome.code is ErrorCode.NONE)

    def _log(
        self, goal_handle: ServerGoalHandle, outcome: GoalOutcome, duration_sec: float
    ) -> None:
        name = bytes(goal_handle.goal_id.uuid).hex()[:8]
        if outcome.code in (ErrorCode.NONE, ErrorCode.CANCELED, ErrorCode.SUPERSEDED):
            self._logger.info(f"goal {name}: {outcome.code.name} after {duration_sec:.2f} s")
            if outcome.answer is not None and outcome.answer.save_error:
                self._logger.error(f"goal {name}: {outcome.answer.save_error}")
        else:
            self._logger.error(
                f"goal {name}: {outcome.code.name} after {duration_sec:.2f} s: {outcome.message}"
            )


def _make_uri(folder: str) -> str:
    return Path(folder).absolute().as_uri() if folder else ""
