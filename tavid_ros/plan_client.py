"""The client of one planner node: goals out, plans in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from tavid.action import PlanInteraction

from tavid_core.errors import CanceledError, ConfigError
from tavid_core.io import load_plan
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest
from tavid_ros import conversions
from tavid_ros.client_errors import PlanTimeoutError, check_saved, path_from_uri
from tavid_ros.plan_future import PlanFuture
from tavid_ros.planner_link import POLL_SEC, PlannerLink
from tavid_ros.spare_executor import SpareExecutor

__all__ = ["PlanClient"]

_INTERRUPT_SEC = 2.0


class PlanClient:
    """Sends goals to one planner node and waits for them.

    If nobody spins `node`, the blocking calls do it themselves; else they wait for whoever does,
    and must not be made from one of the node's callbacks unless its executor has several threads.
    The calls that end in `_async` never block; the node must be spun, or the future awaited in
    asyncio.

    Args:
        node: Of the caller; stays theirs.
        action_name: Of the planner, in the caller's namespace.
        planner_name: Name of the planner node, for its own topics.
        keep_alive_sec: The planner ends the goals of a client that is gone for so long; 0 = it
            finishes them. The node must then be spun all the time.

    Raises:
        ConfigError: If `keep_alive_sec` is neither 0 nor at least 0.1.
    """

    def __init__(
        self,
        node: Node,
        *,
        action_name: str = "plan_interaction",
        planner_name: str = "planner",
        keep_alive_sec: float = 0.0,
    ) -> None:
        if keep_alive_sec != 0.0 and not 0.1 <= keep_alive_sec < float("inf"):
            raise ConfigError(
                f"keep_alive_sec must be 0 or at least 0.1, got {keep_alive_sec}. Try 5."
            )
        self._node = node
        self._keep_alive_sec = keep_alive_sec
        self._lock = threading.Lock()
        self._is_destroyed = False
        self._pending: set[PlanFuture] = set()
        self._waits: set[threading.Event] = set()
        self._link = PlannerLink(node, action_name, planner_name, self._poll)

    def destroy(self) -> None:
        """Cancel what still runs, and take topics and services away; twice does no harm."""
        if self._is_destroyed:
            return
        self._is_destroyed = True
        for future in tuple(self._pending):
            future.abandon()
        self._link.destroy()

    def wait_for_planner(self, timeout_sec: float) -> None:
        """Wait until a planner is there and serves goals.

        Args:
            timeout_sec: Longest wait.

        Raises:
            PlanTimeoutError: If there is none in time.
            CanceledError: If `cancel` was called.
        """
        deadline_sec = time.monotonic() + timeout_sec
        canceled = threading.Event()
        self._waits.add(canceled)
        try:
            with SpareExecutor(self._node) as spare:
                while not self._link.is_ready:
                    if canceled.is_set():
                        raise CanceledError(
                            "plan must not go on, got a cancel before it began. Ask again."
                        )
                    if time.monotonic() >= deadline_sec:
                        raise PlanTimeoutError(
                            f"a planner must be there within {timeout_sec:g} s, got none. "
                            "Is planner_node running, in this namespace and ROS_DOMAIN_ID, and "
                            "has it loaded its model?"
                        )
                    spare.wait(POLL_SEC)
        finally:
            self._waits.discard(canceled)

    def plan(
        self,
        image: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        prompt: str,
        timeout_sec: float,
        *,
        on_progress: Callable[[PlanProgress], None] | None = None,
        **fields: object,
    ) -> InteractionPlan:
        """Ask for a plan and wait for it.

        Args:
            image: RGB, uint8 (H, W, 3).
            mask: The target, bool (H, W).
            prompt: What should happen.
            timeout_sec: Longest wait; the goal is canceled then.
            on_progress: Called with the node's feedback, on the thread that spins the node. What
                it raises cancels the goal and is raised here.
            **fields: Further fields of `PlanRequest`, as depth_m, intrinsics, seed.

        Returns:
            The plan, read from the folder where the node saved it.

        Raises:
            InputError: If the request is unusable; nothing was sent.
            CanceledError: If `cancel` was called.
            PlanRejectedError: If the planner is busy or not active; says which.
            PlanFailedError: If the planner failed; carries its code.
            PlanTimeoutError: If the time passed.
            ServerLostError: If the planner went away.
            PlanUnreachableError: If the plan was not saved, or its folder is not on this machine.
        """
        request = PlanRequest(image=image, target_mask=mask, prompt=prompt, **fields)
        goal = conversions.goal_from_request(request)
        return _load_result(self.request_plan(goal, timeout_sec, on_progress=on_progress))

    def plan_async(
        self,
        image: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        prompt: str,
        timeout_sec: float,
        *,
        on_progress: Callable[[PlanProgress], None] | None = None,
        **fields: object,
    ) -> PlanFuture:
        """Ask for a plan without waiting for it.

        Args:
            image: As for `plan`, and so are the others.
            mask: See `plan`.
            prompt: See `plan`.
            timeout_sec: See `plan`.
            on_progress: See `plan`.
            **fields: See `plan`.

        Returns:
            The future of the `InteractionPlan`: await it, or use `add_done_callback`; its
            `result()` raises what `plan` would.

        Raises:
            InputError: If the request is unusable; nothing was sent.
        """
        request = PlanRequest(image=image, target_mask=mask, prompt=prompt, **fields)
        goal = conversions.goal_from_request(request)
        return self._start(goal, timeout_sec, on_progress, _load_result)

    def request_plan(
        self,
        goal: PlanInteraction.Goal,
        timeout_sec: float,
        *,
        on_progress: Callable[[PlanProgress], None] | None = None,
    ) -> PlanInteraction.Result:
        """Send a goal as it is and wait for its result.

        Args:
            goal: Empty fields mean the planner's topics and defaults.
            timeout_sec: Longest wait; the goal is canceled then, which takes milliseconds if all
                is well and is itself waited for at most 10 s.
            on_progress: As for `plan`.

        Returns:
            The result; its error_code is NONE.

        Raises:
            CanceledError: If `cancel` was called.
            PlanRejectedError: If the planner is busy or not active; says which.
            PlanFailedError: If the planner failed; carries its code.
            PlanTimeoutError: If the time passed.
            ServerLostError: If the planner went away.
        """
        future = self.request_plan_async(goal, timeout_sec, on_progress=on_progress)
        try:
            future.wait()
        except BaseException:
            # Ctrl-C, mostly: the goal must not run on for nobody.
            future.cancel()
            _wait_briefly(future, self._node)
            raise
        return future.result()

    def request_plan_async(
        self,
        goal: PlanInteraction.Goal,
        timeout_sec: float,
        *,
        on_progress: Callable[[PlanProgress], None] | None = None,
    ) -> PlanFuture:
        """Send a goal as it is without waiting for it.

        Args:
            goal: As for `request_plan`, and so are the others.
            timeout_sec: See `request_plan`.
            on_progress: See `request_plan`.

        Returns:
            The future of the action's result; its `result()` raises what `request_plan` would.
        """
        return self._start(goal, timeout_sec, on_progress, None)

    def cancel(self) -> None:
        """Cancel every goal of this client and every wait for the planner.

        They end with `CanceledError`; what is asked for later is not touched. Safe in callbacks,
        other threads and signal handlers.
        """
        for wait in tuple(self._waits):
            wait.set()
        for future in tuple(self._pending):
            future.cancel()

    @staticmethod
    def load(plan_uri: str) -> InteractionPlan:
        """Read a saved plan.

        Args:
            plan_uri: Of a result or a `PlanFailedError`.

        Returns:
            The plan.

        Raises:
            PlanUnreachableError: If the folder is not on this machine.
            TavidError: If it is damaged.
        """
        return load_plan(path_from_uri(plan_uri))

    def _start(
        self,
        goal: PlanInteraction.Goal,
        timeout_sec: float,
        on_progress: Callable[[PlanProgress], None] | None,
        convert: Callable[[PlanInteraction.Result], object] | None,
    ) -> PlanFuture:
        if self._keep_alive_sec and not goal.keep_alive_sec:
            goal.keep_alive_sec = self._keep_alive_sec
        future = PlanFuture(
            self._link,
            goal,
            timeout_sec,
            on_progress=on_progress,
            convert=convert,
            on_over=self._forget,
        )
        with self._lock:
            self._pending.add(future)
            self._link.start_polling()
        return future

    def _forget(self, future: PlanFuture) -> None:
        with self._lock:
            self._pending.discard(future)

    def _poll(self) -> None:
        for future in tuple(self._pending):
            future.poll()
        with self._lock:
            if not self._pending:
                self._link.stop_polling()


def _load_result(result: PlanInteraction.Result) -> InteractionPlan:
    check_saved(result.plan_uri, result.error_msg)
    return PlanClient.load(result.plan_uri)


def _wait_briefly(future: PlanFuture, node: Node) -> None:
    deadline_sec = time.monotonic() + _INTERRUPT_SEC
    with SpareExecutor(node) as spare:
        while not future.done() and time.monotonic() < deadline_sec:
            future.poll()
            spare.wait(POLL_SEC)
    if future.done():
        # Nobody else will ask for it, and rclpy would complain.
        future.exception()
