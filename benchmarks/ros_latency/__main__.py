"""Measure how quickly the planner node answers while a plan runs.

    python -m benchmarks.ros_latency --json

All on this machine, with the embedded model in its worker process unless --backend fake:

- cancel_ack_*, canceled_*: from sending a cancel, at a random moment of a plan, to its
  acknowledgement and to the result CANCELED.
- parameter_*: from sending to the answer of get_parameters and set_parameters; lifecycle_*: of
  get_state; noop_*: of a service that does nothing in a node that does nothing, at the same time:
  the floor that machine and ROS set. noop_idle_*: the same while nobody plans.
- refusal_*: from sending to the refusal of the 2nd and later goals, one after the other, each with
  its images. refusal_burst_*: of as many small goals sent all at once, from the first sending.
- delivered_share: pictures of a camera_node of 30 a second, 720x480, with mask and depth, that
  reach the planner while it plans. frame_age_*: from the stamp of the picture of a goal to the
  feedback that its plan started.
- node_overhead_ratio: median time of a plan through the node by that of a direct call and its
  saving, alternated; node_overhead_ms: median of the differences, less publish_ms, the median time
  that publishing takes.

It takes about ten minutes; --trials 5 tries it in one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import rclpy.logging

from benchmarks.command import make_bar, make_parser, run
from benchmarks.plan_times import measure_cancels, measure_plan
from benchmarks.rig import Rig, make_goal
from benchmarks.ros_latency.calls import (
    measure_burst,
    measure_calls,
    measure_noop,
    measure_refusals,
)
from benchmarks.ros_latency.frames import measure_frames, start_camera
from benchmarks.ros_latency.overhead import load_planner, measure_overhead
from benchmarks.ros_latency.recording_planner import PUBLISHED, read_records
from benchmarks.summary import Figure, summarize

__all__ = ["LIMITS", "main"]

LIMITS = {
    "cancel_ack_p99_ms": "<= 100",
    "canceled_median_ms": "<= 100",
    "parameter_p99_ms": "<= 50",
    "lifecycle_p99_ms": "<= 50",
    "refusal_p99_ms": "<= 50",
    "refusal_burst_unanswered": "<= 0",
    "delivered_share": ">= 0.999",
    "frame_age_p99_ms": "<= 100",
    "node_overhead_ratio": "<= 1.05",
    "node_overhead_ms": "<= 50",
}
_PARTS = ("cancels", "calls", "refusals", "frames", "overhead")
_NUM_WARM_PLANS = 3


def _measure_cancels(rig: Rig, options: argparse.Namespace) -> dict[str, Figure]:
    goal = make_goal()
    times_sec = [measure_plan(rig, goal, lambda _: None) for _ in range(_NUM_WARM_PLANS)]
    with make_bar(options.trials, "cancels") as bar:
        cancels = measure_cancels(rig, goal, options.trials, min(times_sec), lambda _: bar.update())
    return {
        **summarize("cancel_ack", [times.ack_ms for times in cancels]),
        **summarize("canceled", [times.canceled_ms for times in cancels]),
    }


def _measure_calls(rig: Rig, options: argparse.Namespace) -> dict[str, Figure]:
    rig.start("benchmarks.ros_latency.idle_node")
    figures = summarize("noop_idle", measure_noop(rig, options.trials))
    with make_bar(options.trials, "services") as bar:
        times_ms = measure_calls(rig, make_goal(), options.trials, bar.update)
    parameter_ms = times_ms["parameter_get"] + times_ms["parameter_set"]
    figures |= summarize("parameter", parameter_ms)
    for name in ("lifecycle", "noop"):
        figures |= summarize(name, times_ms[name])
    return figures


def _measure_refusals(rig: Rig, options: argparse.Namespace) -> dict[str, Figure]:
    goal, num_goals = make_goal(), max(1, options.trials - 1)
    with make_bar(num_goals, "refusals") as bar:
        figures = summarize("refusal", measure_refusals(rig, goal, num_goals, bar.update))
    burst_ms, num_unanswered = measure_burst(rig, goal, num_goals)
    figures |= summarize("refusal_burst", burst_ms)
    return {**figures, "refusal_burst_unanswered": num_unanswered}


def _measure_overhead(options: argparse.Namespace, folder: Path) -> dict[str, Figure]:
    num_pairs, planner = max(1, options.trials // 5), load_planner(options.backend)
    with Rig(folder / "overhead") as rig, make_bar(num_pairs, "overhead") as bar:
        node = rig.start_planner(
            {"backend": options.backend}, "benchmarks.ros_latency.recording_planner"
        )
        pairs = measure_overhead(rig, make_goal(), planner, num_pairs, folder, bar.update)
        publish_ms = statistics.median(read_records(node.log_path, PUBLISHED)) / 1e6
    here_sec = [pair.direct_sec + pair.save_sec for pair in pairs]
    node_sec = [pair.node_sec for pair in pairs]
    extra_sec = [node - here for node, here in zip(node_sec, here_sec, strict=True)]
    return {
        "overhead_n": num_pairs,
        "node_plan_seconds": round(statistics.median(node_sec), 3),
        "direct_plan_seconds": round(statistics.median(here_sec), 3),
        "save_ms": round(1000.0 * statistics.median(pair.save_sec for pair in pairs), 3),
        "publish_ms": round(publish_ms, 3),
        "node_overhead_ms": round(1000.0 * statistics.median(extra_sec) - publish_ms, 3),
        "node_overhead_ratio": round(statistics.median(node_sec) / statistics.median(here_sec), 4),
    }


def _measure_frames(options: argparse.Namespace, folder: Path) -> dict[str, Figure]:
    with Rig(folder / "frames") as rig:
        planner = rig.start_planner(
            {"backend": options.backend, "save_plans": False},
            "benchmarks.ros_latency.recording_planner",
        )
        camera = start_camera(rig, folder)
        with make_bar(options.trials, "frames") as bar:
            times = measure_frames(
                rig, planner, camera, options.trials, options.frame_seconds, bar.update
            )
    return {
        "frames_published": times.num_published,
        "frames_delivered": times.num_delivered,
        "delivered_share": round(times.num_delivered / times.num_published, 6),
        "camera_rate_hz": round(times.camera_rate_hz, 3),
        **summarize("frame_age", times.ages_ms),
    }


def measure(options: argparse.Namespace) -> dict[str, Figure]:
    """Measure everything that is not skipped.

    Args:
        options: Of the command line.

    Returns:
        Figures by name.
    """
    # What is refused on purpose is not told one line each.
    rclpy.logging.set_logger_level("benchmark", rclpy.logging.LoggingSeverity.ERROR)
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="tavid-benchmark-") as name:
        folder = Path(name)
        if not {"cancels", "calls", "refusals"} <= set(options.skip):
            with Rig(folder / "calls") as rig:
                rig.start_planner({"backend": options.backend})
                for part, function in (
                    ("cancels", _measure_cancels),
                    ("calls", _measure_calls),
                    ("refusals", _measure_refusals),
                ):
                    if part not in options.skip:
                        figures |= function(rig, options)
        if "overhead" not in options.skip:
            figures |= _measure_overhead(options, folder)
        if "frames" not in options.skip:
            figures |= _measure_frames(options, folder)
    return figures


def main(args: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0, 1 if something could not be measured, 130 after a signal.
    """
    parser = make_parser("benchmarks.ros_latency", __doc__)
    parser.add_argument("--trials", type=int, default=200, help="of each kind (200)")
    parser.add_argument(
        "--frame-seconds",
        type=float,
        default=60.0,
        help="how long to plan without break while pictures are counted (60)",
    )
    parser.add_argument(
        "--skip",
        action="append",
        choices=_PARTS,
        default=[],
        help="leave a part out; may be given several times",
    )
    parser.add_argument(
        "--backend",
        choices=("tavid", "fake"),
        default="tavid",
        help="fake = no model: what is left is the node and ROS",
    )
    options = parser.parse_args(args)
    if options.trials < 1 or options.frame_seconds < 0.0:
        parser.error("--trials must be 1 or more and --frame-seconds 0 or more")
    if set(options.skip) >= set(_PARTS):
        parser.error("--skip must leave something to measure")
    return run(measure, options, LIMITS)


if __name__ == "__main__":
    sys.exit(main())
