"""Everything of a planner node that its client listens to or sends to."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String
from tavid.action import PlanInteraction
from unique_identifier_msgs.msg import UUID

from tavid_ros.action_client import SafeActionClient
from tavid_ros.heartbeat import Heartbeat

__all__ = ["POLL_SEC", "PlannerLink"]

# Of a thread that waits; cheap.
POLL_SEC = 0.02
# Of the node's executor, each of whose wake-ups costs near a millisecond of Python.
_TIMER_SEC = 0.05
_QUEUE_DEPTH = 10


class PlannerLink:
    """The action, the heartbeat, the refusals and the keep-alive of one planner.

    Args:
        node: Of the caller.
        action_name: Of the planner, in the caller's namespace.
        planner_name: Name of the planner node, for its own topics.
        poll: Called 20 times a second between `start_polling` and `stop_polling`.
    """

    def __init__(
        self, node: Node, action_name: str, planner_name: str, poll: Callable[[], None]
    ) -> None:
        self.node = node
        group = ReentrantCallbackGroup()
        self.actions = SafeActionClient(node, PlanInteraction, action_name, callback_group=group)
        self.heartbeat = Heartbeat(node, f"{planner_name}/heartbeat", group)
        self._keep_alive = node.create_publisher(UUID, f"{planner_name}/keep_alive", _QUEUE_DEPTH)
        self._refusals = node.create_subscription(
            String,
            f"{planner_name}/refusal",
            self._note_refusal,
            _QUEUE_DEPTH,
            callback_group=group,
        )
        self._num_refusals, self._last_refusal = 0, ""
        # Steady, because a simulated clock may stand still while a deadline passes.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_TIMER_SEC, poll, callback_group=group, clock=steady)
        self._timer.cancel()

    @property
    def is_in_ros(self) -> bool:
        """Whether the node can send and receive; not after a shutdown of its context."""
        return self.node.context.ok()

    @property
    def is_ready(self) -> bool:
        """Whether the planner serves its action and beats."""
        return self.heartbeat.is_heard and self.actions.server_is_ready()

    @property
    def num_refusals(self) -> int:
        """How many refusals were heard; to be remembered when a goal is sent."""
        return self._num_refusals

    def find_refusal(self, num_refusals: int) -> str | None:
        """Find why a goal was rejected.

        Args:
            num_refusals: Of the moment when the goal was sent.

        Returns:
            "CODE: reason" of the latest refusal since then, None while there is none.
        """
        return self._last_refusal if self._num_refusals > num_refusals else None

    def keep_alive(self, goal_id: UUID) -> None:
        """Tell the planner that the client of a goal is there.

        Args:
            goal_id: Of the goal.
        """
        self._keep_alive.publish(goal_id)

    def start_polling(self) -> None:
        """Call `poll` from now on, on the thread that spins the node."""
        if self._timer.is_canceled():
            self._timer.reset()
            executor = self.node.executor
            if executor is not None:
                # It may wait without knowing of the timer.
                executor.wake()

    def stop_polling(self) -> None:
        """Call `poll` no more."""
        self._timer.cancel()

    def destroy(self) -> None:
        """Take topics, services and the timer away."""
        self.node.destroy_timer(self._timer)
        self.node.destroy_subscription(self._refusals)
        self.node.destroy_publisher(self._keep_alive)
        self.heartbeat.destroy()
        self.actions.destroy()

    def _note_refusal(self, message: String) -> None:
        self._last_refusal = message.data
        self._num_refusals += 1
