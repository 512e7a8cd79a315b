"""The planner as a ROS 2 lifecycle node: `python -m tavid_ros.planner_node`."""

from __future__ import annotations

import collections
import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header, String, UInt64
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, TavidError
from tavid_ros import conversions, diagnostics
from tavid_ros.goal_gate import GoalGate
from tavid_ros.goal_runner import GoalRunner
from tavid_ros.input_topics import InputTopics
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters, declare, read
from tavid_ros.publishers import PlanPublishers
from tavid_ros.services import TriggerServices
from tavid_ros.spinning import BackgroundExecutor
from tavid_ros.worker_job import WorkerOptions
from tavid_ros.worker_process import WorkerProcess

__all__ = ["ACTION_NAME", "HEARTBEAT_PERIOD_SEC", "PlannerNode", "main"]

ACTION_NAME = "plan_interaction"
HEARTBEAT_PERIOD_SEC = 0.25
_DIAGNOSTICS_PERIOD_SEC = 1.0
_INTERRUPT_WAIT_SEC = 1.0
_LINGER_SEC = 0.1
_START_END_SEC = 1.0

Transition = Callable[["PlannerNode", LifecycleState], TransitionCallbackReturn]


def _logged(transition: Transition) -> Transition:
    """Log why a transition failed; rclpy itself says nothing."""

    @functools.wraps(transition)
    def run(self: PlannerNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except TavidError as error:
            self.get_logger().error(f"{transition.__name__} failed: {error}")
            if transition.__name__ == "on_configure":
                self.release()
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            raise

    return run


class PlannerNode(LifecycleNode):
    """Serves the action `plan_interaction`; the model runs in a child process.

    unconfigured: diagnostics only. configure: load the model (takes as long as that
    takes) and create topics. activate: create action and services, beat, accept goals.
    deactivate: end the running goal, reject others, keep the model. cleanup: end the model's
    process.

    Args:
        context: For tests; None = the default one.
        parameter_overrides: For tests; ROS takes them from the command line otherwise.
    """

    def __init__(
        self,
        *,
        context: Context | None = None,
        parameter_overrides: list[Parameter] | None = None,
    ) -> None:
        super().__init__("planner", context=context, parameter_overrides=parameter_overrides)
        declare(self, PlannerParameters)
        self.parameters = read(self, PlannerParameters)
        self.add_on_set_parameters_callback(self._check_parameters)
        self._reentrant = ReentrantCallbackGroup()
        self._worker: WorkerProcess | None = None
        self._runner: GoalRunner | None = None
        self._plan_publishers: PlanPublishers | None = None
        self._owned: list[Callable[[], object]] = []
        self._is_serving = False
        self._gate = GoalGate()
        self._inputs = LatestInputs()
        self._num_malformed: collections.Counter[str] = collections.Counter()
        self._num_beats = 0
        self._start_timers()

    def _start_timers(self) -> None:
        self._heartbeat = self.create_publisher(UInt64, "~/heartbeat", 1)
        self._refusals = self.create_publisher(String, "~/refusal", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady, because a simulated clock may stand still while the node lives.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        for period_sec, callback in (
            (HEARTBEAT_PERIOD_SEC, self._beat),
            (_DIAGNOSTICS_PERIOD_SEC, self._diagnose),
        ):
            group = MutuallyExclusiveCallbackGroup()
            self.create_timer(period_sec, callback, callback_group=group, clock=steady)

    # Lifecycle

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create what the node serves."""
        parameters = read(self, PlannerParameters)
        self._worker = WorkerProcess(
            WorkerOptions(
                backend=parameters.backend,
                planner={
                    name: getattr(parameters, name)
                    for name in ("model", "adapter", "device", "dtype", "offload")
                },
                load_timeout_sec=parameters.load_timeout_sec,
                watchdog_sec=parameters.watchdog_sec,
                drain_timeout_sec=parameters.drain_timeout_sec,
                niceness=parameters.worker_niceness,
            )
        )
        self._worker.start()
        self._worker.wait_ready(parameters.load_timeout_sec)
        self._plan_publishers = PlanPublishers(self, self._reentrant, parameters.jpeg_quality)
        self._runner = GoalRunner(
            self._worker,
            self._inputs,
            self._plan_publishers,
            _find_output_dir(parameters.output_dir),
            self.get_logger(),
        )
        topics = InputTopics(
            self,
            self._inputs,
            self._num_malformed,
            use_compressed_image=parameters.use_compressed_image,
        )
        self._owned.append(topics.destroy)
        self.get_logger().info(
            f"model '{parameters.model}' loaded in {self._worker.load_time_sec:.1f} s; "
            f"DDS security: {os.environ.get('ROS_SECURITY_ENABLE', 'false')}"
        )
        return super().on_configure(state)

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Accept goals."""
        result = super().on_activate(state)
        self._runner.resume()
        self._gate.open()
        # Last, so that a client that sees the server can be sure of being served.
        if not self._is_serving:
            self._serve(read(self, PlannerParameters))
        self.get_logger().info("ready for goals")
        return result

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the running goal and accept no others."""
        self._end_goal(ErrorCode.NOT_READY, "the node was deactivated. Activate it and ask again.")
        return super().on_deactivate(state)

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the model's process and take everything away."""
        self.release()
        return super().on_cleanup(state)

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do as deactivate and cleanup do."""
        self.end()
        return super().on_shutdown(state)

    @_logged
    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Fall back to unconfigured."""
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def end(self) -> None:
        """End the running goal with SHUTTING_DOWN, then the model's process."""
        self._end_goal(ErrorCode.SHUTTING_DOWN, "the node is shutting down. Ask again later.")
        if self._worker is not None:
            self._worker.stop()

    def release(self) -> None:
        """Take away what configure made; safe to call in any state."""
        self._end_goal(ErrorCode.NOT_READY, "the node was cleaned up. Configure it and ask again.")
        if self._worker is not None:
            self._worker.stop()
        for destroy in reversed(self._owned):
            destroy()
        self._owned.clear()
        self._is_serving = False
        if self._plan_publishers is not None:
            self._plan_publishers.destroy()
        self._worker = self._runner = self._plan_publishers = None
        self._inputs.clear()

    def destroy_node(self) -> None:
        """Take everything away, also what rclpy would leave behind: the action server."""
        self.release()
        super().destroy_node()

    def _end_goal(self, code: ErrorCode, message: str) -> None:
        self._gate.close(message)
        if self._runner is not None and not self._runner.interrupt(
            code, message, _INTERRUPT_WAIT_SEC
        ):
            self.get_logger().warning("the running goal did not end in time")
        if self._plan_publishers is not None:
            self._plan_publishers.stop()

    # Action and services

    def _serve(self, parameters: PlannerParameters) -> None:
        server = ActionServer(
            self,
            PlanInteraction,
            ACTION_NAME,
            self._execute,
            callback_group=self._reentrant,
            goal_callback=self._receive_goal,
            handle_accepted_callback=self._accept,
            # A refused cancel makes rclpy answer others wrongly, and nobody should be refused one.
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            result_timeout=parameters.result_timeout_sec,
        )
        services = TriggerServices(
            self, ACTION_NAME, self._reentrant, lambda: self._gate.last_refusal
        )
        self._owned += [server.destroy, services.destroy]
        self._is_serving = True

    def _receive_goal(self, _goal: PlanInteraction.Goal) -> GoalResponse:
        refusal = self._gate.enter()
        if refusal is None:
            return GoalResponse.ACCEPT
        # A rejected goal has no result in ROS: a topic tells its client why, as "CODE: reason".
        self._refusals.publish(String(data=refusal))
        self.get_logger().warning(f"goal rejected, {refusal}")
        return GoalResponse.REJECT

    def _accept(self, goal_handle: ServerGoalHandle) -> None:
        # Not left to `_execute`, which may wait for a thread longer than a reservation lasts.
        goal_id = bytes(goal_handle.goal_id.uuid)
        self._gate.hold(goal_id)
        try:
            goal_handle.execute()
        except Exception:
            self._gate.leave(goal_id)
            raise

    def _execute(self, goal_handle: ServerGoalHandle) -> PlanInteraction.Result:
        try:
            runner = self._runner
            if runner is None:
                goal_handle.abort()
                return conversions.make_result(ErrorCode.NOT_READY, "the node was cleaned up.")
            return runner.run(goal_handle, read(self, PlannerParameters))
        finally:
            self._gate.leave(bytes(goal_handle.goal_id.uuid))

    # Timers and parameters

    def _beat(self) -> None:
        # Silent before there is an action server: who hears a heartbeat may send a goal. DDS shows
        # the server of a killed planner for 20 s more, so that its sight alone proves nothing.
        if not self._is_serving:
            return
        self._num_beats += 1
        self._heartbeat.publish(UInt64(data=self._num_beats))

    def _diagnose(self) -> None:
        runner = self._runner
        statuses = [
            diagnostics.describe_worker(self._worker),
            diagnostics.describe_inputs(
                self._inputs.ages_sec(),
                self._num_malformed,
                read(self, PlannerParameters).input_max_age_sec,
            ),
            diagnostics.describe_last_plan(None if runner is None else runner.last_plan),
        ]
        header = Header(stamp=self.get_clock().now().to_msg())
        name = self.get_fully_qualified_name()
        self._diagnostics.publish(diagnostics.make_diagnostics(name, header, statuses))

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        known = {
            change.name: change.value for change in changes if hasattr(self.parameters, change.name)
        }
        try:
            read(self, PlannerParameters, **known)
        except TavidError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _find_output_dir(parameter: str) -> Path:
    if parameter:
        return Path(parameter).expanduser().absolute()
    ros_home = os.environ.get("ROS_HOME") or Path.home() / ".ros"
    return Path(ros_home) / "tavid" / "plans"


def _start(node: PlannerNode, stopping: threading.Event, failed: threading.Event) -> None:
    success = TransitionCallbackReturn.SUCCESS
    is_active = node.trigger_configure() == success and node.trigger_activate() == success
    # A signal during the load makes it fail too, and is no failure.
    if not is_active and not stopping.is_set():
        failed.set()
        stopping.set()


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: Command line; None = that of the process.

    Returns:
        0 after a signal, 1 if the node could not be made or, with autostart, not be configured.
    """
    stopping, failed = threading.Event(), threading.Event()
    # rclpy's own handlers would take the context away before the running goal has its result.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopping.set())
    try:
        node = PlannerNode()
    except (TavidError, rclpy.exceptions.ParameterException) as error:
        rclpy.logging.get_logger("planner").fatal(str(error))
        rclpy.shutdown()
        return 1
    executor = BackgroundExecutor(node, num_threads=node.parameters.executor_threads)
    starter = threading.Thread(target=_start, args=(node, stopping, failed), daemon=True)
    if node.parameters.autostart:
        starter.start()
    stopping.wait()
    node.end()
    if node.parameters.autostart:
        # A client may end the node it was waiting for while activation has a line left to run.
        starter.join(_START_END_SEC)
    # The result of the goal that was just ended must reach its client.
    time.sleep(_LINGER_SEC)
    executor.stop()
    node.destroy_node()
    rclpy.shutdown()
    return 1 if failed.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
