"""How long the planner takes to answer services and to refuse goals while it plans."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from lifecycle_msgs.srv import GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.action.client import ClientGoalHandle
from rclpy.task import Future
from std_srvs.srv import Trigger
from tavid.action import PlanInteraction

from benchmarks.rig import BenchmarkError, Moment, Rig
from benchmarks.ros_latency.plan_loop import PlanLoop

__all__ = ["measure_burst", "measure_calls", "measure_noop", "measure_refusals"]

_ANSWER_SEC = 30.0
_LONGEST_PAUSE_SEC = 0.05
# Runs longer than all refusals together, and is canceled then.
_MANY_STEPS = 1000

Call = Callable[[], Future]


def _time_ms(call: Call) -> tuple[float, object]:
    start = time.perf_counter()
    moment = Moment(call())
    answer = moment.wait(_ANSWER_SEC)
    return 1000.0 * (moment.at_sec - start), answer


def _make_calls(rig: Rig) -> dict[str, Call]:
    get = rig.find_service(GetParameters, "planner/get_parameters")
    put = rig.find_service(SetParameters, "planner/set_parameters")
    state = rig.find_service(GetState, "planner/get_state")
    value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=90)
    change = SetParameters.Request(parameters=[Parameter(name="jpeg_quality", value=value)])
    question = GetParameters.Request(names=["jpeg_quality", "seed"])
    return {
        "parameter_get": lambda: get.call_async(question),
        "parameter_set": lambda: put.call_async(change),
        "lifecycle": lambda: state.call_async(GetState.Request()),
        "noop": _make_noop(rig),
    }


def _make_noop(rig: Rig) -> Call:
    client = rig.find_service(Trigger, "idle/noop")
    return lambda: client.call_async(Trigger.Request())


def measure_noop(rig: Rig, num_trials: int) -> list[float]:
    """Time a service that does nothing, while nobody plans.

    Args:
        rig: With an idle node.
        num_trials: How many.

    Returns:
        Milliseconds.
    """
    call = _make_noop(rig)
    # The first call of a client waits for the discovery of its answers.
    _time_ms(call)
    return [_time_ms(call)[0] for _ in range(num_trials)]


def measure_calls(
    rig: Rig, goal: PlanInteraction.Goal, num_trials: int, show: Callable[[], object]
) -> dict[str, list[float]]:
    """Time services while plans run, at random moments and in random order.

    Args:
        rig: With a planner and an idle node.
        goal: What to plan meanwhile.
        num_trials: Of each service.
        show: Called after each trial.

    Returns:
        Milliseconds of parameter_get, parameter_set, lifecycle, and of noop on the idle node.

    Raises:
        BenchmarkError: If one is not answered or a plan fails.
    """
    rng = np.random.default_rng(0)
    calls = _make_calls(rig)
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        _time_ms(call)
    with PlanLoop(rig, goal) as loop:
        for _ in range(num_trials):
            for name in rng.permutation(list(calls)):
                loop.wait_running()
                time.sleep(rng.uniform(0.0, _LONGEST_PAUSE_SEC))
                times_ms[name].append(_time_ms(calls[name])[0])
            show()
    return times_ms


def _make_long(goal: PlanInteraction.Goal) -> PlanInteraction.Goal:
    fields = {name: getattr(goal, name) for name in goal.get_fields_and_field_types()}
    return PlanInteraction.Goal(**{**fields, "num_inference_steps": _MANY_STEPS})


def _check_refused(handle: ClientGoalHandle, loop: PlanLoop) -> None:
    if handle.accepted:
        # A plan that failed lets others in, and is the better reason.
        time.sleep(_LONGEST_PAUSE_SEC)
        loop.check()
        raise BenchmarkError(
            "a goal must be refused while another runs, got it accepted. Is goal_policy 'reject'?"
        )


def measure_refusals(
    rig: Rig, goal: PlanInteraction.Goal, num_goals: int, show: Callable[[], object]
) -> list[float]:
    """Time how quickly goals are refused while another runs, one after the other.

    Args:
        rig: With a planner.
        goal: What to plan.
        num_goals: How many to have refused.
        show: Called after each.

    Returns:
        Milliseconds from sending to the refusal.

    Raises:
        BenchmarkError: If one is not answered or is accepted.
    """
    rng = np.random.default_rng(0)
    times_ms = []
    with PlanLoop(rig, _make_long(goal)) as loop:
        for _ in range(num_goals):
            loop.wait_running()
            time.sleep(rng.uniform(0.0, _LONGEST_PAUSE_SEC))
            elapsed_ms, handle = _time_ms(lambda: rig.client.send_goal_async(goal))
            _check_refused(handle, loop)
            times_ms.append(elapsed_ms)
            show()
    return times_ms


def measure_burst(rig: Rig, goal: PlanInteraction.Goal, num_goals: int) -> tuple[list[float], int]:
    """Send goals all at once while another runs.

    Args:
        rig: With a planner.
        goal: What to plan.
        num_goals: How many to have refused.

    Returns:
        Milliseconds from the first sending to each refusal, and how many were never answered.

    Raises:
        BenchmarkError: If one is accepted.
    """
    small = PlanInteraction.Goal()
    with PlanLoop(rig, _make_long(goal)) as loop:
        loop.wait_running()
        start = time.perf_counter()
        moments = [Moment(rig.client.send_goal_async(small)) for _ in range(num_goals)]
        times_ms = []
        deadline_sec = start + _ANSWER_SEC
        for moment in moments:
            try:
                handle = moment.wait(max(0.0, deadline_sec - time.perf_counter()))
            except BenchmarkError:
                continue
            _check_refused(handle, loop)
            times_ms.append(1000.0 * (moment.at_sec - start))
    return times_ms, num_goals - len(times_ms)
