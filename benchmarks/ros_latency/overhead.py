"""What a plan through the node takes, against the same plan in one's own process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from tavid.action import PlanInteraction

from benchmarks.plan_times import measure_plan
from benchmarks.rig import Rig
from tavid_core.io import save_plan
from tavid_ros.fake_planner import FakePlanner
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters
from tavid_ros.worker import Planner

__all__ = ["PlanTimes", "load_planner", "measure_overhead"]


@dataclasses.dataclass(frozen=True)
class PlanTimes:
    """One plan, made in both ways.

    Args:
        node_sec: Through the node, from goal to result.
        direct_sec: In this process, from call to return.
        save_sec: To save the plan of this process, as the node does within its time.
    """

    node_sec: float
    direct_sec: float
    save_sec: float


def load_planner(backend: str) -> Planner:
    """Load what the node's worker loads, into this process.

    Args:
        backend: As the node's parameter.

    Returns:
        The planner.
    """
    if backend == "fake":
        return FakePlanner.from_pretrained("mini")
    import diffusers
    import transformers

    from tavid_core.planner import InteractionPlanner

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    return InteractionPlanner.from_pretrained("mini", "default")


def measure_overhead(
    rig: Rig,
    goal: PlanInteraction.Goal,
    planner: Planner,
    num_pairs: int,
    folder: Path,
    show: Callable[[], object],
) -> list[PlanTimes]:
    """Time plans through the node and without it, alternated.

    Args:
        rig: With a planner node.
        goal: What to plan.
        planner: The same as the node's worker has.
        num_pairs: How many of each.
        folder: For the plans of this process.
        show: Called after each pair.

    Returns:
        One entry per pair.

    Raises:
        BenchmarkError: If a plan fails.
    """
    request = LatestInputs().make_request(goal, PlannerParameters())

    def plan_here(index: int) -> tuple[float, float]:
        start = time.perf_counter()
        plan = planner.plan(request)
        planned = time.perf_counter()
        save_plan(plan, str(folder / f"direct-{index}"))
        return planned - start, time.perf_counter() - planned

    # The first plan of a process is slower.
    plan_here(-1)
    measure_plan(rig, goal, lambda _: None)
    pairs = []
    for index in range(num_pairs):
        # Each is first as often as the other, so that a machine that slows down favours neither.
        if index % 2:
            direct_sec, save_sec = plan_here(index)
            node_sec = measure_plan(rig, goal, lambda _: None)
        else:
            node_sec = measure_plan(rig, goal, lambda _: None)
            direct_sec, save_sec = plan_here(index)
        pairs.append(PlanTimes(node_sec, direct_sec, save_sec))
        show()
    return pairs
