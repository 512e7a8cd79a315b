"""Plans without end, in the background of a measurement."""

from __future__ import annotations

import threading
from types import TracebackType

from tavid.action import PlanInteraction

from benchmarks.rig import WAIT_SEC, BenchmarkError, Moment, Rig, check_planned

__all__ = ["PlanLoop"]


class PlanLoop:
    """Sends a goal again and again; a context manager that cancels the last one.

    Args:
        rig: With a planner.
        goal: What to plan.
    """

    def __init__(self, rig: Rig, goal: PlanInteraction.Goal) -> None:
        self._rig = rig
        self._goal = goal
        self._running = threading.Event()
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._plan, daemon=True)
        self.num_plans = 0

    def __enter__(self) -> PlanLoop:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(WAIT_SEC)
        if error is None and self._error is not None:
            raise self._error

    def wait_running(self) -> None:
        """Wait until a goal runs.

        Raises:
            BenchmarkError: If none runs any more.
        """
        while not self._running.wait(0.1):
            self.check()

    def check(self) -> None:
        """Tell whether plans still succeed.

        Raises:
            BenchmarkError: If one failed.
        """
        if not self._thread.is_alive():
            raise self._error or BenchmarkError("plans must go on, got the end of the loop.")

    def _plan(self) -> None:
        try:
            while not self._stopping.is_set():
                self._plan_once()
        except Exception as error:  # noqa: BLE001 - edge of the thread, raised in the other one
            self._error = error
        finally:
            self._running.clear()

    def _plan_once(self) -> None:
        handle = self._rig.send(self._goal)
        self._running.set()
        result = handle.get_result_async()
        moment = Moment(result)
        while not result.done() and not self._stopping.wait(0.02):
            pass
        self._running.clear()
        if self._stopping.is_set():
            Moment(handle.cancel_goal_async()).wait()
            moment.wait()
            return
        check_planned(moment.wait().result)
        self.num_plans += 1
