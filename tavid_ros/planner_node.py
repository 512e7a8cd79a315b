"""The planner as a ROS 2 lifecycle node: `python -m tavid_ros.planner_node`."""

from __future__ import annotations

import collections
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import CallbackGroup, ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from tavid_core.errors import ErrorCode, TavidError
from tavid_ros import diagnostics
from tavid_ros.callback_guard import CallbackGuard
from tavid_ros.goal_gate import GoalGate
from tavid_ros.goal_runner import GoalRunner
from tavid_ros.goal_server import ACTION_NAME, GoalServer
from tavid_ros.input_topics import InputTopics
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters, declare, read
from tavid_ros.publishers import PlanPublishers
from tavid_ros.shared_memory import remove_stale_segments
from tavid_ros.spinning import BackgroundExecutor
from tavid_ros.stop_signal import StopSignal
from tavid_ros.transitions import answer_impossible_transitions, logged
from tavid_ros.vital_signs import HEARTBEAT_PERIOD_SEC, VitalSigns
from tavid_ros.worker_job import WorkerOptions
from tavid_ros.worker_process import WorkerProcess

__all__ = ["ACTION_NAME", "HEARTBEAT_PERIOD_SEC", "PlannerNode", "main"]

_INTERRUPT_WAIT_SEC = 1.0
_FOR_WORKER = (
    *("model", "adapter", "device", "dtype", "offload", "vae_tiling"),
    *("keypoints", "body_fit", "body_model"),
)
_LINGER_SEC = 0.2
_TURN_SEC = 0.0005
_START_END_SEC = 1.0
# After a signal; launch kills what takes longer than its own limits.
_LONGEST_END_SEC = 1.8


class PlannerNode(LifecycleNode):
    """Serves the action `plan_interaction`; the model runs in a child process.

    unconfigured: diagnostics only. configure: create topics, so that nothing is missed meanwhile,
    and load the model (takes as long as that takes). activate: create action and services, beat,
    accept goals. deactivate: end the goals, reject others, keep the model. cleanup: end the
    model's process.

    Two planners of one name would both take each goal; a second one is warned of, see `Namesakes`.
    Several planners on one graph need namespaces.

    Args:
        context: For tests; None = the default one.
        parameter_overrides: For tests; ROS takes them from the command line otherwise.

    Attributes:
        guard: Counts callbacks that failed.
    """

    def __init__(
        self,
        *,
        context: Context | None = None,
        parameter_overrides: list[Parameter] | None = None,
    ) -> None:
        # Before rclpy makes its services, see default_callback_group.
        self._reentrant = ReentrantCallbackGroup()
        super().__init__("planner", context=context, parameter_overrides=parameter_overrides)
        self.guard = CallbackGuard(self.get_logger())
        answer_impossible_transitions(self._service_change_state, self.get_logger())
        declare(self, PlannerParameters)
        self.parameters = read(self, PlannerParameters)
        self.add_on_set_parameters_callback(
            self.guard.wrap("the parameter callback", self._check_parameters, _refuse_parameters)
        )
        self._worker: WorkerProcess | None = None
        self._runner: GoalRunner | None = None
        self._plan_publishers: PlanPublishers | None = None
        self._server: GoalServer | None = None
        self._owned: list[Callable[[], object]] = []
        self._gate = GoalGate()
        self._topics: InputTopics | None = None
        self._inputs = LatestInputs(tell=self.get_logger().info)
        self._num_malformed: collections.Counter[str] = collections.Counter()
        self._vital_signs = VitalSigns(
            self, self.guard, lambda: self._server is not None, self._describe
        )

    @property
    def default_callback_group(self) -> CallbackGroup:
        """Group of rclpy's own services: reentrant, so that a load of minutes blocks none."""
        return self._reentrant

    # Lifecycle

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen to the inputs, load the model and create what plans are published on."""
        parameters = read(self, PlannerParameters)
        try:
            # Before the model, which may load for minutes: a prompt or mask that is published
            # once in that time must not be lost.
            self._topics = InputTopics(self, self._inputs, self._num_malformed, parameters)
            self._owned.append(self._topics.destroy)
            self._load(parameters)
        except TavidError:
            self.release()
            raise
        return super().on_configure(state)

    def _load(self, parameters: PlannerParameters) -> None:
        worker = self._worker = WorkerProcess(_choose_worker(parameters))
        worker.start()
        worker.wait_ready(parameters.load_timeout_sec)
        self._plan_publishers = PlanPublishers(self, self._reentrant)
        self._runner = GoalRunner(
            worker,
            self._inputs,
            self._plan_publishers,
            self._gate,
            _find_output_dir(parameters.output_dir),
            self.get_logger(),
        )
        self.get_logger().info(
            f"model '{parameters.model}' loaded in {worker.load_time_sec:.1f} s; "
            f"DDS security: {os.environ.get('ROS_SECURITY_ENABLE', 'false')}"
        )

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Accept goals."""
        result = super().on_activate(state)
        self._runner.resume()
        self._gate.open()
        # Last, so that a client that sees the server can be sure of being served.
        if self._server is None:
            self._server = GoalServer(
                self,
                self._runner,
                self._gate,
                self.guard,
                self._reentrant,
                lambda: read(self, PlannerParameters),
            )
        # A client that last heard the planner before a quick way down and up would give it up.
        self._vital_signs.beat()
        self.get_logger().info("ready for goals")
        return result

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the goals and accept no others."""
        self._end_goals(ErrorCode.NOT_READY, "the node was deactivated. Activate it and ask again.")
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the model's process and take everything away."""
        self.release()
        return super().on_cleanup(state)

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do as deactivate and cleanup do."""
        self.end()
        return super().on_shutdown(state)

    @logged
    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Fall back to unconfigured."""
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def end(self) -> None:
        """End the goals with SHUTTING_DOWN, then the model's process."""
        self._end_goals(ErrorCode.SHUTTING_DOWN, "the node is shutting down. Ask again later.")
        if self._worker is not None:
            self._worker.stop()

    def release(self) -> None:
        """Take away what configure made; safe to call in any state."""
        self._end_goals(ErrorCode.NOT_READY, "the node was cleaned up. Configure it and ask again.")
        server, self._server = self._server, None
        worker, self._worker = self._worker, None
        publishers, self._plan_publishers = self._plan_publishers, None
        owned, self._owned, self._runner = self._owned, [], None
        self._topics = None
        if worker is not None:
            worker.stop()
        if server is not None:
            server.destroy()
        for destroy in reversed(owned):
            destroy()
        if publishers is not None:
            publishers.destroy()
        self._inputs.clear()
        # rclpy keeps a reference to every entity that ever was in a group.
        entities = self._reentrant.entities
        entities -= {entity for entity in tuple(entities) if entity() is None}

    def destroy_node(self) -> None:
        """Take everything away, also what rclpy would leave behind: the action server."""
        self.release()
        super().destroy_node()

    def _end_goals(self, code: ErrorCode, message: str) -> None:
        self._gate.close(message)
        if self._runner is not None:
            self._runner.interrupt(code, message)
            if not self._gate.wait_empty(_INTERRUPT_WAIT_SEC):
                self.get_logger().warning(f"{self._gate.num_inside} goal(s) did not end in time")
        if self._plan_publishers is not None:
            self._plan_publishers.stop()

    # Diagnostics and parameters

    def _describe(self) -> list[DiagnosticStatus]:
        runner, worker, publishers = self._runner, self._worker, self._plan_publishers
        topics = self._topics
        return [
            diagnostics.describe_worker(worker),
            diagnostics.describe_memory(worker),
            diagnostics.describe_inputs(
                self._inputs.ages_sec(),
                self._num_malformed,
                read(self, PlannerParameters).input_max_age_sec,
                self._inputs.rates_hz(),
                {} if topics is None else topics.num_lost,
                () if topics is None else topics.problems,
            ),
            diagnostics.describe_last_plan(None if runner is None else runner.last_plan),
            diagnostics.describe_goals(None if runner is None else runner.statistics),
            diagnostics.describe_outputs(publishers),
            diagnostics.describe_transforms(publishers and publishers.output_frame),
            diagnostics.describe_callbacks(self.guard.num_failures),
        ]

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        known = {
            change.name: change.value for change in changes if hasattr(self.parameters, change.name)
        }
        try:
            read(self, PlannerParameters, **known)
        except TavidError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _refuse_parameters(error: Exception) -> SetParametersResult:
    return SetParametersResult(
        successful=False,
        reason=f"the node must check the change, got {error!r}. See the node's log.",
    )


