"""An action client that can be used from one thread while another one spins."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient
from rclpy.task import Future
from unique_identifier_msgs.msg import UUID

__all__ = ["SafeActionClient"]


class SafeActionClient(ActionClient):
    """`ActionClient` without the race of rclpy for Jazzy (ros2/rclpy#1123).

    There a response that comes before the request was noted down is dropped ("Ignoring unexpected
    goal response") and its future never completes. Here sending and noting down are one step for
    whoever takes responses. Takes the arguments of `ActionClient`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # First, because responses may be looked for as soon as the base class is there.
        self._request_lock = threading.RLock()
        super().__init__(*args, **kwargs)

    def send_goal_async(self, *args: Any, **kwargs: Any) -> Future:
        """Send a goal, see `ActionClient.send_goal_async`."""
        with self._request_lock:
            return super().send_goal_async(*args, **kwargs)

    def forget(self, goal_id: UUID, *, keep_answer: bool = False) -> None:
        """Forget a goal, also one that never got an answer or a result.

        rclpy keeps the feedback callback of a goal that was rejected, and every request that a
        planner died over.

        Args:
            goal_id: As it was sent.
            keep_answer: Whether an answer to the goal itself may still come and is wanted.
        """
        key = bytes(goal_id.uuid)
        with self._request_lock:
            self._feedback_callbacks.pop(key, None)
            self._goal_handles.pop(key, None)
            kinds = [(self._result_sequence_number_to_goal_id, self._pending_result_requests)]
            if not keep_answer:
                kinds.append((self._goal_sequence_number_to_goal_id, self._pending_goal_requests))
            for names, futures in kinds:
                for number in [n for n, name in names.items() if bytes(name.uuid) == key]:
                    del names[number]
                    future = futures.pop(number, None)
                    if future is not None:
                        self.remove_future(future)

    def deliver_feedback(self) -> None:
        """Call the feedback callbacks with what has come and was not taken yet.

        An executor takes one feedback at a time, and a result beside it: of an action whose caller
        was held up, the result overtakes what was told before it.
        """
        for message in self._take_feedback():
            callback = self._feedback_callbacks.get(bytes(message.goal_id.uuid))
            if callback is not None:
                callback(message)

    def _take_feedback(self) -> list[Any]:
        kind, messages = self._action_type.Impl.FeedbackMessage, []
        with self._request_lock:
            while (message := self._client_handle.take_feedback(kind)) is not None:
                messages.append(message)
        return messages

    def _cancel_goal_async(self, *args: Any, **kwargs: Any) -> Future:
        with self._request_lock:
            return super()._cancel_goal_async(*args, **kwargs)

    def _get_result_async(self, *args: Any, **kwargs: Any) -> Future:
        with self._request_lock:
            return super()._get_result_async(*args, **kwargs)

    def take_data(self) -> dict[str, Any]:
        """Take what came; called by the executor."""
        with self._request_lock:
            return super().take_data()
