"""The MCAP file of a bag, with a checksum for every chunk, so that damage is seen later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tavid_core.errors import MissingExtraError

__all__ = ["McapStorage"]

_CHUNK_BYTES = 1024 * 1024


class McapStorage:
    """What rosbags' `Writer` writes messages with, in place of its own, which has no checksums.

    Args:
        path: Folder of the bag.
        compression: rosbags' mode; STORAGE = chunks are compressed with zstd.

    Raises:
        MissingExtraError: If mcap is not installed.
    """

    def __init__(self, path: Path, compression: Any) -> None:
        try:
            from mcap.writer import CompressionType, Writer
        except ImportError as error:
            raise MissingExtraError.of("mcap", "record") from error
        self.path = path / f"{path.name}.mcap"
        self.stream = self.path.open("xb")
        is_compressed = compression.name == "STORAGE"
        self._writer = Writer(
            self.stream,
            chunk_size=_CHUNK_BYTES,
            compression=CompressionType.ZSTD if is_compressed else CompressionType.NONE,
        )
        self._writer.start(profile="ros2", library="tavid")
        self._schemas: dict[str, int] = {}
        self._channels: dict[int, int] = {}

    def add_msgtype(self, connection: Any) -> None:
        """Write the definition of a type.

        Args:
            connection: rosbags' `Connection` of the first topic of the type.
        """
        definition = connection.msgdef
        encoding = "ros2msg" if definition.format.name == "MSG" else "ros2idl"
        self._schemas[connection.msgtype] = self._writer.register_schema(
            connection.msgtype, encoding, definition.data.encode()
        )

    def add_connection(self, connection: Any, offered_qos_profiles: str) -> None:
        """Announce a topic.

        Args:
            connection: rosbags' `Connection`.
            offered_qos_profiles: YAML.
        """
        self._channels[connection.id] = self._writer.register_channel(
            connection.topic,
            connection.ext.serialization_format,
            self._schemas[connection.msgtype],
            {"offered_qos_profiles": offered_qos_profiles},
        )

    def write(self, connection: Any, timestamp: int, data: bytes) -> None:
        """Write a message.

        Args:
            connection: One that was added.
            timestamp: When it came, nanoseconds.
            data: As CDR.
        """
        self._writer.add_message(self._channels[connection.id], timestamp, data, timestamp)

    def close(self, version: int, metadata: str) -> None:  # noqa: ARG002 - as rosbags calls it
        """Write metadata and index.

        Args:
            version: Of rosbag2's format.
            metadata: YAML.
        """
        self._writer.add_metadata("rosbag2", {"serialized_metadata": metadata})
        self._writer.finish()
        self.stream.close()

    def abort(self) -> None:
        """Close the file as it is."""
        self.stream.close()
