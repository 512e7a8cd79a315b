"""Writes one bag as rosbag2 does: a folder with an MCAP file and metadata.yaml."""

from __future__ import annotations

import collections
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import QoSProfile

from tavid_core.errors import InputError, MissingExtraError, StorageError
from tavid_ros.mcap_storage import McapStorage

__all__ = ["BagWriter"]

_VERSION = 9
_NS_PER_SEC = 1_000_000_000


class BagWriter:
    """A bag that is being written. Every message is in the file's buffer when `write` returns.

    At most one chunk (1 MB, or one message) waits in memory. Methods may be called from any thread.

    Args:
        path: Folder of the bag; must not exist.
        compress: Whether chunks are compressed (zstd).

    Raises:
        InputError: If there is something of that name already.
        MissingExtraError: If rosbags is not installed.
        StorageError: If the folder cannot be made.
    """

    def __init__(self, path: Path, *, compress: bool = True) -> None:
        try:
            from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise MissingExtraError.of("rosbags", "record") from error
        if path.exists():
            raise InputError(
                f"bag must be a new folder, got {path}, which is there. Name another; nothing is "
                "overwritten."
            )
        self.path = path
        self.num_messages: collections.Counter[str] = collections.Counter()
        self.num_bytes = 0
        self._lock = threading.Lock()
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(path, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        # rosbags writes definitions and metadata.yaml; its own MCAP files have no checksums.
        self._writer.STORAGE_PLUGINS = {StoragePlugin.MCAP: McapStorage}
        if compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, Any] = {}
        self._is_closed = False
        try:
            self._writer.open()
        except OSError as error:
            raise StorageError(f"bag must be writable, got: {error}. Name another.") from error

    def knows(self, type_name: str) -> bool:
        """Tell whether messages of a type can be written, with their definition.

        Args:
            type_name: As "sensor_msgs/msg/Image".

        Returns:
            Whether ROS 2 itself defines the type.
        """
        return type_name in self._types.fielddefs

    def add_topic(self, topic: str, type_name: str, offered: Sequence[QoSProfile]) -> None:
        """Announce a topic, once, before its first message.

        Args:
            topic: Full name.
            type_name: One that the writer `knows`.
            offered: QoS of its publishers.
        """
        with self._lock:
            self._connections[topic] = self._writer.add_connection(
                topic,
                type_name,
                typestore=self._types,
                offered_qos_profiles=[_convert_qos(profile) for profile in offered],
            )

    def write(self, topic: str, received_ns: int, data: bytes) -> None:
        """Write a message; does nothing after `close`.

        Args:
            topic: One that was added.
            received_ns: When it came, nanoseconds since 1970.
            data: The message as CDR.

        Raises:
            StorageError: If it cannot be written.
        """
        with self._lock:
            if self._is_closed:
                return
            try:
                self._writer.write(self._connections[topic], received_ns, data)
            except OSError as error:
                raise StorageError(
                    f"{self.path} must be writable, got: {error}. Free some space."
                ) from error
            self.num_messages[topic] += 1
            self.num_bytes += len(data)

    def close(self, notes: Mapping[str, str] | None = None) -> None:
        """Write the index and metadata.yaml. A bag without any message is taken away.

        Args:
            notes: For the bag's custom data; empty ones are left out.

        Raises:
            StorageError: If they cannot be written; the messages of the bag can still be read.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            try:
                if not self.num_messages:
                    self._writer.abort()
                    shutil.rmtree(self.path)
                    return
                for key, value in (notes or {}).items():
                    if value:
                        self._writer.set_custom_data(key, value)
                self._writer.close()
            except OSError as error:
                self._writer.abort()
                raise StorageError(
                    f"{self.path} must be writable to the end, got: {error}. Its index is missing; "
                    "python -m training.sources.bags reads what is there."
                ) from error


def _convert_qos(profile: QoSProfile) -> Any:
    from rosbags import interfaces

    return interfaces.Qos(
        history=interfaces.QosHistory(int(profile.history)),
        depth=profile.depth,
        reliability=interfaces.QosReliability(int(profile.reliability)),
        durability=interfaces.QosDurability(int(profile.durability)),
        deadline=_convert_duration(profile.deadline),
        lifespan=_convert_duration(profile.lifespan),
        liveliness=interfaces.QosLiveliness(int(profile.liveliness)),
        liveliness_lease_duration=_convert_duration(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions,
    )


def _convert_duration(duration: Duration) -> Any:
    from rosbags.interfaces import QosTime

    return QosTime(*divmod(duration.nanoseconds, _NS_PER_SEC))
