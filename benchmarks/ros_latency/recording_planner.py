"""The planner node, logging which images came, which ones goals used, and how long it published.

    python -m benchmarks.ros_latency.recording_planner

Nothing of the node is replaced but the store of its latest messages and its publishers, by ones
that do the same and write a line each time.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from tavid_core.types import PlanRequest
from tavid_ros import planner_node
from tavid_ros.conversions import nanoseconds_from_time
from tavid_ros.inputs import LatestInputs
from tavid_ros.publishers import PlanPublishers

__all__ = [
    "PUBLISHED",
    "RECEIVED",
    "USED",
    "RecordingInputs",
    "RecordingPublishers",
    "main",
    "read_records",
]

RECEIVED = "record received"
USED = "record used"
PUBLISHED = "record published in"


def _record(name: str, number_ns: int) -> None:
    # One write, so that no other thread's line comes in between.
    os.write(sys.stdout.fileno(), f"{name} {number_ns}\n".encode())


def read_records(log_path: Path, name: str) -> list[int]:
    """Read what a recording planner wrote.

    Args:
        log_path: Its log.
        name: Of the record, as `RECEIVED`.

    Returns:
        Stamps or durations in nanoseconds, in their order.
    """
    return [
        int(line.removeprefix(name))
        for line in log_path.read_text(errors="replace").splitlines()
        if line.startswith(f"{name} ")
    ]


class RecordingInputs(LatestInputs):
    """The node's store of messages, which tells what comes in and what is taken out."""

    def put(self, topic: str, message: Any) -> None:
        """Remember a message, and record an image."""
        super().put(topic, message)
        if topic == "image":
            _record(RECEIVED, nanoseconds_from_time(message.header.stamp))

    def make_request(self, *args: Any, **kwargs: Any) -> PlanRequest:
        """Complete a goal, and record its image."""
        request = super().make_request(*args, **kwargs)
        _record(USED, request.stamp_ns)
        return request


class RecordingPublishers(PlanPublishers):
    """The node's publishers, which tell how long a plan took them."""

    def publish(self, *args: Any, **kwargs: Any) -> None:
        """Publish a plan, and record the time it took."""
        start_ns = time.perf_counter_ns()
        super().publish(*args, **kwargs)
        _record(PUBLISHED, time.perf_counter_ns() - start_ns)


def main() -> int:
    """Run the planner node.

    Returns:
        Its exit status.
    """
    planner_node.LatestInputs = RecordingInputs
    planner_node.PlanPublishers = RecordingPublishers
    return planner_node.main()


if __name__ == "__main__":
    sys.exit(main())
