"""The planner's lifecycle, up and down again and again."""

from __future__ import annotations

from collections.abc import Callable

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from benchmarks.rig import Moment, Rig
from benchmarks.ros_soak.goal_ledger import GoalLedger
from benchmarks.ros_soak.plain_goals import make_plain_goal
from benchmarks.ros_soak.process_meter import Growth, ProcessMeter
from benchmarks.ros_soak.soak_planner import SoakPlanner
from tavid_core.errors import ErrorCode

__all__ = ["run_cycles"]

_DOWN_AND_UP = (
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
)
_TRANSITION_SEC = 60.0
_LEAST_READINGS = 3


def run_cycles(
    rig: Rig,
    planner: SoakPlanner,
    ledger: GoalLedger,
    num_cycles: int,
    show: Callable[[], object],
) -> tuple[int, Growth | None]:
    """Take the planner down to unconfigured and up to active; a goal must succeed each time.

    Args:
        rig: Of the planner.
        planner: That is taken down.
        ledger: That books the goals.
        num_cycles: How often.
        show: Called after each.

    Returns:
        How many transitions failed, and what the planner holds more at the end; None with too few
        cycles to tell.

    Raises:
        BenchmarkError: If the planner is dead or does not answer.
    """
    client, meter = rig.find_service(ChangeState, "planner/change_state"), ProcessMeter(planner.pid)
    num_failures = 0
    for index in range(num_cycles):
        for transition in _DOWN_AND_UP:
            request = ChangeState.Request(transition=Transition(id=transition))
            answer = Moment(client.call_async(request)).wait(_TRANSITION_SEC)
            num_failures += not answer.success
        planner.check()
        # The new action server must be known to the client before it can be asked.
        rig.client.wait_for_server(_TRANSITION_SEC)
        ledger.run(f"goal of cycle {index}", make_plain_goal(), (ErrorCode.NONE,))
        meter.read()
        show()
    return num_failures, meter.find_growth() if num_cycles >= _LEAST_READINGS else None
