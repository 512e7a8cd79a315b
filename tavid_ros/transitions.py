"""Lifecycle transitions that say why they failed."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import TypeVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from tavid_core.errors import TavidError

__all__ = ["logged"]

NodeT = TypeVar("NodeT", bound=LifecycleNode)
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
