"""Messages of an MCAP file, damaged or not: read from front to back, every size checked first.

The readers of the libraries seek by the index at the end, which a cut file has lost, and inflate
whatever a chunk claims. Here records are taken in the order of the file; the index, where it is
sound, only says where to go on after a damaged record, and how many messages there should be.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import dataclasses
import functools
import io
import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO

from tavid_core.errors import InputError
from training.sources.bags.inflate import inflate, inflate_start
from training.sources.bags.limits import BagLimits
from training.sources.bags.report import BagReport
from training.sources.bags.stored_message import StoredMessage
from training.sources.bags.typed_message import KNOWN_TYPES, MAX_DEFINITION_CHARACTERS

__all__ = ["McapFile"]

_MAGIC = b"\x89MCAP0\r\n"
_RECORD_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
# Opcodes of the MCAP specification, version 0.
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = range(1, 7)
_MESSAGE_INDEX, _METADATA, _DATA_END = 0x07, 0x0C, 0x0F
_LAST_OPCODE = 0x0F
_INDEX_HEAD, _INDEX_ENTRY_BYTES = struct.Struct("<HI"), 16
_FOOTER_HEAD = struct.Struct("<BQQ")
_FOOTER_BYTES = _RECORD_HEAD.size + 20
# Of what is kept until the file is read; as objects it takes several times as much. A chunk has
# about 200 bytes in the index.
_MAX_INDEX_BYTES = 32 * 1024 * 1024
_MAX_METADATA_BYTES = 4 * 1024 * 1024
_MAX_CHANNELS = 10_000
_MAX_NAME_CHARACTERS = 1024


@functools.cache
def _list_damage() -> tuple[type[Exception], ...]:
    """List what the parsers of the library raise on damaged bytes."""
    from mcap.exceptions import McapError

    return (
        McapError, ValueError, KeyError, IndexError, OverflowError, struct.error, EOFError,
        MemoryError, OSError,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Channel:
    topic: str
    type_name: str
    encoding: str


@dataclasses.dataclass
class _Index:
    """What the end of the file says about the rest."""

    chunk_offsets: list[int] = dataclasses.field(default_factory=list)
    counts: dict[int, int] = dataclasses.field(default_factory=dict)
    is_sound: bool = False

    def find_chunk_behind(self, position: int) -> int | None:
        later = bisect.bisect_right(self.chunk_offsets, position)
        return self.chunk_offsets[later] if later < len(self.chunk_offsets) else None


class McapFile:
    """Reads one file from front to back.

    Args:
        stream: Seekable.
        name: Of the file, for the report.
        limits: Sizes that are refused.
        report: Counts what is dropped; messages that come out are not counted here.
        is_wanted: Whether the content of a topic's messages is needed; others come out empty.

    Attributes:
        definitions: Message definition of known types by name, as (encoding, text).
        share: How much of the file is read, 0..1.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        limits: BagLimits,
        report: BagReport,
        is_wanted: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._stream, self._name, self._limits, self._report = stream, name, limits, report
        self._is_wanted = is_wanted
        self._num_bytes = stream.seek(0, io.SEEK_END)
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, _Channel] = {}
        self._indexed: collections.Counter[int] = collections.Counter()
        self._found: collections.Counter[int] = collections.Counter()
        self._num_unchecked = 0
        self._has_end = False
        self.definitions: dict[str, tuple[str, str]] = {}
        self.share = 0.0

    def read_metadata(self) -> dict[str, dict[str, str]]:
        """Read the metadata records, e.g. that of rosbag2.

        Returns:
            Names and values by the record's name; empty where there is no sound index.
        """
        from mcap import records

        found: dict[str, dict[str, str]] = {}
        num_left = _MAX_METADATA_BYTES
        try:
            summary = self._read_summary()
            for index in () if summary is None else summary.metadata_indexes:
                self._stream.seek(index.offset)
                opcode, length = _RECORD_HEAD.unpack(self._stream.read(_RECORD_HEAD.size))
                num_left -= length
                if opcode != _METADATA or num_left < 0:
                    break
                record = records.Metadata.read(_open(self._stream.read(length)))
                found[record.name] = record.metadata
        except _list_damage():
            return {}
        return found

    def _read_summary(self) -> object | None:
        """Read the index; the library would read a file without one to its end, unlimited."""
        from mcap.reader import SeekingReader

        self._stream.seek(max(0, self._num_bytes - _FOOTER_BYTES - len(_MAGIC)))
        _, _, start = _FOOTER_HEAD.unpack(self._stream.read(_FOOTER_HEAD.size))
        if 0 < start < self._num_bytes - _MAX_INDEX_BYTES:
            raise ValueError(f"an index at byte {start}")
        self._stream.seek(0)
        limit = self._limits.max_record_bytes
        reader = SeekingReader(self._stream, validate_crcs=True, record_size_limit=limit)
        return reader.get_summary()

    def messages(self) -> Iterator[StoredMessage]:
        """Read the file once.

        Yields:
            Whole messages in the order of the file.

        Raises:
            InputError: If it is no MCAP file.
        """
        self._stream.seek(0)
        if self._num_bytes == 0 or self._stream.read(len(_MAGIC)) != _MAGIC:
            raise InputError(
                f"{self._name} must be an MCAP file, got another beginning. "
                "Is it a bag, and is it whole?"
            )
        index = self._read_index()
        position = len(_MAGIC)
        while position is not None and not self._has_end:
            self.share = min(1.0, position / self._num_bytes)
            position = yield from self._read_record(position, index)
        self._finish(index)

    def _read_index(self) -> _Index:
        index = _Index()
        try:
            summary = self._read_summary()
        except _list_damage():
            self._report.note("a file without a sound index at its end", self._name, is_loss=True)
            return index
        if summary is None:
            return index
        index.is_sound = True
        index.chunk_offsets = sorted(chunk.chunk_start_offset for chunk in summary.chunk_indexes)
        if summary.statistics is not None:
            index.counts = dict(summary.statistics.channel_message_counts)
        for schema in summary.schemas.values():
            self._add_schema(schema)
        for channel in summary.channels.values():
            self._add_channel(channel)
        return index

    def _read_record(
        self, position: int, index: _Index
    ) -> Generator[StoredMessage, None, int | None]:
        """Read the record at a position; returns that of the next one, or None at the end."""
        self._stream.seek(position)
        head = self._stream.read(_RECORD_HEAD.size)
        if len(head) < _RECORD_HEAD.size:
            self._report.note("a file that was cut off", self._name, is_loss=True)
            return None
        opcode, length = _RECORD_HEAD.unpack(head)
        body_at = position + _RECORD_HEAD.size
        next_chunk_at = index.find_chunk_behind(position)
        # A record cannot reach into the next chunk: its length, or what lies before it, is wrong.
        end = min(body_at + length, next_chunk_at or self._num_bytes)
        if not 0 < opcode <= _LAST_OPCODE or end < body_at + length:
            reason = "a damaged record" if index.is_sound else "a file that was cut off"
            self._report.note(reason, self._tell(position), is_loss=True)
            if opcode == _CHUNK and end - body_at <= self._limits.max_record_bytes:
                # It is told already that something is lost here.
                with contextlib.suppress(*_list_damage()):
                    yield from self._read_cut_chunk(self._stream.read(end - body_at))
            return next_chunk_at
        if length > self._limits.max_record_bytes:
            self._report.note("a record that is too large", self._tell(position), is_loss=True)
            return end
        try:
            yield from self._read_body(opcode, self._stream.read(length), position)
        except _list_damage():
            self._report.note("a damaged record", self._tell(position), is_loss=True)
        return end

    def _tell(self, position: int) -> str:
        return f"{self._name}, byte {position}"

    def _read_body(self, opcode: int, body: bytes, position: int) -> Iterator[StoredMessage]:
        from mcap import records

        if opcode == _MESSAGE:
            self._num_unchecked += 1
            yield from self._make_message(body)
        elif opcode == _CHUNK:
            yield from self._read_chunk(body, position)
        elif opcode == _SCHEMA:
            self._add_schema(records.Schema.read(_open(body)))
        elif opcode == _CHANNEL:
            self._add_channel(records.Channel.read(_open(body)))
        elif opcode == _MESSAGE_INDEX:
            channel_id, num_bytes = _INDEX_HEAD.unpack_from(body)
            if num_bytes != len(body) - _INDEX_HEAD.size:
                raise ValueError(f"{num_bytes} bytes of an index")
            self._indexed[channel_id] += num_bytes // _INDEX_ENTRY_BYTES
        elif opcode in (_DATA_END, _FOOTER):
            self._has_end = True

    def _read_chunk(self, body: bytes, position: int) -> Iterator[StoredMessage]:
        from mcap import records

        chunk = records.Chunk.read(_open(body))
        if chunk.uncompressed_size > self._limits.max_chunk_bytes:
            detail = f"{self._tell(position)}: {chunk.uncompressed_size} bytes when inflated"
            self._report.note("a chunk that is too large", detail, is_loss=True)
            return
        try:
            data = inflate(chunk.data, chunk.compression, chunk.uncompressed_size)
        except InputError as error:
            detail = f"{self._tell(position)}: {error}"
            self._report.note("a chunk that cannot be inflated", detail, is_loss=True)
            return
        if len(data) != chunk.uncompressed_size:
            detail = f"{self._tell(position)}: {len(data)} bytes"
            self._report.note("a chunk of another size than stated", detail, is_loss=True)
            return
        if chunk.uncompressed_crc == 0:
            self._num_unchecked += 1
        elif zlib.crc32(data) != chunk.uncompressed_crc:
            self._report.note("a chunk with a wrong checksum", self._tell(position), is_loss=True)
            return
        is_whole = yield from self._read_inner(data)
        if not is_whole:
            self._report.note("a damaged chunk", self._tell(position), is_loss=True)

    def _read_cut_chunk(self, body: bytes) -> Iterator[StoredMessage]:
        """Take the whole messages out of the start of a chunk; its checksum went with its end."""
        fixed = struct.Struct("<QQQII")
        if len(body) < fixed.size:
            return
        _, _, size, _, num_letters = fixed.unpack_from(body)
        data_at = fixed.size + num_letters + 8
        compression = body[fixed.size : fixed.size + num_letters]
        if num_letters > len(b"zstd") or size > self._limits.max_chunk_bytes:
            return
        data = inflate_start(body[data_at:], compression.decode("ascii", "replace"), size)
        num_before = sum(self._found.values())
        yield from self._read_inner(data)
        num_saved = sum(self._found.values()) - num_before
        if num_saved:
            reason = "messages saved from a chunk that was cut, without a checksum"
            self._report.note(reason, self._name, is_loss=False, count=num_saved)

    def _read_inner(self, data: bytes) -> Generator[StoredMessage, None, bool]:
        """Read the records of a chunk; returns whether it ended with a whole one."""
        from mcap import records

        view, position = memoryview(data), 0
        while position + _RECORD_HEAD.size <= len(data):
            opcode, length = _RECORD_HEAD.unpack_from(data, position)
            start = position + _RECORD_HEAD.size
            position = start + length
            if position > len(data):
                return False
            if opcode == _MESSAGE:
                yield from self._make_message(view[start:position])
            elif opcode == _SCHEMA:
                self._add_schema(records.Schema.read(_open(view[start:position])))
            elif opcode == _CHANNEL:
                self._add_channel(records.Channel.read(_open(view[start:position])))
        return position == len(data)

    def _make_message(self, body: bytes | memoryview) -> Iterator[StoredMessage]:
        channel_id, _, received_ns, _ = _MESSAGE_HEAD.unpack_from(body)
        self._found[channel_id] += 1
        channel = self._channels.get(channel_id)
        if channel is None:
            self._report.drop("(unknown)", "of a channel that the file does not describe")
            return
        if channel.encoding != "cdr":
            self._report.drop(channel.topic, f"encoded as {channel.encoding[:32]!r}, not as cdr")
            return
        is_wanted = self._is_wanted(channel.topic)
        data = bytes(body[_MESSAGE_HEAD.size :]) if is_wanted else b""
        yield StoredMessage(channel.topic, channel.type_name, received_ns, data)

    def _add_schema(self, schema: object) -> None:
        if len(schema.name) > _MAX_NAME_CHARACTERS:
            return
        self._schemas[schema.id] = schema.name
        if schema.name in KNOWN_TYPES:
            text = schema.data[: MAX_DEFINITION_CHARACTERS + 1].decode("utf-8", "replace")
            self.definitions.setdefault(schema.name, (schema.encoding[:32], text))

    def _add_channel(self, channel: object) -> None:
        is_full = len(self._channels) >= _MAX_CHANNELS and channel.id not in self._channels
        known = self._channels.get(channel.id)
        # Messages of a channel that is not kept are told as of one that was never described.
        if is_full or len(channel.topic) > _MAX_NAME_CHARACTERS:
            return
        if known is not None and known.topic != channel.topic:
            return
        type_name = self._schemas.get(channel.schema_id, "")
        self._channels[channel.id] = _Channel(
            channel.topic, type_name, channel.message_encoding[:32]
        )
        self._report.topic(channel.topic, type_name)

    def _finish(self, index: _Index) -> None:
        """Count what the file says that it holds and that did not come out."""
        stated = collections.Counter(index.counts) | self._indexed
        for channel_id, num_stated in sorted(stated.items()):
            num_missing = num_stated - self._found[channel_id]
            if num_missing > 0:
                channel = self._channels.get(channel_id)
                topic = channel.topic if channel else "(unknown)"
                self._report.drop(topic, "in a damaged part", self._name, num_missing)
        if self._num_unchecked:
            detail = f"{self._name}: {self._num_unchecked} chunks or messages"
            self._report.note(
                "data without checksums, whose damage cannot be seen", detail, is_loss=False
            )


def _open(body: bytes | memoryview) -> object:
    from mcap.data_stream import ReadDataStream

    return ReadDataStream(io.BytesIO(body))
