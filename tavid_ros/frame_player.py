"""Plays the imagined frames of a plan on ~/frames."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.timer import Timer
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from tavid_core.types import Rollout
from tavid_ros import conversions

__all__ = ["FRAMES_DEPTH", "FramePlayer"]

# A whole rollout of CogVideoX fits, so that "as fast as possible" does not mean "the last one".
FRAMES_DEPTH = 64
_FASTEST_PERIOD_SEC = 0.001


class FramePlayer:
    """Publishes one frame after the other, each with the header of the conditioning image.

    Frames are only encoded while somebody listens.

    Args:
        node: Owner of the topics.
        jpeg_quality: Of ~/frames/compressed.
    """

    def __init__(self, node: LifecycleNode, jpeg_quality: int) -> None:
        self._node = node
        self._jpeg_quality = jpeg_quality
        self._frames = node.create_lifecycle_publisher(Image, "~/frames", FRAMES_DEPTH)
        self._compressed = node.create_lifecycle_publisher(
            CompressedImage, "~/frames/compressed", FRAMES_DEPTH
        )
        self._lock = threading.Lock()
        self._timer: Timer | None = None
        self._turn: _Turn | None = None
        # Frames in their order, whatever the number of the executor's threads.
        self._callback_group = MutuallyExclusiveCallbackGroup()
        # Steady, because a simulated clock may stand still while somebody looks.
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)

    def play(
        self,
        rollout: Rollout,
        header: Header,
        *,
        rate: float,
        is_loop: bool = False,
        on_frame: Callable[[int], None] | None = None,
    ) -> None:
        """Play a rollout instead of what was played before.

        Args:
            rollout: What to play.
            header: Of the conditioning image.
            rate: 1 = real time, 2 = double, 0 = as fast as possible.
            is_loop: Begin again at the end.
            on_frame: Called with the number of each frame as it is played.
        """
        self.stop()
        period_sec = (
            max(1.0 / (rollout.fps * rate), _FASTEST_PERIOD_SEC) if rate else (_FASTEST_PERIOD_SEC)
        )
        turn = _Turn(rollout, header, is_loop, on_frame)
        with self._lock:
            self._turn = turn
            self._timer = self._node.create_timer(
                period_sec,
                lambda: self._show_next(turn),
                callback_group=self._callback_group,
                clock=self._clock,
            )

    def stop(self) -> None:
        """Stop playing; safe to call at any time."""
        with self._lock:
            timer, self._timer, self._turn = self._timer, None, None
        if timer is not None:
            self._node.destroy_timer(timer)

    def destroy(self) -> None:
        """Take the topics away."""
        self.stop()
        for publisher in (self._frames, self._compressed):
            self._node.destroy_lifecycle_publisher(publisher)

    def _show_next(self, turn: _Turn) -> None:
        with self._lock:
            # A timer that was just destroyed may still fire once.
            if turn is not self._turn:
                return
            index = turn.advance()
            if turn.is_over:
                self._timer.cancel()
        if index is None:
            return
        frame = turn.rollout.frames[index]
        if self._frames.get_subscription_count():
            self._frames.publish(conversions.message_from_image(frame, turn.header))
        if self._compressed.get_subscription_count():
            self._compressed.publish(
                conversions.compressed_from_image(frame, turn.header, self._jpeg_quality)
            )
        if turn.on_frame is not None:
            turn.on_frame(index)


class _Turn:
    """How far one rollout has been played."""

    def __init__(
        self,
        rollout: Rollout,
        header: Header,
        is_loop: bool,
        on_frame: Callable[[int], None] | None,
    ) -> None:
        self.rollout = rollout
        self.header = header
        self.on_frame = on_frame
        self._is_loop = is_loop
        self._next_frame = 0

    @property
    def is_over(self) -> bool:
        return self._next_frame >= len(self.rollout.frames)

    def advance(self) -> int | None:
        """Take the next frame's number; None after the end."""
        if self.is_over:
            return None
        index = self._next_frame
        self._next_frame += 1
        if self.is_over and self._is_loop:
            self._next_frame = 0
        return index
