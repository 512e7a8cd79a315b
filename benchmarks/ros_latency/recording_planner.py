"""The planner node, telling its log which images it received and which ones goals used.

    python -m benchmarks.ros_latency.recording_planner

Nothing of the node is replaced but the store of its latest messages, by one that does the same and
writes a line each time.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from tavid_core.types import PlanRequest
from tavid_ros import planner_node
from tavid_ros.conversions import nanoseconds_from_time
from tavid_ros.inputs import LatestInputs

__all__ = ["RECEIVED", "USED", "RecordingInputs", "main"]

RECEIVED = "record received"
USED = "record used"


def _record(name: str, stamp_ns: int) -> None:
    # One write, so that no other thread's line comes in between.
    os.write(sys.stdout.fileno(), f"{name} {stamp_ns}\n".encode())


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


def main() -> int:
    """Run the planner node.

    Returns:
        Its exit status.
    """
    planner_node.LatestInputs = RecordingInputs
    return planner_node.main()


if __name__ == "__main__":
    sys.exit(main())
