"""A planner node and somebody who talks to it, in one process, over real DDS."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import rclpy
from action_msgs.msg import GoalStatus
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from tavid.action import PlanInteraction

from tavid_ros import conversions
from tavid_ros.action_client import SafeActionClient
from tavid_ros.planner_node import PlannerNode
from tavid_ros.spinning import BackgroundExecutor
from tests.ros.messages import make_request

WAIT_SEC = 30.0
_LONGEST_LOOK_SEC = 1.0
_NUMBERS = itertools.count()
STATUS = GoalStatus


def wait_for(condition, timeout_sec: float = WAIT_SEC):
    """Poll until a condition gives something true, and return that.

    As with `Stopwatch`, a machine that stands still between two looks costs one second at most.
    """
    left_sec, last_sec = timeout_sec, time.monotonic()
    while not (value := condition()):
        assert left_sec > 0.0, "condition never held"
        time.sleep(0.005)
        now_sec = time.monotonic()
        left_sec -= min(now_sec - last_sec, _LONGEST_LOOK_SEC)
        last_sec = now_sec
    return value


def finish(future, timeout_sec: float = WAIT_SEC):
    """Wait for a future that another thread completes."""
    wait_for(future.done, timeout_sec)
    return future.result()


class Graph:
    """Starts a planner with the fake model; `configure` is up to the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = rclpy.Context()
        # Its own namespace, because several graphs may live at the same time.
        self.namespace = f"/graph_{os.getpid()}_{next(_NUMBERS)}"
        arguments = ["--ros-args", "-r", f"__ns:={self.namespace}", "--disable-rosout-logs"]
        rclpy.init(args=arguments, context=self.context)
        self.node = rclpy.create_node("tester", context=self.context)
        self.group = ReentrantCallbackGroup()
        self.client = SafeActionClient(
            self.node, PlanInteraction, "plan_interaction", callback_group=self.group
        )
        self.executor = BackgroundExecutor(self.node, num_threads=3)
        self.planner: PlannerNode | None = None
        self.planner_executor: BackgroundExecutor | None = None
        self.feedback: list[PlanInteraction.Feedback] = []

    def start(self, *, is_active: bool = True, **parameters) -> PlannerNode:
        """Make the planner node and bring it up."""
        values = {
            "backend": "fake",
            "output_dir": str(self.folder),
            "save_plans": False,
            "worker_niceness": 0,
        }
        overrides = [Parameter(name, value=value) for name, value in (values | parameters).items()]
        self.planner = PlannerNode(context=self.context, parameter_overrides=overrides)
        self.planner_executor = BackgroundExecutor(
            self.planner, num_threads=6, guard=self.planner.guard
        )
        if is_active:
            assert self.planner.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert self.planner.trigger_activate() == TransitionCallbackReturn.SUCCESS
            assert self.client.wait_for_server(WAIT_SEC)
        return self.planner

    def close(self) -> None:
        """Take everything down."""
        if self.planner is not None:
            self.planner.end()
            self.planner_executor.stop()
            self.planner.destroy_node()
        self.executor.stop()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def send(self, goal=None, **fields):
        """Send a goal and return its handle."""
        if goal is None:
            goal = conversions.goal_from_request(make_request(**fields))
        self.feedback.clear()
        future = self.client.send_goal_async(
            goal, feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        return finish(future)

    def send_hanging(self):
        """Send a goal whose worker hangs, not only will hang, and return the goal's handle."""
        handle = self.send(prompt="hang at denoise", num_inference_steps=2)
        # It hangs at the step in the middle, and hears no cancel after it has told of that.
        self.wait_stage("denoise", step=1)
        return handle

    def plan(self, goal=None, **fields):
        """Send a goal and return status and result."""
        handle = self.send(goal, **fields)
        assert handle.accepted
        return self.result(handle)

    @staticmethod
    def result(handle):
        """Wait for status and result of a goal."""
        response = finish(handle.get_result_async())
        return response.status, response.result

    def wait_stage(self, stage: str, step: int = 0) -> None:
        """Wait for feedback of a stage."""
        wait_for(lambda: any(f.stage == stage and f.step >= step for f in tuple(self.feedback)))

    def publisher(self, kind, topic: str):
        """Make a publisher that a subscription of the planner listens to."""
        publisher = self.node.create_publisher(kind, topic, 1)
        wait_for(publisher.get_subscription_count)
        return publisher

    def subscribe(self, kind, topic: str, qos: QoSProfile | int = 10) -> list:
        """Collect what a topic says."""
        heard: list = []
        self.node.create_subscription(kind, topic, heard.append, qos, callback_group=self.group)
        return heard

    def call(self, kind, name: str, request=None):
        """Call a service."""
        client = self.node.create_client(kind, name, callback_group=self.group)
        assert client.wait_for_service(WAIT_SEC)
        try:
            return finish(client.call_async(request or kind.Request()))
        finally:
            self.node.destroy_client(client)
