"""Every way in which asking for a plan can fail, and where its plan is."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

from tavid_core.errors import ErrorCode, TavidError

__all__ = [
    "SAVING_IS_OFF",
    "PlanFailedError",
    "PlanRejectedError",
    "PlanTimeoutError",
    "PlanUnreachableError",
    "ServerLostError",
    "check_saved",
    "path_from_uri",
]

SAVING_IS_OFF = "the planner's save_plans is off"


class PlanRejectedError(TavidError):
    """The planner did not take the goal; ROS carries no reason, its log does."""

    code = ErrorCode.BUSY


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
