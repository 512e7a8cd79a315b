"""Measure the main job: the demo, a plan, and how quickly a plan can be canceled.

    python -m benchmarks.main_job --json

Prints what it does, then one line of JSON:

- demo_seconds_warm: `make demo` in an environment that is already built.
- goal_to_result_seconds: median of the plans of a running planner, goal and result over DDS.
- cancel_ack_ms_*: from sending a cancel to its acknowledgement.
- canceled_ms_*: from sending a cancel to the result CANCELED.

Cancels come at random moments of a plan, all in one process that also spins the client. A plan that
fails ends the measurement: its times would be those of a failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.plan_times import CancelTimes, measure_cancels, measure_plan
from benchmarks.rig import BenchmarkError, Rig, make_goal
from tavid_core.errors import TavidError

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
_DEMO_SEC = 600.0


def measure_demo(folder: Path) -> float:
    """Time the demo from its first to its last line.

    Args:
        folder: Where its plan may go.

    Returns:
        Seconds.

    Raises:
        BenchmarkError: If the demo fails.
    """
    command = [sys.executable, "-m", "tavid_ros.demo", "--out", str(folder)]
    if (ROOT / "Makefile").exists() and shutil.which("make"):
        command = ["make", "--no-print-directory", "-C", str(ROOT), "demo", f"OUT={folder}"]
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_DEMO_SEC)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise BenchmarkError(
            f"the demo must end well, got exit status {done.returncode}. It said last:\n"
            f"{done.stderr[-2000:]}"
        )
    print(f"demo: {seconds:.1f} s; {done.stdout.strip().splitlines()[-1]}", flush=True)
    return seconds


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Measure everything.

    Args:
        options: Of the command line.

    Returns:
        Figures by name.
    """
    figures: dict[str, float] = {}
    show = functools.partial(print, flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.skip_demo:
            figures["demo_seconds_warm"] = measure_demo(folder / "demo")
        parameters = {
            "backend": options.backend,
            "model": options.model,
            "adapter": options.adapter,
        }
        with Rig(folder) as rig:
            rig.start_planner(parameters)
            goal = make_goal()
            # The first plan of a process is slower: caches fill, memory grows.
            measure_plan(rig, goal, show)
            plans = [measure_plan(rig, goal, show) for _ in range(options.plans)]
            figures["goal_to_result_seconds"] = statistics.median(plans)
            cancels = measure_cancels(
                rig, goal, options.cancels, figures["goal_to_result_seconds"], show
            )
    for field in dataclasses.fields(CancelTimes):
        values = [getattr(times, field.name) for times in cancels]
        figures[f"{field.name}_median"] = statistics.median(values)
        figures[f"{field.name}_max"] = max(values)
    names = {"ack_ms_median": "cancel_ack_ms_median", "ack_ms_max": "cancel_ack_ms_max"}
    return {names.get(name, name): round(value, 3) for name, value in figures.items()}


def main(args: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0, or 1 if something could not be measured.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.main_job", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON last")
    parser.add_argument("--cancels", type=int, default=50)
    parser.add_argument("--plans", type=int, default=3)
    parser.add_argument("--skip-demo", action="store_true")
    parser.add_argument("--backend", choices=("tavid", "fake"), default="tavid")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--adapter", default="default")
    options = parser.parse_args(args)
    if min(options.cancels, options.plans) < 1:
        parser.error("--cancels and --plans must be 1 or more")
    try:
        figures = measure(options)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name}: {value:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
