"""One goal on its way, as a future: it always ends, whatever the planner does."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Generator
from typing import Any

from rclpy.action.client import ClientGoalHandle
from rclpy.task import Future
from tavid.action import PlanInteraction
from unique_identifier_msgs.msg import UUID

from tavid_core.errors import CanceledError
from tavid_core.types import PlanProgress
from tavid_ros import conversions
from tavid_ros.client_errors import (
    PlanRejectedError,
    PlanTimeoutError,
    ServerLostError,
    check_response,
)
from tavid_ros.planner_link import POLL_SEC, PlannerLink
from tavid_ros.spare_executor import SpareExecutor

__all__ = ["SEND_TIMEOUT_SEC", "PlanFuture"]

SEND_TIMEOUT_SEC = 10.0
# Refusal and rejection come on two topics, the one a moment after the other.
_REFUSAL_WAIT_SEC = 0.3
_KEEP_ALIVES_PER_LIMIT = 5.0
_POLL_LIMIT_SEC = 1.0

Step = Callable[[float], PlanInteraction.Result | None]


class PlanFuture(Future):
    """The plan of one goal, when it is there; made by `PlanClient`.

    A future of rclpy: `await` it in a coroutine that rclpy or asyncio runs, give it to
    `rclpy.spin_until_future_complete`, or `add_done_callback`. It ends with a value or one of the
    client's exceptions: soon after its deadline, and within two seconds of the planner's death.

    Args:
        link: To the planner.
        goal: As it is sent.
        timeout_sec: Longest wait; the goal is canceled then.
        on_progress: Called with the node's feedback, on the thread that spins the node, and never
            after the future is done; if that thread is held up, with the latest ten messages. What
            it raises cancels the goal and ends the future.
        convert: Makes the value of the future from the result, on a thread of its own; the result
            is the value if None.
        on_over: Called once when the goal is over.
    """

    def __init__(
        self,
        link: PlannerLink,
        goal: PlanInteraction.Goal,
        timeout_sec: float,
        *,
        on_progress: Callable[[PlanProgress], None] | None,
        convert: Callable[[PlanInteraction.Result], object] | None,
        on_over: Callable[[PlanFuture], None],
    ) -> None:
        super().__init__()
        self._link, self._goal, self._timeout_sec = link, goal, timeout_sec
        self._on_progress, self._convert, self._on_over = on_progress, convert, on_over
        self._goal_id = UUID(uuid=list(uuid.uuid4().bytes))
        now_sec = time.monotonic()
        self._deadline_sec = now_sec + timeout_sec
        # Of the present step.
        self._step_deadline_sec = min(self._deadline_sec, now_sec + SEND_TIMEOUT_SEC)
        self._step: Step | None = self._find_planner
        self._polling = threading.Lock()
        self._is_cancel_requested = False
        self._is_late = False
        self._callback_error: Exception | None = None
        self._num_restarts = self._num_refusals = 0
        self._answer: Future | None = None
        self._handle: ClientGoalHandle | None = None
        self._response: Future | None = None
        self._last_keep_alive_sec = 0.0

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            is_asyncio = asyncio.current_task() is not None
        except RuntimeError:
            is_asyncio = False
        if is_asyncio:
            # A bare yield, as rclpy's own future does, would keep asyncio's loop busy.
            yield from self._wait_in_asyncio().__await__()
            return self.result()
        return (yield from super().__await__())

    def cancel(self) -> None:
        """Cancel the goal; the future ends with `CanceledError` soon.

        Safe in signal handlers. Without effect when the goal is over.
        """
        self._is_cancel_requested = True

    def abandon(self) -> None:
        """End the future now with `CanceledError` and cancel the goal without waiting for it."""
        # A poll takes microseconds, but a Ctrl-C in the midst of one may have left the lock behind.
        is_taken = self._polling.acquire(timeout=_POLL_LIMIT_SEC)
        try:
            if self._step is not None:
                self._end(error=CanceledError("plan must not go on, got a destroyed client."))
        finally:
            if is_taken:
                self._polling.release()

    def poll(self) -> None:
        """Go on if there is something to do: called often, on any thread, never blocks."""
        if self._step is None or not self._polling.acquire(blocking=False):
            return
        try:
            while self._step is not None:
                step = self._step
                result = self._advance()
                if result is not None:
                    self._end(result=result, error=self._callback_error)
                if self._step == step:
                    break
        except Exception as error:  # noqa: BLE001 - whoever waits is told, not who spins
            self._end(error=self._callback_error or error)
        finally:
            self._polling.release()

    def wait(self) -> None:
        """Block until the future is done; spins the node if nobody else does."""
        with SpareExecutor(self._link.node) as spare:
            while not self.done():
                self.poll()
                if not self.done():
                    spare.wait(POLL_SEC)

    async def _wait_in_asyncio(self) -> None:
        with SpareExecutor(self._link.node) as spare:
            try:
                while not self.done():
                    self.poll()
                    spare.spin_what_is_ready()
                    await asyncio.sleep(0.0 if self.done() else POLL_SEC / 4)
            except asyncio.CancelledError:
                self.cancel()
                raise

    # Steps: each returns the result, or None and maybe another step

    def _advance(self) -> PlanInteraction.Result | None:
        if not self._link.is_in_ros:
            raise ServerLostError(
                "the node must stay in ROS until the plan is there, got a shutdown of its context. "
                "Start again."
            )
        return self._step(time.monotonic())

    def _find_planner(self, now_sec: float) -> None:
        if self._is_cancel_requested:
            raise CanceledError("plan must not go on, got a cancel before it began. Ask again.")
        if self._link.is_ready:
            self._send(now_sec)
        elif now_sec >= self._step_deadline_sec:
            limit_sec = min(self._timeout_sec, SEND_TIMEOUT_SEC)
            raise PlanTimeoutError(
                f"a planner must be there within {limit_sec:g} s, got none. Is planner_node "
                "running, in this namespace and ROS_DOMAIN_ID, has it loaded its model, and is "
                "this node spun? In a callback use plan_async, not plan."
            )

    def _send(self, now_sec: float) -> None:
        link = self._link
        self._num_restarts = link.heartbeat.num_restarts
        self._num_refusals = link.num_refusals
        callback = None if self._on_progress is None else self._forward
        self._step_deadline_sec = min(self._deadline_sec, now_sec + SEND_TIMEOUT_SEC)
        self._step = self._await_answer
        self._answer = link.actions.send_goal_async(
            self._goal, feedback_callback=callback, goal_uuid=self._goal_id
        )
        self._answer.add_done_callback(lambda _: self.poll())

    def _await_answer(self, now_sec: float) -> None:
        if self._answer.done():
            self._handle = self._answer.result()
            if self._handle.accepted:
                self._step = self._await_result
                self._response = self._handle.get_result_async()
                self._response.add_done_callback(lambda _: self.poll())
            else:
                self._step = self._await_refusal
                self._step_deadline_sec = now_sec + _REFUSAL_WAIT_SEC
            return
        self._link.heartbeat.check(self._num_restarts)
        if now_sec >= self._step_deadline_sec:
            limit_sec = min(self._timeout_sec, SEND_TIMEOUT_SEC)
            raise PlanTimeoutError(
                f"the planner must answer a goal within {limit_sec:.3g} s, got nothing. Is this "
                "node spun? In a callback use plan_async, not plan. Or is the image larger than "
                "the DDS transport allows? See config/fastdds_profile.xml."
            )

    def _await_refusal(self, now_sec: float) -> None:
        refusal = self._link.find_refusal(self._num_refusals)
        if refusal is not None or now_sec >= self._step_deadline_sec:
            raise PlanRejectedError(refusal or "")

    def _await_result(self, now_sec: float) -> PlanInteraction.Result | None:
        if self._response.done():
            return self._take_result(late_after_sec=None)
        self._link.heartbeat.check(self._num_restarts)
        self._keep_alive(now_sec)
        self._is_late = now_sec >= self._deadline_sec
        if self._is_late or self._is_cancel_requested:
            self._handle.cancel_goal_async()
            self._step_deadline_sec = now_sec + SEND_TIMEOUT_SEC
            self._step = self._await_end
        return None

    def _await_end(self, now_sec: float) -> PlanInteraction.Result | None:
        if self._response.done():
            late_after_sec = self._timeout_sec if self._is_late else None
            return self._take_result(late_after_sec=late_after_sec)
        self._link.heartbeat.check(self._num_restarts)
        self._keep_alive(now_sec)
        if now_sec >= self._step_deadline_sec:
            raise PlanTimeoutError(
                f"a canceled goal must end within {SEND_TIMEOUT_SEC:g} s, got nothing. "
                "Restart the planner."
            )
        return None

    def _take_result(self, *, late_after_sec: float | None) -> PlanInteraction.Result:
        # While a step is set: nothing is told of a goal that is over.
        self._link.actions.deliver_feedback()
        return check_response(self._response.result(), late_after_sec=late_after_sec)

    def _keep_alive(self, now_sec: float) -> None:
        period_sec = self._goal.keep_alive_sec / _KEEP_ALIVES_PER_LIMIT
        if period_sec > 0.0 and now_sec - self._last_keep_alive_sec >= period_sec:
            self._last_keep_alive_sec = now_sec
            self._link.keep_alive(self._goal_id)

    def _forward(self, message: PlanInteraction.Impl.FeedbackMessage) -> None:
        if self._step is None:
            return
        try:
            self._on_progress(conversions.progress_from_feedback(message.feedback))
        except Exception as error:  # noqa: BLE001 - told to who waits, not to who spins
            self._callback_error = self._callback_error or error
            self.cancel()

    # The end

    def _end(
        self, *, result: PlanInteraction.Result | None = None, error: Exception | None = None
    ) -> None:
        self._step = None
        self._clean_up()
        self._on_over(self)
        if error is not None:
            self.set_exception(error)
        elif self._convert is None:
            self.set_result(result)
        else:
            # Reading a plan from the disk must not block whoever spins the node.
            threading.Thread(target=self._set_converted, args=(result,), name="plan").start()

    def _set_converted(self, result: PlanInteraction.Result) -> None:
        try:
            value = self._convert(result)
        except Exception as error:  # noqa: BLE001 - edge of the thread: who waits is told
            self.set_exception(error)
        else:
            self.set_result(value)

    def _clean_up(self) -> None:
        """Leave nothing behind, neither in rclpy nor at the planner."""
        if self._answer is None:
            return
        is_unanswered = not self._answer.done()
        if is_unanswered:
            # Accepted later, it would run for nobody and keep others out.
            self._answer.add_done_callback(_cancel_late)
        elif self._response is not None and not self._response.done() and self._link.is_in_ros:
            self._handle.cancel_goal_async()
        self._link.actions.forget(self._goal_id, keep_answer=is_unanswered)


def _cancel_late(future: Future) -> None:
    if not future.cancelled() and future.exception() is None and future.result().accepted:
        future.result().cancel_goal_async()
