"""The action server of the planner: lets goals in, runs them, and offers them as services too."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from tavid.action import PlanInteraction

from tavid_ros.callback_guard import CallbackGuard
from tavid_ros.goal_gate import GoalGate, GoalTicket
from tavid_ros.goal_runner import GoalRunner
from tavid_ros.keep_alive import KeepAlive
from tavid_ros.parameters import PlannerParameters
from tavid_ros.refusals import Refusals
from tavid_ros.services import TriggerServices

__all__ = ["ACTION_NAME", "GoalServer"]

ACTION_NAME = "plan_interaction"
# ROS's own depth of 10 loses most of a flood of goals, and their clients wait for nothing. 200 at
# once are the most that is promised.
_REQUEST_QOS = QoSProfile(depth=256)


class GoalServer:
    """Serves `plan_interaction`, `~/plan`, `~/cancel`, `~/keep_alive` and `~/refusal`.

    Each goal has a thread of the executor from its acceptance to its end, so that a waiting one is
    as easy to cancel as a running one.

    Args:
        node: Owner of the action.
        runner: Runs goals.
        gate: Lets them in.
        guard: For callbacks.
        callback_group: Reentrant.
        read_parameters: Takes a snapshot of the node's.
    """

    def __init__(
        self,
        node: Node,
        runner: GoalRunner,
        gate: GoalGate,
        guard: CallbackGuard,
        callback_group: CallbackGroup,
        read_parameters: Callable[[], PlannerParameters],
    ) -> None:
        self._node = node
        self._runner = runner
        self._gate = gate
        self._read_parameters = read_parameters
        self._lock = threading.Lock()
        self._accepted: dict[bytes, tuple[GoalTicket, PlannerParameters]] = {}
        self._refusals = Refusals(node)
        self._keep_alive = KeepAlive(node)
        self._server = ActionServer(
            node,
            PlanInteraction,
            ACTION_NAME,
            self._execute,
            callback_group=callback_group,
            goal_callback=guard.wrap(
                "the goal callback", self._receive_goal, lambda _: GoalResponse.REJECT
            ),
            handle_accepted_callback=guard.wrap("the accepted callback", self._accept),
            # A refused cancel makes rclpy answer others wrongly, and nobody should be refused one.
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            goal_service_qos_profile=_REQUEST_QOS,
            cancel_service_qos_profile=_REQUEST_QOS,
            result_service_qos_profile=_REQUEST_QOS,
            result_timeout=read_parameters().result_timeout_sec,
        )
        self._services = TriggerServices(
            node, ACTION_NAME, callback_group, guard, lambda: gate.last_refusal
        )

    def destroy(self) -> None:
        """Take everything away."""
        self._services.destroy()
        self._server.destroy()
        self._keep_alive.destroy()
        self._refusals.destroy()

    def _receive_goal(self, _goal: PlanInteraction.Goal) -> GoalResponse:
        refusal = self._gate.enter(self._read_parameters().goal_policy)
        if refusal is None:
            return GoalResponse.ACCEPT
        self._refusals.tell(refusal)
        return GoalResponse.REJECT

    def _accept(self, goal_handle: ServerGoalHandle) -> None:
        # Not left to `_execute`, which may wait for a thread longer than a reservation lasts.
        goal_id, parameters = bytes(goal_handle.goal_id.uuid), self._read_parameters()
        ticket = self._gate.hold(goal_id, parameters.goal_policy)
        self._keep_alive.watch(goal_id)
        with self._lock:
            self._accepted[goal_id] = (ticket, parameters)
        try:
            goal_handle.execute()
        except Exception:
            self._leave(goal_id)
            raise

    def _execute(self, goal_handle: ServerGoalHandle) -> PlanInteraction.Result:
        goal_id = bytes(goal_handle.goal_id.uuid)
        with self._lock:
            ticket, parameters = self._accepted[goal_id]
        try:
            return self._runner.run(goal_handle, ticket, parameters, self._keep_alive)
        finally:
            self._leave(goal_id)

    def _leave(self, goal_id: bytes) -> None:
        self._keep_alive.forget(goal_id)
        with self._lock:
            ticket, _ = self._accepted.pop(goal_id)
        self._gate.leave(ticket)
