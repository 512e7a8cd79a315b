"""The topics that a plan is published on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Path
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from trajectory_msgs.msg import MultiDOFJointTrajectory
from visualization_msgs.msg import MarkerArray

from tavid_core.types import InteractionPlan, PlanRequest, PointTrack
from tavid_core.visualize import draw_overlay
from tavid_ros import conversions
from tavid_ros.frame_player import FramePlayer
from tavid_ros.output_frame import OutputFrame
from tavid_ros.parameters import PlannerParameters, read
from tavid_ros.tf_topics import TransformListener, TransformSender
from tavid_ros.transform_tree import MissingTransformError, TransformTree

__all__ = ["LATCHED_QOS", "PlanPublishers"]

# Late joiners get the last message; both ends must ask for it.
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_HAND_NAMES = ("left_hand", "right_hand")
_POLL_SEC = 0.02


class PlanPublishers:
    """Publishes plans, plays their frames, and withdraws them when they are too old to follow.

    Latched topics keep the last plan for whoever starts later. After `plan_lifetime_sec`, and when
    the node is deactivated, they are emptied: a robot must not follow a plan for a scene of
    minutes ago.

    Args:
        node: Owner of the topics, with the parameters of the planner.
        callback_group: For the timer that withdraws.

    Raises:
        MissingExtraError: If a parameter asks for transforms and tf2_msgs is not installed.
    """

    def __init__(self, node: LifecycleNode, callback_group: CallbackGroup) -> None:
        parameters = read(node, PlannerParameters)
        self._node = node
        self._callback_group = callback_group
        tree = TransformTree()
        self.output_frame = OutputFrame(parameters.target_frame, tree)
        self._listener = TransformListener(node, tree) if parameters.target_frame else None
        self._sender = TransformSender(node) if parameters.publish_tf else None
        make = node.create_lifecycle_publisher
        self._plan = make(MultiDOFJointTrajectory, "~/plan", LATCHED_QOS)
        self._markers = make(MarkerArray, "~/markers", LATCHED_QOS)
        self._paths = {
            name: make(Path, f"~/{name}_path", LATCHED_QOS)
            for name in ("hand", *_HAND_NAMES, conversions.TARGET_NAME)
        }
        self._overlay = make(Image, "~/overlay", LATCHED_QOS)
        self._player = FramePlayer(node, parameters.jpeg_quality)
        self._lock = threading.Lock()
        self._expiry_timer: Timer | None = None
        self._expiry_sec: float | None = None
        self._shown_header: Header | None = None
        # Steady, because a simulated clock may stand still while a robot moves.
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)

    @property
    def is_plan_shown(self) -> bool:
        """Whether the latched topics hold a plan."""
        return self._shown_header is not None

    @property
    def remaining_sec(self) -> float | None:
        """Time until the plan is withdrawn; None if there is no plan or it stays."""
        expiry_sec = self._expiry_sec
        return None if expiry_sec is None else max(0.0, expiry_sec - time.monotonic())

    def prepare(self, request: PlanRequest, should_stop: Callable[[], bool]) -> None:
        """Find the way into `target_frame` before minutes of planning, not after them.

        Waits for it as long as a goal waits for its inputs.

        Args:
            request: The question of a goal that begins.
            should_stop: Ends the wait at once, and without an error.

        Raises:
            MissingTransformError: If there is none; the goal must not be planned.
        """
        parameters = read(self._node, PlannerParameters)
        deadline_sec = time.monotonic() + parameters.input_wait_sec
        while not should_stop():
            try:
                self.output_frame.prepare(request, parameters.transform_tolerance_sec)
                return
            except MissingTransformError:
                if time.monotonic() > deadline_sec:
                    raise
            time.sleep(_POLL_SEC)

    def change_frame(
        self,
        request: PlanRequest,
        *messages: MultiDOFJointTrajectory | Path | MarkerArray | PointStamped,
    ) -> None:
        """Turn messages in the image's frame into the frame of ~/plan, in place.

        Args:
            request: The question that they answer.
            *messages: With the header of its image.

        Raises:
            MissingTransformError: If there is no way into `target_frame`.
        """
        tolerance_sec = read(self._node, PlannerParameters).transform_tolerance_sec
        frame_id, target_from_camera = self.output_frame.find(request, tolerance_sec)
        if frame_id == request.frame_id:
            return
        for message in messages:
            conversions.change_frame(message, frame_id, target_from_camera)

    def publish(self, plan: InteractionPlan, *, is_executable: bool) -> None:
        """Publish a plan on every topic.

        Args:
            plan: The answer.
            is_executable: False empties ~/plan and the paths, which robots follow: they are
                latched, and the plan before is not for this image. What people look at is
                published either way.

        Raises:
            MissingTransformError: If there is no way into `target_frame`.
        """
        parameters = read(self._node, PlannerParameters)
        request, motion = plan.request, plan.motion
        header = conversions.header_from_stamp(request.stamp_ns, request.frame_id)
        trajectory = conversions.trajectory_from_motion(motion, plan.rollout.fps, header)
        markers = conversions.markers_from_plan(plan, header, parameters.plan_lifetime_sec)
        paths = {
            name: conversions.path_from_track(track, header)
            for name, track in _choose_tracks(plan).items()
        }
        self.change_frame(request, trajectory, markers, *paths.values())
        if is_executable:
            self._plan.publish(trajectory)
            for name, path in paths.items():
                self._paths[name].publish(path)
        else:
            self._publish_nothing_to_follow(trajectory.header)
        self._markers.publish(markers)
        overlay = draw_overlay(request.image, request.target_mask, plan.rollout.attention_map)
        self._overlay.publish(conversions.message_from_image(overlay, header))
        self._start_lifetime(trajectory.header, parameters.plan_lifetime_sec)
        self._player.play(
            plan.rollout,
            header,
            rate=parameters.playback_rate,
            is_loop=parameters.playback_loop,
            on_frame=self._make_sender(plan),
        )

    def stop(self) -> None:
        """Stop playing, and withdraw the plan: nobody vouches for it any more."""
        self._player.stop()
        self._withdraw()

    def destroy(self) -> None:
        """Take the topics away."""
        self.stop()
        self._player.destroy()
        for publisher in (self._plan, self._markers, *self._paths.values(), self._overlay):
            self._node.destroy_lifecycle_publisher(publisher)
        for topics in (self._listener, self._sender):
            if topics is not None:
                topics.destroy()

    def _make_sender(self, plan: InteractionPlan) -> Callable[[int], None] | None:
        sender = self._sender
        if sender is None:
            return None
        prefix = self._node.get_fully_qualified_name().lstrip("/")

        def send(frame: int) -> None:
            # Of now: frames of the past would be dropped by every listener, so would the future's.
            stamp = self._node.get_clock().now().to_msg()
            header = Header(stamp=stamp, frame_id=plan.request.frame_id)
            sender.send(conversions.transforms_from_motion(plan.motion, frame, header, prefix))

        return send

    def _publish_nothing_to_follow(self, header: Header) -> None:
        self._plan.publish(MultiDOFJointTrajectory(header=header))
        for publisher in self._paths.values():
            publisher.publish(Path(header=header))

    def _start_lifetime(self, header: Header, lifetime_sec: float) -> None:
        self._stop_lifetime()
        with self._lock:
            self._shown_header = header
            if not lifetime_sec:
                return
            self._expiry_sec = time.monotonic() + lifetime_sec
            self._expiry_timer = self._node.create_timer(
                lifetime_sec,
                self._expire,
                callback_group=self._callback_group,
                clock=self._clock,
            )

    def _stop_lifetime(self) -> Header | None:
        with self._lock:
            timer, self._expiry_timer, self._expiry_sec = self._expiry_timer, None, None
            header, self._shown_header = self._shown_header, None
        if timer is not None:
            self._node.destroy_timer(timer)
        return header

    def _expire(self) -> None:
        expiry_sec = self._expiry_sec
        # The timer of a plan that was just replaced may still fire once.
        if expiry_sec is None or time.monotonic() < expiry_sec:
            return
        self._node.get_logger().info("the last plan is too old to be followed and was withdrawn")
        self.stop()

    def _withdraw(self) -> None:
        header = self._stop_lifetime()
        if header is not None:
            self._publish_nothing_to_follow(header)
            self._markers.publish(conversions.delete_markers(header))


def _choose_tracks(plan: InteractionPlan) -> dict[str, PointTrack | None]:
    """Name the track of each path topic; None gives an empty path."""
    motion = plan.motion
    hands = {track.name: track for track in motion.hands}
    return {
        "hand": conversions.choose_hand(motion),
        **{name: hands.get(name) for name in _HAND_NAMES},
        conversions.TARGET_NAME: motion.target,
    }
