"""Goals without any trouble, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from tavid.action import PlanInteraction

from benchmarks.rig import make_goal
from benchmarks.ros_soak.goal_ledger import GoalLedger
from benchmarks.ros_soak.process_meter import Growth, ProcessMeter
from benchmarks.ros_soak.soak_planner import SoakPlanner
from tavid_core.errors import ErrorCode

__all__ = ["make_plain_goal", "run_plain_goals"]

_NUM_READINGS = 100
_LEAST_READINGS = 3


def make_plain_goal(step_ms: int = 1) -> PlanInteraction.Goal:
    """Make a goal of the default scene for the planner without a model.

    Args:
        step_ms: How long it pretends to work at a step.

    Returns:
        The goal.
    """
    goal = make_goal()
    goal.prompt = f"steps of {step_ms} ms"
    return goal


def run_plain_goals(
    planner: SoakPlanner, ledger: GoalLedger, num_goals: int, show: Callable[[], object]
) -> Growth | None:
    """Have goals planned, and measure the planner meanwhile.

    Args:
        planner: That plans them.
        ledger: That books them.
        num_goals: How many.
        show: Called after each.

    Returns:
        What the planner holds more at the end; None with too few goals to tell.

    Raises:
        BenchmarkError: If the planner is dead.
    """
    meter, period = ProcessMeter(planner.pid), max(1, num_goals // _NUM_READINGS)
    goal = make_plain_goal()
    for index in range(num_goals):
        ledger.run(f"plain goal {index}", goal, (ErrorCode.NONE,))
        planner.check()
        if index % period == 0:
            meter.read()
        show()
    return meter.find_growth() if num_goals >= _LEAST_READINGS else None
