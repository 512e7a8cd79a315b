"""What happens when the node's clock jumps: a simulation starts again, or a bag is looped."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

__all__ = ["ClockJumps"]

_FORWARD_SEC = 10.0
_NS_PER_SECOND = 1_000_000_000
_LOG_THROTTLE_SEC = 10.0


class ClockJumps:
    """Watches the ROS clock of a node; without use_sim_time it never jumps.

    Deadlines and ages are on the steady clock and do not care. Messages from before a jump back
    have stamps in the future; they would be paired wrongly.

    Args:
        node: Whose clock.
        forget: Called after a jump back.
    """

    def __init__(self, node: Node, forget: Callable[[], object]) -> None:
        self._logger = node.get_logger()
        self._clock = node.get_clock()
        self._forget = forget
        self._handle = self._clock.create_jump_callback(
            JumpThreshold(
                min_forward=Duration(seconds=_FORWARD_SEC),
                # The least that there is: any way back.
                min_backward=Duration(nanoseconds=-1),
                on_clock_change=False,
            ),
            post_callback=self._jumped,
        )

    def destroy(self) -> None:
        """Stop watching."""
        self._handle.unregister()

    def _jumped(self, jump: TimeJump) -> None:
        # From 0 to the first word of a simulation is its start and no jump.
        if jump.delta.nanoseconds == self._clock.now().nanoseconds:
            return
        delta_sec = jump.delta.nanoseconds / _NS_PER_SECOND
        if delta_sec < 0:
            self._forget()
            told = "remembered images, masks and depth are forgotten"
        else:
            told = "inputs are kept, their age counts from their arrival"
        self._logger.warning(
            f"the clock jumped by {delta_sec:+.3f} s: {told}",
            throttle_duration_sec=_LOG_THROTTLE_SEC,
        )