def _choose_worker(parameters: PlannerParameters) -> WorkerOptions:
    return WorkerOptions(
        backend=parameters.backend,
        planner={name: getattr(parameters, name) for name in _FOR_WORKER},
        load_timeout_sec=parameters.load_timeout_sec,
        watchdog_sec=parameters.watchdog_sec,
        drain_timeout_sec=parameters.drain_timeout_sec,
        niceness=parameters.worker_niceness,
    )


def _find_output_dir(parameter: str) -> Path:
    if parameter:
        return Path(parameter).expanduser().absolute()
    ros_home = os.environ.get("ROS_HOME") or Path.home() / ".ros"
    return Path(ros_home) / "tavid" / "plans"


def _start(node: PlannerNode, stopping: StopSignal, failed: threading.Event) -> None:
    success = TransitionCallbackReturn.SUCCESS
    is_active = node.trigger_configure() == success and node.trigger_activate() == success
    # A signal during the load makes it fail too, and is no failure.
    if not is_active and not stopping.is_set():
        failed.set()
        stopping.set()


def _take_short_turns() -> None:
    """Keep a thread that converts a plan from holding up the one that answers a cancel.

    An answer takes the interpreter a dozen times, and each time waits for the other's turn to end:
    5 ms by default. What was imported is left out of garbage collection, which holds everybody.
    """
    sys.setswitchinterval(_TURN_SEC)
    gc.collect()
    gc.freeze()


def _leave_in_time(failed: threading.Event) -> None:
    """End the process even if a thread of somebody else's hangs; one call of this is enough."""

    def leave() -> None:
        time.sleep(_LONGEST_END_SEC)
        os._exit(1 if failed.is_set() else 0)

    threading.Thread(target=leave, name="last resort", daemon=True).start()


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        args: Command line; None = that of the process.

    Returns:
        0 after a signal, 1 if the node could not be made or, with autostart, not be configured.
    """
    stopping, failed = StopSignal(), threading.Event()
    num_bytes = remove_stale_segments()
    # rclpy's own handlers would take the context away before the running goal has its result.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopping.listen()
    try:
        node = PlannerNode()
    except (TavidError, rclpy.exceptions.ParameterException) as error:
        rclpy.logging.get_logger("planner").fatal(str(error))
        rclpy.shutdown()
        return 1
    _take_short_turns()
    if num_bytes:
        node.get_logger().info(
            f"removed {num_bytes / 1e6:.1f} MB of shared memory of processes that were killed"
        )
    executor = BackgroundExecutor(
        node, num_threads=node.parameters.executor_threads, guard=node.guard
    )
    starter = threading.Thread(target=_start, args=(node, stopping, failed), daemon=True)
    if node.parameters.autostart:
        starter.start()
    stopping.wait()
    if args is None:
        # Not where main is called as a function: the process belongs to somebody else there.
        _leave_in_time(failed)
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
