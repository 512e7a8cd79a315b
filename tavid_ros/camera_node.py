"""A camera made of files: `python -m tavid_ros.camera_node --ros-args -p source:=image ...`.

Publishes image, camera_info, and, where known, depth, target_mask, actor_mask and prompt, all with
one stamp. Of episodes also contact and, around each, the marker `episode`.
"""

from __future__ import annotations

import copy
import sys
import threading

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Bool, Header, String

from tavid_core.errors import InputError, TavidError
from tavid_ros import conversions
from tavid_ros.conversions.calibrations import read_camera_info
from tavid_ros.parameters import CameraParameters, declare, read
from tavid_ros.sources import Picture, Pictures, open_source
from tavid_ros.spinning import BackgroundExecutor
from tavid_ros.stop_signal import StopSignal

__all__ = ["CameraNode", "main"]

# Reliable, which connects to every kind of subscription; depth 1, so that a slow one costs nothing.
_QOS = QoSProfile(depth=1)
_TELL_SEC = 5.0
# A recorder shall get all of an episode.
_EPISODE_QOS = QoSProfile(depth=10)


class CameraNode(Node):
    """Publishes pictures from files at a fixed rate.

    Args:
        context: For tests; None = the default one.
        parameter_overrides: For tests; ROS takes them from the command line otherwise.

    Attributes:
        is_finished: Set when there are no more pictures, or one could not be read.

    Raises:
        TavidError: If the first picture cannot be read.
    """

    def __init__(
        self,
        *,
        context: Context | None = None,
        parameter_overrides: list[Parameter] | None = None,
    ) -> None:
        super().__init__("camera", context=context, parameter_overrides=parameter_overrides)
        declare(self, CameraParameters)
        self._settings = read(self, CameraParameters)
        self.is_finished = threading.Event()
        # An executor that was stopped may still be inside the timer's callback.
        self._reading = threading.Lock()
        is_episodes = self._settings.source == "episodes"
        self._qos = _EPISODE_QOS if is_episodes else _QOS
        self._is_waiting = self._settings.wait_for_listeners
        self._own: list[Publisher] = []
        self._image = self._make(Image, "image")
        self._compressed = None
        if self._settings.publish_compressed:
            self._compressed = self._make(CompressedImage, "image/compressed")
        self._camera_info = self._make(CameraInfo, "camera_info")
        self._depth = self._make(Image, "depth")
        self._mask = None
        if self._settings.publish_mask:
            self._mask = self._make(Image, "target_mask")
        self._prompt = self._make(String, "prompt")
        self._contact = self._episode = None
        if is_episodes:
            self._contact = self._make(Bool, "contact")
            self._episode = self._make(Bool, "episode")
        self._calibration: CameraInfo | None = None
        if self._settings.camera_info_path:
            self._calibration = read_camera_info(self._settings.camera_info_path)
        self._pictures: Pictures = open_source(self._settings)
        self._picture = self._read_next()
        self._actor_mask = None
        if is_episodes or self._picture.actor_mask is not None:
            self._actor_mask = self._make(Image, "actor_mask")
        self.create_timer(1.0 / self._settings.rate_hz, self._publish_next)

    def destroy_node(self) -> None:
        """End the reading of pictures too; it may be a process."""
        self.is_finished.set()
        with self._reading:
            self._pictures.close()
        super().destroy_node()

    def _make(self, message_type: type, topic: str) -> Publisher:
        publisher = self.create_publisher(message_type, topic, self._qos)
        self._own.append(publisher)
        return publisher

    def _read_next(self) -> Picture:
        """Read the next picture, or the first again, or keep the only one there is."""
        picture = next(self._pictures, None)
        if picture is not None:
            self._check_calibration(picture)
            return picture
        if not self._settings.loop:
            self.is_finished.set()
            return self._picture
        if self._settings.source in ("scene", "image"):
            return self._picture
        self._pictures = open_source(self._settings)
        picture = next(self._pictures, None)
        if picture is None:
            raise InputError(
                f"path must hold pictures, got none in {self._settings.path!r}. Check it."
            )
        return picture

    def _check_calibration(self, picture: Picture) -> None:
        calibration, (height, width) = self._calibration, picture.image.shape[:2]
        if calibration and (calibration.height, calibration.width) != (height, width):
            raise InputError(
                f"camera_info_path must be for the picture's {width}x{height} pixels, got "
                f"{calibration.width}x{calibration.height}. Calibrate this camera, or resize."
            )

    def _publish_next(self) -> None:
        with self._reading:
            if not self.is_finished.is_set() and not self._check_waiting():
                self._publish_and_read()

    def _check_waiting(self) -> bool:
        """Tell whether somebody is missing who was to listen."""
        if self._is_waiting:
            alone = [each.topic_name for each in self._own if not each.get_subscription_count()]
            self._is_waiting = bool(alone)
            if alone:
                self.get_logger().info(
                    f"waiting for somebody who listens to {', '.join(alone)}",
                    throttle_duration_sec=_TELL_SEC,
                )
        return self._is_waiting

    def _publish_and_read(self) -> None:
        picture = self._picture
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._settings.frame_id)
        self._publish(picture, header)
        try:
            self._picture = self._read_next()
        except TavidError as error:
            self.get_logger().error(f"no more pictures: {error}")
            self.is_finished.set()

    def _publish(self, picture: Picture, header: Header) -> None:
        if self._episode is not None and picture.is_first:
            self._episode.publish(Bool(data=True))
        # Goes first: who has the image shall already know the rest.
        self._camera_info.publish(self._make_camera_info(picture, header))
        if self._mask is not None and picture.mask is not None:
            self._mask.publish(conversions.message_from_mask(picture.mask, header))
        if picture.depth_m is not None:
            self._depth.publish(conversions.message_from_depth(picture.depth_m, header))
        if picture.prompt:
            self._prompt.publish(String(data=picture.prompt))
        if self._actor_mask is not None and picture.actor_mask is not None:
            self._actor_mask.publish(conversions.message_from_mask(picture.actor_mask, header))
        if self._contact is not None and picture.is_contact is not None:
            self._contact.publish(Bool(data=picture.is_contact))
        if self._compressed is not None:
            self._compressed.publish(conversions.compressed_from_image(picture.image, header))
        self._image.publish(conversions.message_from_image(picture.image, header))
        if self._episode is not None and picture.is_last:
            self._episode.publish(Bool(data=False))

    def _make_camera_info(self, picture: Picture, header: Header) -> CameraInfo:
        if self._calibration is not None:
            message = copy.copy(self._calibration)
            message.header = header
            return message
        if picture.intrinsics is None:
            height, width = picture.image.shape[:2]
            return CameraInfo(header=header, height=height, width=width)
        return conversions.message_from_intrinsics(picture.intrinsics, header)


def main(args: list[str] | None = None) -> int:
    """Publish pictures until SIGINT or SIGTERM, or until there are no more.

    Args:
        args: Command line; None = that of the process.

    Returns:
        0, or 1 if the first picture cannot be read.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopping = StopSignal()
    try:
        node = CameraNode()
    except (TavidError, rclpy.exceptions.ParameterException) as error:
        rclpy.logging.get_logger("camera").fatal(str(error))
        rclpy.shutdown()
        return 1
    stopping.listen()
    executor = BackgroundExecutor(node, num_threads=2)
    while not stopping.wait(0.1) and not node.is_finished.is_set():
        pass
    executor.stop()
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
