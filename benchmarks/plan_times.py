"""How long a plan takes through the node, and how quickly it can be canceled."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from action_msgs.msg import GoalStatus
from tavid.action import PlanInteraction

from benchmarks.rig import BenchmarkError, Moment, Rig, check_planned

__all__ = ["CancelTimes", "measure_cancel", "measure_cancels", "measure_plan"]

# Of the delays at most one in twenty comes after the plan.
_TRIES_PER_CANCEL = 3


@dataclasses.dataclass(frozen=True)
class CancelTimes:
    """One cancel.

    Args:
        ack_ms: From sending to the acknowledgement.
        canceled_ms: From sending to the result.
    """

    ack_ms: float
    canceled_ms: float


def measure_plan(
    rig: Rig, goal: PlanInteraction.Goal, show: Callable[[str], None] = print
) -> float:
    """Time one plan from goal to result.

    Args:
        rig: With a planner.
        goal: What to plan.
        show: Told the outcome in a line.

    Returns:
        Seconds.

    Raises:
        BenchmarkError: If it is rejected or fails.
    """
    start = time.perf_counter()
    result = Moment(rig.send(goal).get_result_async())
    code = check_planned(result.wait().result)
    seconds = result.at_sec - start
    show(f"plan: {seconds:.2f} s, {code.name}")
    return seconds


def measure_cancel(rig: Rig, goal: PlanInteraction.Goal, delay_sec: float) -> CancelTimes | None:
    """Time one cancel.

    Args:
        rig: With a planner.
        goal: What to plan.
        delay_sec: From the acceptance to the cancel.

    Returns:
        The times, or None if the plan was ready first.

    Raises:
        BenchmarkError: If it is rejected or fails.
    """
    handle = rig.send(goal)
    result = Moment(handle.get_result_async())
    time.sleep(delay_sec)
    start = time.perf_counter()
    ack = Moment(handle.cancel_goal_async())
    answer = ack.wait()
    response = result.wait()
    if not answer.goals_canceling or response.status != GoalStatus.STATUS_CANCELED:
        check_planned(response.result)
        return None
    return CancelTimes(1000.0 * (ack.at_sec - start), 1000.0 * (result.at_sec - start))


def measure_cancels(
    rig: Rig,
    goal: PlanInteraction.Goal,
    num_cancels: int,
    plan_sec: float,
    show: Callable[[str], None] = print,
) -> list[CancelTimes]:
    """Time cancels at random moments of a plan.

    Args:
        rig: With a planner.
        goal: What to plan.
        num_cancels: How many to time.
        plan_sec: How long a plan takes.
        show: Told each cancel in a line.

    Returns:
        One entry per cancel.

    Raises:
        BenchmarkError: If a goal is rejected or fails, or nearly all are ready before their cancel.
    """
    rng = np.random.default_rng(0)
    cancels: list[CancelTimes] = []
    for _ in range(_TRIES_PER_CANCEL * num_cancels):
        delay_sec = rng.uniform(0.0, 0.95 * plan_sec)
        times = measure_cancel(rig, goal, delay_sec)
        if times is None:
            continue
        cancels.append(times)
        show(
            f"cancel {len(cancels)} after {delay_sec:.2f} s: acknowledged "
            f"{times.ack_ms:.1f} ms, canceled {times.canceled_ms:.1f} ms"
        )
        if len(cancels) == num_cancels:
            return cancels
    raise BenchmarkError(
        f"{num_cancels} goals must be canceled within {_TRIES_PER_CANCEL * num_cancels} tries, got "
        f"{len(cancels)}. Is the plan shorter than the {plan_sec:.2f} s measured before?"
    )
