"""What a planner says about itself without being asked: heartbeat and diagnostics."""

from __future__ import annotations

import threading
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header, UInt64

from tavid_ros import diagnostics
from tavid_ros.callback_guard import CallbackGuard
from tavid_ros.namesakes import Namesakes

__all__ = ["HEARTBEAT_PERIOD_SEC", "VitalSigns"]

HEARTBEAT_PERIOD_SEC = 0.25
_DIAGNOSTICS_PERIOD_SEC = 1.0


class VitalSigns:
    """Beats and reports on timers of their own for as long as the node lives.

    Args:
        node: Owner of the topics.
        guard: For the timers.
        is_serving: Whether there is an action server.
        describe: Tells how everything is.
    """

    def __init__(
        self,
        node: Node,
        guard: CallbackGuard,
        is_serving: Callable[[], bool],
        describe: Callable[[], list[DiagnosticStatus]],
    ) -> None:
        self._node = node
        self._is_serving = is_serving
        self._describe = describe
        self._namesakes = Namesakes(node)
        self._num_beats, self._beating = 0, threading.Lock()
        self._heartbeat = node.create_publisher(UInt64, "~/heartbeat", 1)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady, because a simulated clock may stand still while the node lives.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        for name, period_sec, callback in (
            ("the heartbeat", HEARTBEAT_PERIOD_SEC, self.beat),
            ("diagnostics", _DIAGNOSTICS_PERIOD_SEC, self._diagnose),
        ):
            node.create_timer(
                period_sec,
                guard.wrap(name, callback),
                callback_group=MutuallyExclusiveCallbackGroup(),
                clock=steady,
            )

    def beat(self) -> None:
        """Beat now; whoever just became ready need not wait for the timer to say so."""
        # Silent before there is an action server: who hears a heartbeat may send a goal. DDS shows
        # the server of a killed planner for 20 s more, so that its sight alone proves nothing.
        if not self._is_serving():
            return
        # A count that goes back says that the planner was restarted.
        with self._beating:
            self._num_beats += 1
            self._heartbeat.publish(UInt64(data=self._num_beats))

    def _diagnose(self) -> None:
        header = Header(stamp=self._node.get_clock().now().to_msg())
        name = self._node.get_fully_qualified_name()
        self._namesakes.look()
        statuses = [*self._describe(), diagnostics.describe_namesakes(self._namesakes)]
        self._diagnostics.publish(diagnostics.make_diagnostics(name, header, statuses))
