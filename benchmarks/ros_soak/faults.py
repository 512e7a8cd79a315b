"""Everything that can happen to a goal, done to it on purpose."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from tavid.action import PlanInteraction

from benchmarks.rig import Rig
from benchmarks.ros_soak.goal_ledger import Goal, GoalLedger
from benchmarks.ros_soak.plain_goals import make_plain_goal
from benchmarks.ros_soak.soak_planner import SoakPlanner
from tavid_core.errors import ErrorCode
from tavid_ros.client import PlanClient, ServerLostError
from tavid_ros.sources import find_scene

__all__ = ["FaultInjector"]

_STAGES = ("condition", "denoise", "decode", "lift")
# 0.3 s in all, so that a fault comes in time.
_STEP_MS, _NUM_STEPS = 30, 8
# Two seconds, so that a cancel at an early stage is not taken for one while the plan is published.
_SLOW_STEP_MS = 200
_GOAL_SEC = 0.3
_CLIENT_SEC = 60.0
_KILLED_GOAL_SEC = 60.0


def _make_goal(words: str = "", step_ms: int = _STEP_MS) -> PlanInteraction.Goal:
    goal = make_plain_goal(step_ms)
    goal.prompt += f" {words}"
    goal.num_inference_steps = _NUM_STEPS
    return goal


class FaultInjector:
    """Injects faults in turn; after each one a plain goal must succeed.

    Args:
        rig: Of the planner.
        planner: That suffers them.
        ledger: That books the goals.

    Attributes:
        num_faults: Done so far.
        server_lost_sec: From each kill of the planner until its client knew.
    """

    def __init__(self, rig: Rig, planner: SoakPlanner, ledger: GoalLedger) -> None:
        self._rig = rig
        self._planner = planner
        self._ledger = ledger
        self._rng = np.random.default_rng(0)
        # The planner is killed last: workers that die often are restarted ever more slowly.
        self._faults: list[tuple[str, Callable[[str], None]]] = [
            *((f"cancel at {stage}", self._cancel) for stage in ("queued", *_STAGES)),
            ("fail", self._fail),
            ("worker crash", self._crash),
            ("worker kill", self._kill_worker),
            ("client kill", self._kill_client),
            ("planner kill", self._kill_planner),
        ]
        self._failures = itertools.cycle(
            (f"{kind} at {stage}", code)
            for stage in _STAGES
            for kind, code in (
                ("oom", ErrorCode.OUT_OF_MEMORY),
                ("nan", ErrorCode.NON_FINITE),
                ("error", ErrorCode.MODEL_ERROR),
                ("no_actor", ErrorCode.NO_ACTOR),
            )
        )
        self.num_faults = 0
        self.server_lost_sec: list[float] = []

    def inject(self) -> str:
        """Inject the next fault, and see a plain goal succeed after it.

        Returns:
            Its name.

        Raises:
            BenchmarkError: If the planner is dead or does not come back.
        """
        name, function = self._faults[self.num_faults % len(self._faults)]
        self.num_faults += 1
        function(name)
        self._planner.check()
        self._ledger.run(f"goal after {name}", make_plain_goal(), (ErrorCode.NONE,))
        return name

    def _pause(self) -> None:
        time.sleep(self._rng.uniform(0.0, _GOAL_SEC))

    def _cancel(self, name: str) -> None:
        stage = name.rpartition(" ")[2]
        is_late = stage in ("decode", "lift")

        def disturb(goal: Goal) -> tuple[ErrorCode, ...]:
            if stage != "queued":
                goal.wait_stage(stage)
            if not goal.cancel():
                # On a busy machine the plan may be ready before the cancel comes.
                return (ErrorCode.NONE,)
            # What is acknowledged while the plan is published succeeds all the same.
            return (ErrorCode.CANCELED, *((ErrorCode.NONE,) if is_late else ()))

        goal = _make_goal(step_ms=_STEP_MS if is_late else _SLOW_STEP_MS)
        self._ledger.run(name, goal, (ErrorCode.CANCELED,), disturb)

    def _fail(self, _name: str) -> None:
        words, code = next(self._failures)
        self._ledger.run(words, _make_goal(words), (code,))

    def _crash(self, name: str) -> None:
        stage = self._rng.choice(_STAGES)
        self._ledger.run(name, _make_goal(f"crash at {stage}"), (ErrorCode.WORKER_DIED,))

    def _kill_worker(self, name: str) -> None:
        def disturb(goal: Goal) -> None:
            # A worker that is still being replaced is not the one of this goal.
            goal.wait_stage("condition")
            worker = self._planner.find_worker()
            self._pause()
            os.kill(worker, signal.SIGKILL)

        codes = (ErrorCode.WORKER_DIED, ErrorCode.NONE)
        self._ledger.run(name, _make_goal(), codes, disturb)

    def _kill_client(self, name: str) -> None:
        scene, before = find_scene(""), self._ledger.known_ids()
        command = [
            *(sys.executable, "-m", "tavid_ros.client"),
            *("--image", str(scene / "image.png"), "--mask", str(scene / "mask.png")),
            *("--prompt", f"steps of {_STEP_MS} ms", "--steps", str(_NUM_STEPS)),
        ]
        client = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            goal_id = self._ledger.wait_new(before, _CLIENT_SEC)
            self._pause()
        finally:
            client.kill()
            client.wait()
        if goal_id is None:
            self._ledger.wrong.append(f"{name}: its goal never came")
        else:
            self._ledger.wait_end(name, goal_id)

    def _kill_planner(self, name: str) -> None:
        stage, killed_sec = self._rng.choice(_STAGES), []

        def kill(progress: object) -> None:
            if progress.stage == stage and not killed_sec:
                killed_sec.append(self._planner.kill())

        client = PlanClient(self._rig.node)
        try:
            self._ledger.num_goals += 1
            # It hangs there, or on a busy machine it would succeed before the kill.
            goal = _make_goal(f"hang at {stage}")
            client.request_plan(goal, _KILLED_GOAL_SEC, on_progress=kill)
        except ServerLostError:
            self.server_lost_sec.append(time.monotonic() - killed_sec[0])
        else:
            self._ledger.lost.append(f"{name}: the goal of a killed planner succeeded")
        finally:
            client.destroy()
        self._planner.respawn()
