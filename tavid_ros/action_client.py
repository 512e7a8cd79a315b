"""An action client that can be used from one thread while another one spins."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient
from rclpy.task import Future

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
