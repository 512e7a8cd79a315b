"""A video file as frames with times, read in any order but fastest forward.

Shapes: N frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from tavid_core.errors import InputError

__all__ = ["VideoFile"]

# Frames up to this far ahead are decoded on the way; a jump farther starts at a key frame.
MAX_DECODE_AHEAD = 64
MAX_PIXELS = 64_000_000


class VideoFile:
    """Frames of the first video stream; lists them without decoding, decodes on demand.

    Args:
        path: Any container that FFmpeg reads.

    Raises:
        InputError: If it cannot be opened or holds no frames.

    Attributes:
        times_sec: When each frame is shown, float (N,), seconds from the first frame.
        size_hw: Rows and columns.
        num_missing: Frames that the file promises and does not hold: it was cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = self._open()
        self._stream = self._container.streams.video[0]
        self._stamps = self._list_stamps()
        if not self._stamps:
            self.close()
            raise InputError(f"{path.name} must hold frames, got none. Copy or leave out the file.")
        base = float(self._stream.time_base)
        self.times_sec: NDArray[np.float64] = np.array(self._stamps) * base
        self.times_sec -= self.times_sec[0]
        codec = self._stream.codec_context
        self.size_hw = (codec.height, codec.width)
        if not 0 < codec.height * codec.width <= MAX_PIXELS:
            self.close()
            raise InputError(
                f"{path.name} must have 1 to {MAX_PIXELS} pixels a frame, got "
                f"{codec.width}x{codec.height}. Resize it."
            )
        self.num_missing = max(0, self._stream.frames - len(self._stamps))
        self._index = {stamp: index for index, stamp in enumerate(self._stamps)}
        self._frames: Iterator[av.VideoFrame] | None = None
        self._to_rgb = VideoReformatter()
        self._next_index = 0
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._stamps)

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode frames.

        Args:
            indices: Which, from 0; rising is fastest, one may come twice.

        Returns:
            RGB, uint8 (len(indices), H, W, 3).

        Raises:
            InputError: If a frame cannot be decoded, or is none of the video's.
        """
        frames = np.empty((len(indices), *self.size_hw, 3), dtype=np.uint8)
        for place, index in enumerate(indices):
            frames[place] = self._read_one(int(index))
        return frames

    def close(self) -> None:
        """Close the file."""
        self._frames = None
        self._container.close()

    def _open(self) -> av.container.InputContainer:
        try:
            container = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise InputError(
                f"{self.path.name} must be a readable video, got {error.strerror or error}. "
                "Copy it again, or leave it out."
            ) from error
        if not container.streams.video:
            container.close()
            raise InputError(f"{self.path.name} must hold a video, got none. Leave it out.")
        return container

    def _list_stamps(self) -> list[int]:
        """List presentation times by walking the packets; a cut-off file ends early."""
        stamps = set()
        try:
            for packet in self._container.demux(self._stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                is_shown = packet.size and not packet.is_discard and not packet.is_corrupt
                if stamp is not None and is_shown:
                    stamps.add(stamp)
        except av.FFmpegError:
            pass  # What was listed before the damage can be read.
        return sorted(stamps)

    def _read_one(self, index: int) -> NDArray[np.uint8]:
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        if not 0 <= index < len(self):
            raise InputError(
                f"frame must be in 0..{len(self) - 1} of {self.path.name}, got {index}. Ask for "
                "frames that the video has."
            )
        try:
            picture = self._decode(index)
        except (av.FFmpegError, StopIteration) as error:
            raise InputError(
                f"{self.path.name} must be a whole video, got none of frame {index} of "
                f"{len(self)}. Copy it again, or leave it out."
            ) from error
        if picture.shape[:2] != self.size_hw:
            raise InputError(
                f"{self.path.name} must have one size, got {picture.shape[1]}x{picture.shape[0]} "
                f"at frame {index}. Encode it again."
            )
        self._last = (index, picture)
        return picture

    def _decode_packets(self) -> Iterator[av.VideoFrame]:
        """Decode on from here, past damaged packets: frames before and after them count."""
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:
                continue
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                continue

    def _decode(self, index: int) -> NDArray[np.uint8]:
        ahead = index - self._next_index
        if self._frames is None or not 0 <= ahead <= MAX_DECODE_AHEAD:
            # Behind the end the decoder is used up and must be flushed, which a seek does.
            self._container.seek(self._stamps[index], stream=self._stream)
            self._frames = self._decode_packets()
        for frame in self._frames:
            found = self._index.get(frame.pts)
            if found is None:
                continue
            self._next_index = found + 1
            if found == index:
                return self._to_rgb.reformat(frame, format="rgb24").to_ndarray()
            if found > index:
                break
        self._frames = None
        raise StopIteration
