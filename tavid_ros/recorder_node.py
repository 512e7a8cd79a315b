"""Records topics into a bag: `python -m tavid_ros.recorder_node --ros-args -p bag:=evening`.

The bag is what `ros2 bag record --storage mcap` writes, where that is not installed. It ends well
on Ctrl-C and SIGTERM, and whatever has been written can be read after any other end.
"""

from __future__ import annotations

import functools
import shutil
import sys
import threading
import time
from pathlib import Path

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from tavid_core.errors import InputError, StorageError, TavidError
from tavid_ros.bag_writer import BagWriter
from tavid_ros.parameters import declare, read
from tavid_ros.recorded_topic import RecordedTopic
from tavid_ros.recorder_parameters import RecorderParameters
from tavid_ros.spinning import BackgroundExecutor
from tavid_ros.stop_signal import StopSignal

__all__ = ["RecorderNode", "main"]

_LOOK_SEC = 0.1
_TELL_SEC = 5.0
_MB = 1_000_000


class RecorderNode(Node):
    """Writes every message of some topics, with the time at which it came.

    Args:
        context: For tests; None = the default one.
        parameter_overrides: For tests; ROS takes them from the command line otherwise.

    Attributes:
        bag: What is being written.
        is_finished: Set when a limit is reached or the disk is full.

    Raises:
        TavidError: If a parameter is unusable, or the bag exists or cannot be made.
    """

    def __init__(
        self,
        *,
        context: Context | None = None,
        parameter_overrides: list[Parameter] | None = None,
    ) -> None:
        super().__init__("recorder", context=context, parameter_overrides=parameter_overrides)
        declare(self, RecorderParameters)
        self._settings = settings = read(self, RecorderParameters)
        self.is_finished = threading.Event()
        self.failure = ""
        name = settings.bag or time.strftime("bag_%Y%m%d_%H%M%S")
        self.bag = BagWriter(Path(name).expanduser(), compress=settings.compress)
        names = [self.resolve_topic_name(topic) for topic in settings.topics]
        self._topics = [
            RecordedTopic(
                self,
                topic,
                settings.queue_depth,
                functools.partial(self._add, topic),
                functools.partial(self._write, topic),
            )
            for topic in dict.fromkeys(names)
        ]
        self._told_problems: set[str] = set()
        self._start_sec = self._told_sec = time.monotonic()
        # Steady, because a simulated clock may stand still.
        self.create_timer(_LOOK_SEC, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"recording into {self.bag.path}; Ctrl-C ends it")

    @property
    def num_lost(self) -> dict[str, int]:
        """Messages that were published but did not come, by topic, where any were."""
        return {topic.name: topic.num_lost for topic in self._topics if topic.num_lost}

    def close(self) -> bool:
        """End the bag.

        Returns:
            Whether it is whole and holds something.
        """
        lost = self.num_lost
        try:
            self.bag.close(
                {
                    "prompt": self._settings.prompt,
                    "lost_messages": ", ".join(f"{name}: {lost[name]}" for name in sorted(lost)),
                }
            )
        except StorageError as error:
            self.failure = self.failure or str(error)
        if lost:
            self.get_logger().warning(
                f"every message must come, got some lost: {lost}. Raise queue_depth, or set "
                "compress to false."
            )
        if self.failure:
            self.get_logger().error(self.failure)
        if not self.bag.num_messages:
            missing = ", ".join(topic.name for topic in self._topics)
            self.get_logger().error(f"nothing was recorded, nobody published {missing}")
            return False
        self.get_logger().info(f"{self.bag.path}: {self._describe()}")
        return not self.failure

    def _add(self, topic: str, type_name: str, offered: list) -> None:
        if not self.bag.knows(type_name):
            raise InputError(
                f"type must be one that ROS 2 defines, got {type_name[:80]}. Use ros2 bag record."
            )
        self.bag.add_topic(topic, type_name, offered)

    def _write(self, topic: str, received_ns: int, data: bytes) -> None:
        if self.is_finished.is_set():
            return
        try:
            self.bag.write(topic, received_ns, data)
        except StorageError as error:
            self._end(str(error))

    def _look(self) -> None:
        for topic in self._topics:
            topic.match()
            if topic.problem and topic.name not in self._told_problems:
                self._told_problems.add(topic.name)
                self.get_logger().error(f"{topic.name} is not recorded: {topic.problem}")
        settings, now_sec = self._settings, time.monotonic()
        if settings.max_duration_sec and now_sec - self._start_sec >= settings.max_duration_sec:
            self.is_finished.set()
        if settings.max_size_mb and self.bag.num_bytes >= settings.max_size_mb * _MB:
            self.is_finished.set()
        self._check_disk()
        if now_sec - self._told_sec >= _TELL_SEC:
            self._told_sec = now_sec
            self.get_logger().info(self._describe())

    def _check_disk(self) -> None:
        try:
            free_mb = shutil.disk_usage(self.bag.path).free / _MB
        except OSError as error:
            self._end(f"{self.bag.path} must stay there, got: {error}. Record again.")
            return
        if free_mb < self._settings.min_free_mb:
            self._end(
                f"the disk must have {self._settings.min_free_mb} MB free, got {free_mb:.0f}. Free "
                "some space, or set min_free_mb."
            )

    def _end(self, failure: str) -> None:
        self.failure = self.failure or failure
        self.is_finished.set()

    def _describe(self) -> str:
        counts = self.bag.num_messages
        return (
            f"{counts.total()} messages, {self.bag.num_bytes / _MB:.1f} MB, "
            f"{len(counts)} of {len(self._topics)} topics, "
            f"{time.monotonic() - self._start_sec:.0f} s"
        )


def main(args: list[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM, or until a limit is reached.

    Args:
        args: Command line; None = that of the process.

    Returns:
        0; or 1 if nothing was recorded, or not all could be written.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopping = StopSignal()
    stopping.listen()
    try:
        node = RecorderNode()
    except (TavidError, rclpy.exceptions.ParameterException) as error:
        rclpy.logging.get_logger("recorder").fatal(str(error))
        rclpy.shutdown()
        return 1
    executor = BackgroundExecutor(node, num_threads=2)
    while not stopping.wait(0.1) and not node.is_finished.is_set():
        pass
    executor.stop()
    is_whole = node.close()
    node.destroy_node()
    rclpy.shutdown()
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
