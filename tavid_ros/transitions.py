"""Lifecycle transitions that say why they failed."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import TypeVar

from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.service import Service

from tavid_core.errors import TavidError

__all__ = ["answer_impossible_transitions", "logged"]

NodeT = TypeVar("NodeT", bound=LifecycleNode)
Request, Response = ChangeState.Request, ChangeState.Response
Transition = Callable[[NodeT, LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition[NodeT]) -> Transition[NodeT]:
    """Log why a transition failed; rclpy itself says nothing.

    Args:
        transition: Method of a lifecycle node.

    Returns:
        The method; a `TavidError` is a FAILURE with one line, anything else goes on to rclpy, which
        makes an ERROR of it and calls `on_error`.
    """

    @functools.wraps(transition)
    def run(self: NodeT, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except TavidError as error:
            self.get_logger().error(f"{transition.__name__} failed: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            raise

    return run


def answer_impossible_transitions(service: Service, logger: RcutilsLogger) -> None:
    """Make a lifecycle node say no to transitions that its state does not allow.

    rclpy raises then and answers nothing, so that whoever asked waits without end.

    Args:
        service: change_state of the node.
        logger: Of the node.
    """
    change_state = service.callback

    def answer(request: Request, response: Response) -> Response:
        try:
            return change_state(request, response)
        except RCLError as error:
            wanted = request.transition.label or request.transition.id
            logger.warning(
                f"transition must be possible in the present state, got {wanted!r}: {error}. "
                "Ask ~/get_available_transitions which are."
            )
            response.success = False
            return response

    service.callback = answer
