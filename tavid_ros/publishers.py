"""The topics that a plan is published on."""

from __future__ import annotations

import threading

from nav_msgs.msg import Path
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from trajectory_msgs.msg import MultiDOFJointTrajectory
from visualization_msgs.msg import MarkerArray

from tavid_core.types import InteractionPlan, Rollout
from tavid_core.visualize import draw_overlay
from tavid_ros import conversions

__all__ = ["LATCHED_QOS", "PlanPublishers"]

# Late joiners get the last message; both ends must ask for it.
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class PlanPublishers:
    """Publishes plans and plays their frames.

    Frames are played once at the rollout's rate after the plan, each with the header of the
    conditioning image; they are only encoded while somebody listens.

    Args:
        node: Owner of the topics.
        callback_group: For the timer that plays frames.
        jpeg_quality: Of ~/frames/compressed.
    """

    def __init__(
        self, node: LifecycleNode, callback_group: CallbackGroup, jpeg_quality: int
    ) -> None:
        self._node = node
        self._callback_group = callback_group
        self._jpeg_quality = jpeg_quality
        make = node.create_lifecycle_publisher
        self._plan = make(MultiDOFJointTrajectory, "~/plan", LATCHED_QOS)
        self._markers = make(MarkerArray, "~/markers", LATCHED_QOS)
        self._hand_path = make(Path, "~/hand_path", LATCHED_QOS)
        self._target_path = make(Path, "~/target_path", LATCHED_QOS)
        self._overlay = make(Image, "~/overlay", LATCHED_QOS)
        self._frames = make(Image, "~/frames", 1)
        self._compressed = make(CompressedImage, "~/frames/compressed", 1)
        self._lock = threading.Lock()
        self._timer: Timer | None = None
        self._playing: tuple[Rollout, Header] | None = None
        self._next_frame = 0
        # Steady, because a simulated clock may stand still while somebody looks.
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)

    def publish(self, plan: InteractionPlan, *, is_executable: bool) -> None:
        """Publish a plan on every topic.

        Args:
            plan: The answer.
            is_executable: False empties ~/plan, ~/hand_path and ~/target_path, which robots
                follow: they are latched, and the plan before is not for this image. What people
                look at is published either way.
        """
        header = conversions.header_from_stamp(plan.request.stamp_ns, plan.request.frame_id)
        motion = plan.motion
        if is_executable:
            hand = conversions.choose_hand(motion)
            self._hand_path.publish(conversions.path_from_track(hand, header))
            self._target_path.publish(conversions.path_from_track(motion.target, header))
            self._plan.publish(conversions.trajectory_from_motion(motion, plan.rollout.fps, header))
        else:
            self._hand_path.publish(Path(header=header))
            self._target_path.publish(Path(header=header))
            self._plan.publish(MultiDOFJointTrajectory(header=header))
        self._markers.publish(conversions.markers_from_motion(motion, header))
        overlay = draw_overlay(
            plan.request.image, plan.request.target_mask, plan.rollout.attention_map
        )
        self._overlay.publish(conversions.message_from_image(overlay, header))
        self._play(plan.rollout, header)

    def stop(self) -> None:
        """Stop playing frames."""
        with self._lock:
            timer, self._timer, self._playing = self._timer, None, None
        if timer is not None:
            self._node.destroy_timer(timer)

    def destroy(self) -> None:
        """Take the topics away."""
        self.stop()
        for publisher in (
            self._plan,
            self._markers,
            self._hand_path,
            self._target_path,
            self._overlay,
            self._frames,
            self._compressed,
        ):
            self._node.destroy_lifecycle_publisher(publisher)

    def _play(self, rollout: Rollout, header: Header) -> None:
        self.stop()
        with self._lock:
            self._playing, self._next_frame = (rollout, header), 0
            self._timer = self._node.create_timer(
                1.0 / rollout.fps,
                self._play_next,
                callback_group=self._callback_group,
                clock=self._clock,
            )

    def _play_next(self) -> None:
        with self._lock:
            if self._playing is None or self._timer is None:
                return
            (rollout, header), index = self._playing, self._next_frame
            self._next_frame += 1
            if self._next_frame >= len(rollout.frames):
                self._timer.cancel()
                self._playing = None
        frame = rollout.frames[index]
        if self._frames.get_subscription_count():
            self._frames.publish(conversions.message_from_image(frame, header))
        if self._compressed.get_subscription_count():
            self._compressed.publish(
                conversions.compressed_from_image(frame, header, self._jpeg_quality)
            )
