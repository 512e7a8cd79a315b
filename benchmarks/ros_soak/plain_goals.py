"""Goals without any trouble, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable

from tavid.action import PlanInteraction

from benchmarks.rig import make_goal
from benchmarks.ros_soak.goal_ledger import GoalLedger
from benchmarks.ros_soak.process_meter import Growth, ProcessMeter
from benchmarks.ros_soak.soak_planner import SoakPlanner
from tavid_core.errors import ErrorCode
from tavid_ros.parameters import PlannerParameters

__all__ = ["make_plain_goal", "run_plain_goals"]

_NUM_READINGS = 10
_LEAST_READINGS = 3
# A planner keeps goals and results for a while: how many these are says how fast the machine is,
# so memory is read when they are gone. A short run has none to speak of.
_EXPIRY_SEC = PlannerParameters().result_timeout_sec + 2.0
_LEAST_GOALS_TO_EXPIRE = 200


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
        show()
        if (index + 1) % period == 0:
            time.sleep(_EXPIRY_SEC if num_goals >= _LEAST_GOALS_TO_EXPIRE else 0.0)
            meter.read()
    return meter.find_growth() if num_goals >= _LEAST_READINGS else None
