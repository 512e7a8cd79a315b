"""Decompression that stops at a stated size, so that a small file cannot become a huge one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from tavid_core.errors import InputError, MissingExtraError

__all__ = ["inflate", "inflate_file", "inflate_start"]

_COPY_BYTES = 1024 * 1024
_MAX_FILE_RATIO = 200
# A frame may ask for a window of gigabytes before it gives a byte.
_MAX_WINDOW_BYTES = 128 * 1024 * 1024


def inflate(data: bytes, compression: str, max_bytes: int) -> bytes | bytearray:
    """Decompress data that must end within a size.

    Args:
        data: Compressed.
        compression: "" (none), "zstd" or "lz4", as MCAP names them.
        max_bytes: The most that may come out.

    Returns:
        The whole data.

    Raises:
        InputError: If it is damaged, longer, or compressed in another way.
    """
    inflated, is_whole = _inflate(data, compression, max_bytes)
    if len(inflated) > max_bytes:
        raise InputError(
            f"compressed data must hold at most {max_bytes} bytes, got more. "
            "Is the bag damaged, or made to fill the memory?"
        )
    if not is_whole:
        raise InputError("compressed data must be whole, got a part. The bag is damaged there.")
    return inflated


def inflate_start(data: bytes, compression: str, max_bytes: int) -> bytes | bytearray:
    """Decompress as much as there is of data that was cut off.

    Args:
        data: The start of something compressed.
        compression: As for `inflate`.
        max_bytes: The most that may come out.

    Returns:
        What could be had, maybe nothing.
    """
    try:
        inflated, _ = _inflate(data, compression, max_bytes)
    except InputError:
        return b""
    return inflated if len(inflated) <= max_bytes else inflated[:max_bytes]


def _inflate(data: bytes, compression: str, max_bytes: int) -> tuple[bytes | bytearray, bool]:
    if compression == "":
        return data, True
    if compression == "zstd":
        return _inflate_zstd(data, max_bytes)
    if compression == "lz4":
        return _inflate_lz4(data, max_bytes)
    raise InputError(
        f"compression must be zstd, lz4 or none, got {compression[:32]!r}. Is the bag damaged?"
    )


def _inflate_zstd(data: bytes, max_bytes: int) -> tuple[bytearray, bool]:
    zstandard = _import_zstandard()
    # Grows in place: parts that are joined at the end would be held twice.
    inflated, num_left = bytearray(), max_bytes + 1
    try:
        stated_bytes = zstandard.frame_content_size(data)
        reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(data)
        while num_left and (part := reader.read(min(num_left, _COPY_BYTES))):
            inflated += part
            num_left -= len(part)
    except zstandard.ZstdError as error:
        if not inflated:
            raise InputError(f"zstd data must be readable, got {error}. It is damaged.") from error
        return inflated, False
    # The reader takes the end of its input for the end of the frame.
    is_whole = bool(inflated) if stated_bytes < 0 else len(inflated) == stated_bytes
    return inflated, is_whole


def _inflate_lz4(data: bytes, max_bytes: int) -> tuple[bytes, bool]:
    try:
        import lz4.frame
    except ImportError as error:
        raise MissingExtraError.of("lz4", "train") from error
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        return decompressor.decompress(data, max_length=max_bytes + 1), decompressor.eof
    except (RuntimeError, EOFError) as error:
        raise InputError(f"lz4 data must be readable, got {error}. It is damaged.") from error


def inflate_file(source: Path, target: BinaryIO, max_bytes: int) -> bool:
    """Decompress a zstd file to another one.

    Args:
        source: As rosbag2 writes it with file compression.
        target: Where to.
        max_bytes: The most that may come out; also limited by half of what the disk has free, and
            by 200 times the file, which no camera's images come near.

    Returns:
        Whether the whole file came out; False if it is damaged or cut off.

    Raises:
        InputError: If it is longer, or no zstd file at all.
    """
    zstandard = _import_zstandard()
    free_bytes = shutil.disk_usage(Path(target.name).parent).free
    likely_bytes = _MAX_FILE_RATIO * source.stat().st_size + _COPY_BYTES
    num_left = max_num = min(max_bytes, free_bytes // 2, likely_bytes)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    is_empty = True
    with source.open("rb") as compressed:
        start = compressed.read(18).ljust(18, b"\0")
        compressed.seek(0)
        try:
            stated_bytes = zstandard.frame_content_size(start)
            reader = decompressor.stream_reader(compressed, read_across_frames=True)
            while part := reader.read(_COPY_BYTES):
                num_left -= len(part)
                if num_left < 0:
                    raise InputError(
                        f"{source.name} must inflate to at most {max_num} bytes, got more. "
                        "Free some space on the disk, or is it made to fill it?"
                    )
                target.write(part)
                is_empty = False
        except zstandard.ZstdError as error:
            if is_empty:
                raise InputError(
                    f"{source.name} must be a zstd file, got {error}. It is damaged."
                ) from error
            return False
    return stated_bytes < 0 or target.tell() == stated_bytes


def _import_zstandard() -> object:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError.of("zstandard", "train") from error
    return zstandard
