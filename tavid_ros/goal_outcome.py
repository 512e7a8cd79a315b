"""How a goal ended, before it becomes a result."""

from __future__ import annotations

import dataclasses

from tavid_core.errors import ErrorCode
from tavid_core.types import InteractionPlan
from tavid_ros.worker_job import JobAnswer

__all__ = ["GoalOutcome", "judge_answer"]


@dataclasses.dataclass(frozen=True)
class GoalOutcome:
    """How a goal ended.

    Args:
        code: What its result reports.
        message: Why, and what to do about it; "" for success.
        answer: The plan, or None.
    """

    code: ErrorCode
    message: str = ""
    answer: JobAnswer | None = None


def judge_answer(answer: JobAnswer) -> GoalOutcome:
    """Turn a plan without an actor into NO_ACTOR; its pictures stay worth a look.

    Args:
        answer: Of the worker.

    Returns:
        NONE or NO_ACTOR, with the answer either way.
    """
    plan: InteractionPlan = answer.plan
    if plan.motion.has_actor:
        return GoalOutcome(ErrorCode.NONE, answer.save_error, answer)
    reason = plan.motion.reasons.get("actor", "no hand was found in the imagined video")
    return GoalOutcome(
        ErrorCode.NO_ACTOR,
        f"image must show an actor, got none: {reason}. "
        f"{answer.save_error or 'Look at the pictures of the plan.'}",
        answer,
    )
