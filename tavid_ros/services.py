"""Plan and cancel as plain services, for tools that cannot call actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from action_msgs.srv import CancelGoal
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger
from tavid.action import PlanInteraction

from tavid_ros.action_client import SafeActionClient
from tavid_ros.callback_guard import CallbackGuard

__all__ = ["TriggerServices"]

Work = Callable[[Trigger.Response], Awaitable[None]]


class TriggerServices:
    """`~/plan` and `~/cancel`; both go through the action, so that there is one way only.

    `~/plan` answers when the goal is accepted, not when the plan is ready. `~/cancel` cancels every
    goal, whoever sent it.

    Args:
        node: That serves the action too.
        action_name: Of the action.
        callback_group: Reentrant.
        guard: For the services.
        explain_refusal: Tells why the last goal was rejected.
    """

    def __init__(
        self,
        node: Node,
        action_name: str,
        callback_group: CallbackGroup,
        guard: CallbackGuard,
        explain_refusal: Callable[[], str],
    ) -> None:
        self._node = node
        self._guard = guard
        self._explain_refusal = explain_refusal
        self._client = SafeActionClient(
            node, PlanInteraction, action_name, callback_group=callback_group
        )
        self._canceler = node.create_client(
            CancelGoal, f"{action_name}/_action/cancel_goal", callback_group=callback_group
        )
        self._services = [
            node.create_service(
                Trigger, name, self._make_callback(name, callback), callback_group=callback_group
            )
            for name, callback in (("~/plan", self._plan), ("~/cancel", self._cancel))
        ]

    def destroy(self) -> None:
        """Take the services away."""
        for service in self._services:
            self._node.destroy_service(service)
        self._node.destroy_client(self._canceler)
        self._client.destroy()

    def _make_callback(self, name: str, work: Work) -> Callable[..., Awaitable[Trigger.Response]]:
        async def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                await work(response)
            except Exception as error:  # noqa: BLE001 - edge of the process, as in CallbackGuard
                self._guard.note(name, error)
                response.success = False
                response.message = f"{name} must answer, got {error!r}. See the node's log."
            return response

        return answer

    async def _plan(self, response: Trigger.Response) -> None:
        goal_handle = await self._client.send_goal_async(PlanInteraction.Goal())
        response.success = goal_handle.accepted
        if goal_handle.accepted:
            name = bytes(goal_handle.goal_id.uuid).hex()
            response.message = f"goal {name} accepted; the plan will come on ~/plan"
        else:
            response.message = f"goal rejected, {self._explain_refusal()}"

    async def _cancel(self, response: Trigger.Response) -> None:
        # An id and stamp of zero mean every goal.
        answer = await self._canceler.call_async(CancelGoal.Request())
        response.success = len(answer.goals_canceling) > 0
        response.message = f"{len(answer.goals_canceling)} goal(s) canceling"
