"""Put malformed messages into the inputs and print by how many megabytes the process grew.

Started by the tests as a process of its own; reads /proc, so for Linux.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.malformed import MalformedMessages
from tavid_core.errors import TavidError
from tavid_ros.inputs import LatestInputs

TOPICS = ("image/compressed", "image", "depth", "target_mask")
NUM_MESSAGES = 200
CONTROL_MB = 50


@contextlib.contextmanager
def measure_growth_mb() -> Iterator[Callable[[], float]]:
    """Measure by how much the process grew at most."""

    def read_mb(field: str) -> float:
        text = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
        return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) / 1000

    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before_mb, after_mb = read_mb("VmRSS"), []
    yield lambda: after_mb[0] - before_mb
    after_mb.append(read_mb("VmHWM"))


def probe(topic: str) -> dict[str, float | int]:
    """Send malformed messages of one topic to inputs that forget each at once."""
    generator, name, num_refused = MalformedMessages(seed=3), topic.split("/")[0], 0
    with measure_growth_mb() as growth_mb:
        for _ in range(NUM_MESSAGES):
            message = generator.make(topic)
            if isinstance(message, bytes):
                continue
            try:
                LatestInputs().put(name, message)
            except TavidError:
                num_refused += 1
    return {"num_refused": num_refused, "growth_mb": growth_mb()}


def main() -> None:
    """Probe every topic, and once something that must be noticed."""
    with measure_growth_mb() as growth_mb:
        np.ones(CONTROL_MB * 1_000_000 // 8)
    found = {"control": {"growth_mb": growth_mb()}}
    print(json.dumps({**found, **{topic: probe(topic) for topic in TOPICS}}))


if __name__ == "__main__":
    main()
