"""Let the nodes work for long, and do to them what happens to nodes.

    python -m benchmarks.ros_soak --json

All on this machine, on a planner without a model whose steps take milliseconds:

- plain goals, one after the other: rss_growth_mb, threads_growth and files_growth are what the
  planner holds more at the end than after the first quarter.
- goals with faults: cancels at each stage, failures of the model, a worker that crashes or is
  killed, a client that is killed, a planner that is killed and started again; after each fault a
  plain goal must succeed. server_lost_seconds_max: from the kill until the client knew.
- malformed messages at planner_node and segmenter_node, then a good one.
- lifecycle cycles: deactivate, cleanup, configure, activate, and a goal.

lost counts goals without exactly one end, wrong_ends those with another end than they should have.
What was lost or wrong is told on stderr. It takes about fifteen minutes;
--goals 20 --faults 10 --malformed 200 --cycles 3 tries it in one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.command import make_bar, make_parser, run
from benchmarks.rig import Rig
from benchmarks.ros_soak.faults import FaultInjector
from benchmarks.ros_soak.goal_ledger import GoalLedger
from benchmarks.ros_soak.lifecycle_cycles import run_cycles
from benchmarks.ros_soak.malformed_flood import MalformedFlood
from benchmarks.ros_soak.plain_goals import run_plain_goals
from benchmarks.ros_soak.process_meter import Growth
from benchmarks.ros_soak.soak_planner import SoakPlanner
from benchmarks.summary import Figure

__all__ = ["LIMITS", "main"]

LIMITS = {
    "lost": "<= 0",
    "wrong_ends": "<= 0",
    "node_deaths": "<= 0",
    "orphans": "<= 0",
    "shared_memory_left": "<= 0",
    "server_lost_seconds_max": "<= 2",
    "good_after_malformed_failed": "<= 0",
    "transitions_failed": "<= 0",
    "rss_growth_mb": "<= 20",
    "threads_growth": "<= 0",
    "files_growth": "<= 0",
    "cycles_threads_growth": "<= 0",
    "cycles_files_growth": "<= 0",
    "cycles_rss_growth_mb": "<= 20",
}


def _name_growth(growth: Growth | None, prefix: str = "") -> dict[str, Figure]:
    if growth is None:
        return {}
    return {
        f"{prefix}rss_growth_mb": round(growth.rss_mb, 3),
        f"{prefix}threads_growth": growth.num_threads,
        f"{prefix}files_growth": growth.num_files,
    }


def _measure_goals(folder: Path, options: argparse.Namespace) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    with Rig(folder) as rig:
        planner, ledger = SoakPlanner(rig), GoalLedger(rig)
        with make_bar(options.goals, "plain goals") as bar:
            figures |= _name_growth(run_plain_goals(planner, ledger, options.goals, bar.update))
        with make_bar(options.cycles, "lifecycle cycles") as bar:
            num_failed, growth = run_cycles(rig, planner, ledger, options.cycles, bar.update)
        figures |= {"cycles": options.cycles, "transitions_failed": num_failed}
        figures |= _name_growth(growth, "cycles_")
        # Last, because the killed planners haunt the graph for 20 s each.
        injector = FaultInjector(rig, planner, ledger)
        with make_bar(options.faults, "faults") as bar:
            for _ in range(options.faults):
                bar.set_postfix_str(injector.inject(), refresh=False)
                bar.update()
        for line in (*ledger.lost, *ledger.wrong):
            print(line, file=sys.stderr)
        figures |= {
            "goals": ledger.num_goals,
            "lost": len(ledger.lost),
            "wrong_ends": len(ledger.wrong),
            "faults": injector.num_faults,
            "planner_kills": len(injector.server_lost_sec),
            "orphans": planner.num_orphans,
            "shared_memory_left": planner.num_segments_left,
        }
        if injector.server_lost_sec:
            figures["server_lost_seconds_max"] = round(max(injector.server_lost_sec), 3)
    return figures


def _measure_malformed(folder: Path, options: argparse.Namespace) -> dict[str, Figure]:
    with Rig(folder) as rig:
        planner = rig.start_planner({"backend": "fake", "save_plans": False})
        flood = MalformedFlood(rig)
        with make_bar(options.malformed, "malformed at planner") as bar:
            flood.flood_planner(planner, options.malformed, bar.update)
        planner.end()
        segmenter = rig.start("tavid_ros.segmenter_node")
        with make_bar(options.malformed, "malformed at segmenter") as bar:
            flood.flood_segmenter(segmenter, options.malformed, bar.update)
    return {
        "malformed_sent": flood.num_sent,
        "malformed_refused": flood.num_refused,
        "node_deaths": flood.num_deaths,
        "good_after_malformed_failed": flood.num_good_failed,
    }


def measure(options: argparse.Namespace) -> dict[str, Figure]:
    """Measure everything that is not asked for 0 times.

    Args:
        options: Of the command line.

    Returns:
        Figures by name.
    """
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="tavid-benchmark-") as name:
        if options.goals or options.faults or options.cycles:
            figures |= _measure_goals(Path(name, "goals"), options)
        if options.malformed:
            figures |= _measure_malformed(Path(name, "malformed"), options)
    return figures


def main(args: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0, 1 if something could not be measured, 130 after a signal.
    """
    parser = make_parser("benchmarks.ros_soak", __doc__)
    parser.add_argument("--goals", type=int, default=2000, help="plain goals (2000)")
    parser.add_argument("--faults", type=int, default=200, help="goals with a fault (200)")
    parser.add_argument(
        "--malformed", type=int, default=10_000, help="malformed messages at each node (10000)"
    )
    parser.add_argument("--cycles", type=int, default=100, help="lifecycle cycles (100)")
    options = parser.parse_args(args)
    numbers = (options.goals, options.faults, options.malformed, options.cycles)
    if min(numbers) < 0 or not any(numbers):
        parser.error("the numbers must be 0 or more, and one of them more than 0")
    return run(measure, options, LIMITS)


if __name__ == "__main__":
    sys.exit(main())
