"""Every way in which asking for a plan can fail, and where its plan is."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

from action_msgs.msg import GoalStatus
from tavid.action import PlanInteraction

from tavid_core.errors import CanceledError, ErrorCode, TavidError

__all__ = [
    "SAVING_IS_OFF",
    "PlanFailedError",
    "PlanRejectedError",
    "PlanTimeoutError",
    "PlanUnreachableError",
    "ServerLostError",
    "check_response",
    "check_saved",
    "path_from_uri",
]

SAVING_IS_OFF = "the planner's save_plans is off"


class PlanRejectedError(TavidError):
    """The planner did not take the goal.

    Args:
        refusal: What the planner said on `~/refusal`, "CODE: reason"; "" if that did not arrive.
    """

    def __init__(self, refusal: str) -> None:
        reason = refusal or (
            "the planner is busy or not active. Wait for the other goal, or cancel it; the "
            "planner's log names the reason."
        )
        super().__init__(f"goal must be accepted, got a rejection: {reason}")
        self.code = ErrorCode.__members__.get(refusal.partition(":")[0], ErrorCode.BUSY)


class PlanTimeoutError(TavidError, TimeoutError):
    """The time that the caller gave has passed."""

    code = ErrorCode.TIMEOUT


class ServerLostError(TavidError, ConnectionError):
    """The planner's process ended, was restarted, or cannot be reached."""

    code = ErrorCode.WORKER_DIED


class PlanUnreachableError(TavidError):
    """The plan was made, but its folder is not on this machine."""


class PlanFailedError(TavidError):
    """The planner ended the goal without a usable plan.

    Args:
        message: The planner's words.
        code: The planner's code.
        plan_uri: Where the pictures are for NO_ACTOR, else "".

    Attributes:
        plan_uri: As above; `PlanClient.load` reads it.
    """

    def __init__(self, message: str, code: ErrorCode, plan_uri: str = "") -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.plan_uri = plan_uri


def check_response(
    response: PlanInteraction.Impl.GetResultService.Response, *, late_after_sec: float | None
) -> PlanInteraction.Result:
    """Turn the end of a goal into its result or an exception.

    Args:
        response: Of the action's result service.
        late_after_sec: The time allowed, if the client canceled because it had passed.

    Returns:
        The result; its error_code is NONE.

    Raises:
        CanceledError: If the goal was canceled in time.
        PlanTimeoutError: If it was canceled because the time had passed.
        PlanFailedError: If the planner failed; carries its code.
        ServerLostError: If the planner does not know the goal.
    """
    result = response.result
    if response.status == GoalStatus.STATUS_SUCCEEDED:
        return result
    if response.status == GoalStatus.STATUS_CANCELED and late_after_sec is not None:
        raise PlanTimeoutError(
            f"a plan must be ready within {late_after_sec:g} s, got none. The goal was canceled; "
            "allow more time or ask for fewer steps."
        )
    if response.status == GoalStatus.STATUS_CANCELED:
        raise CanceledError("plan must not go on, got a cancel. Ask again.")
    if response.status == GoalStatus.STATUS_UNKNOWN:
        raise ServerLostError("the planner must know the goal, got an unknown one. Ask again.")
    known = {int(code) for code in ErrorCode}
    code = ErrorCode(result.error_code) if result.error_code in known else ErrorCode.UNKNOWN
    raise PlanFailedError(result.error_msg, code, result.plan_uri)


def check_saved(plan_uri: str, error_msg: str) -> None:
    """Refuse a plan that is in no folder.

    Args:
        plan_uri: Of a result or a `PlanFailedError`.
        error_msg: Of the same; a planner whose disk is full says so there.

    Raises:
        PlanUnreachableError: If there is no folder; the message says why.
    """
    if not plan_uri:
        raise PlanUnreachableError(
            f"the plan must be saved to be read, got no folder: {error_msg or SAVING_IS_OFF}. "
            "Repair that, or take the motion from the result of request_plan."
        )


def path_from_uri(uri: str) -> Path:
    """Find the folder of a plan.

    Args:
        uri: `plan_uri` of a result, file://...

    Returns:
        A folder that exists.

    Raises:
        PlanUnreachableError: If it is no file URI or the folder is not on this machine.
    """
    parts = urlparse(uri)
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or not path.is_dir():
        raise PlanUnreachableError(
            f"plan_uri must be a folder on this machine, got {uri!r}. Mount the planner's "
            "output_dir here, or set return_frames in the goal of request_plan."
        )
    return path
