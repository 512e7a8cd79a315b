"""The planner that a soak is done to: it can be killed, and comes back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil

from benchmarks.rig import BenchmarkError, Rig
from benchmarks.ros_soak.shared_memory import find_segments
from tavid_ros.processes import NodeProcess

__all__ = ["SoakPlanner"]

_PARAMETERS = {"backend": "fake", "save_plans": False}
_ORPHAN_SEC = 2.0
_POLL_SEC = 0.01
_WORKER_SEC = 30.0


class SoakPlanner:
    """A planner process without a model.

    Args:
        rig: That it belongs to.

    Attributes:
        num_deaths: Ends that nobody asked for.
        num_orphans: Workers that outlived their planner.
        num_segments_left: Files in shared memory that a new planner did not clean up.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._process = self._start()
        self._segments: list[Path] = []
        self._workers: list[psutil.Process] = []
        self.num_deaths = self.num_orphans = self.num_segments_left = 0

    def _start(self) -> NodeProcess:
        return self._rig.start_planner(_PARAMETERS)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def check(self) -> None:
        """Refuse to go on with a planner that is dead.

        Raises:
            BenchmarkError: If it is; the message quotes its log.
        """
        if self._process.exit_status is not None:
            self.num_deaths += 1
            raise BenchmarkError(
                f"the planner must live, got exit status {self._process.exit_status}. It said "
                f"last:\n{self._process.read_log_tail()}"
            )

    def find_worker(self) -> int:
        """Find the process of the model, also while it is being replaced.

        Returns:
            Its process id.

        Raises:
            BenchmarkError: If there is none.
        """
        deadline_sec = time.monotonic() + _WORKER_SEC
        while time.monotonic() < deadline_sec:
            children = psutil.Process(self.pid).children()
            if children:
                return children[0].pid
            time.sleep(_POLL_SEC)
        raise BenchmarkError(f"the planner must have a worker within {_WORKER_SEC:g} s, got none.")

    def kill(self) -> float:
        """Kill the planner, without a chance to clean up.

        Returns:
            When, on `time.monotonic`.
        """
        self._segments = find_segments(self.pid)
        self._workers = psutil.Process(self.pid).children()
        os.kill(self.pid, signal.SIGKILL)
        return time.monotonic()

    def respawn(self) -> None:
        """Start a new planner after `kill`, and count what the old one left.

        Raises:
            BenchmarkError: If it does not come up.
        """
        _, alive = psutil.wait_procs(self._workers, _ORPHAN_SEC)
        self.num_orphans += len(alive)
        self._process = self._start()
        self.num_segments_left += sum(path.exists() for path in self._segments)
