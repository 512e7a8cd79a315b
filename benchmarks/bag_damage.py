"""Damages bags on purpose and looks at what the reader says."""

from __future__ import annotations

import bisect
import dataclasses
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import lz4.frame
import numpy as np
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.reader import SeekingReader
from mcap.records import Chunk
from tqdm import tqdm

from benchmarks.bag_maker import Entry, write_mcap
from tavid_core.errors import InputError
from training.sources.bags.bag import Bag

__all__ = ["Damage", "measure_cuts", "measure_flips", "write_bomb"]

_RECORD_HEAD_BYTES, _MESSAGE = 9, 5
_STEP_BYTES = 32


@dataclasses.dataclass
class Damage:
    """What the reader made of damaged files.

    Attributes:
        num_tries: Damaged files.
        num_harmless: Of those, from which every message came out as it was.
        num_reported: Of those, in which the damage was told.
        num_silently_fewer: Of those, from which fewer messages came without a word.
        recovered_shares: Messages that came out, share of those that were whole, one per try.
    """

    num_tries: int = 0
    num_harmless: int = 0
    num_reported: int = 0
    num_silently_fewer: int = 0
    recovered_shares: list[float] = dataclasses.field(default_factory=list)

    @property
    def reported_share(self) -> float:
        """Of the files that lost or changed a message, those in which the damage was told."""
        return self.num_reported / max(1, self.num_tries - self.num_harmless)

    @property
    def recovered_share(self) -> float:
        """The mean of all tries."""
        return float(np.mean(self.recovered_shares))


@dataclasses.dataclass
class _Found:
    """What came out of a bag: messages, a checksum of all of them, whether a loss was told."""

    num_messages: int = 0
    checksum: int = 0
    is_told: bool = True


def _read(path: Path) -> _Found:
    found = _Found()
    try:
        bag = Bag(path)
        for message in bag.messages():
            found.num_messages += 1
            head = f"{message.topic} {message.type_name} {message.received_ns}"
            found.checksum = zlib.crc32(message.data, zlib.crc32(head.encode(), found.checksum))
    except InputError:
        return _Found()
    found.is_told = bag.report.is_lossy
    return found


def measure_flips(path: Path, num_flips: int, seed: int = 0) -> Damage:
    """Flip one bit of the chunks' message data at a time.

    Args:
        path: A sound MCAP file.
        num_flips: How many files with one flipped bit each.
        seed: Of where.

    Returns:
        What the reader said.
    """
    data = bytearray(path.read_bytes())
    spans = [(start, stop) for start, stop, _ in _find_chunks(bytes(data))]
    sound = _read(path)
    places = np.concatenate([np.arange(start, stop) for start, stop in spans])
    generator = np.random.default_rng(seed)
    damage, damaged = Damage(), path.with_name("flipped.mcap")
    for place in tqdm(generator.choice(places, num_flips), "flips", leave=False):
        bit = 1 << int(generator.integers(8))
        data[place] ^= bit
        damaged.write_bytes(data)
        data[place] ^= bit
        found = _read(damaged)
        damage.num_tries += 1
        # Some bits of compressed data may be either way; a word about them is no harm.
        is_harmless = found.checksum == sound.checksum
        damage.num_harmless += is_harmless
        damage.num_reported += found.is_told and not is_harmless
        damage.num_silently_fewer += found.num_messages < sound.num_messages and not found.is_told
    damaged.unlink()
    return damage


def measure_cuts(path: Path, num_cuts: int, seed: int = 0) -> Damage:
    """Cut a file off, each time at another place.

    Args:
        path: A sound MCAP file.
        num_cuts: How many.
        seed: Of where.

    Returns:
        What came out, against the messages that lie whole before the cut: those that end in bytes
        which a decompressor gives out, fed with what lies before the cut.
    """
    data = path.read_bytes()
    ends = sorted(_find_message_ends(data))
    generator = np.random.default_rng(seed)
    damage, damaged = Damage(), path.with_name("cut.mcap")
    for place in tqdm(generator.integers(len(data) // 50, len(data) - 8, num_cuts), leave=False):
        damaged.write_bytes(data[:place])
        found = _read(damaged)
        num_whole = int(np.searchsorted(ends, place, side="right"))
        damage.num_tries += 1
        damage.num_reported += found.is_told
        damage.num_silently_fewer += found.num_messages < len(ends) and not found.is_told
        if num_whole:
            damage.recovered_shares.append(min(1.0, found.num_messages / num_whole))
    damaged.unlink()
    return damage


def _find_chunks(data: bytes) -> Iterator[tuple[int, int, Chunk]]:
    """Find where the compressed data of each chunk starts and stops."""
    summary = SeekingReader(io.BytesIO(data)).get_summary()
    for index in summary.chunk_indexes:
        body_at = index.chunk_start_offset + _RECORD_HEAD_BYTES
        stop = index.chunk_start_offset + index.chunk_length
        chunk = Chunk.read(ReadDataStream(io.BytesIO(data[body_at:stop])))
        yield stop - len(chunk.data), stop, chunk


def _find_message_ends(data: bytes) -> Iterator[int]:
    """Find up to which byte of the file each message reaches."""
    for start, _, chunk in _find_chunks(data):
        inner, num_fed, num_given = _inflate_in_steps(chunk)
        position = 0
        while position < len(inner):
            opcode, length = struct.unpack_from("<BQ", inner, position)
            position += _RECORD_HEAD_BYTES + length
            if opcode == _MESSAGE:
                yield start + num_fed[bisect.bisect_left(num_given, position)]


def _inflate_in_steps(chunk: Chunk) -> tuple[bytes, list[int], list[int]]:
    """Inflate a chunk bit by bit; gives the data, and how much was fed and given after each."""
    if chunk.compression == "":
        everything = list(range(len(chunk.data) + 1))
        return chunk.data, everything, everything
    decompressor = lz4.frame.LZ4FrameDecompressor()
    if chunk.compression == "zstd":
        decompressor = zstandard.ZstdDecompressor().decompressobj()
    given, num_fed, num_given = bytearray(), [], []
    for place in range(0, len(chunk.data), _STEP_BYTES):
        step = chunk.data[place : place + _STEP_BYTES]
        given += decompressor.decompress(step)
        num_fed.append(place + len(step))
        num_given.append(len(given))
    return bytes(given), num_fed, num_given


def write_bomb(path: Path, entries: Iterator[Entry], inflated_bytes: int, stated_bytes: int) -> int:
    """Write a small bag with one chunk that inflates to something huge.

    Args:
        path: Where to.
        entries: Messages before it.
        inflated_bytes: What the chunk inflates to.
        stated_bytes: What it says that it inflates to.

    Returns:
        Bytes of the file.
    """
    write_mcap(path, entries)
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    zeros, parts = bytes(1024 * 1024), []
    for _ in range(inflated_bytes // len(zeros)):
        parts.append(compressor.compress(zeros))
    data = b"".join([*parts, compressor.flush()])
    body = struct.pack("<QQQII", 0, 1, stated_bytes, 0, 4) + b"zstd"
    body += struct.pack("<Q", len(data)) + data
    chunk = struct.pack("<BQ", 6, len(body)) + body
    whole = path.read_bytes()
    # Right behind magic and header, before everything else; the index then points elsewhere.
    header_bytes = struct.unpack_from("<Q", whole, 9)[0]
    place = 8 + _RECORD_HEAD_BYTES + header_bytes
    path.write_bytes(whole[:place] + chunk + whole[place:])
    return path.stat().st_size
