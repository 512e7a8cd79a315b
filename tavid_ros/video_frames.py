"""The frames of a video file, with their times."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, MissingExtraError
from tavid_core.types import MAX_IMAGE_SIDE_PX

__all__ = ["read_video_frames"]


def read_video_frames(
    path: Path, demand: str = "path must be a video file"
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Decode a video, frame by frame.

    Args:
        path: The file.
        demand: Begins the message about a file that is no video.

    Yields:
        Time from its start in seconds, and the frame, RGB, uint8 (H, W, 3).

    Raises:
        MissingExtraError: If PyAV is not installed.
        InputError: If it is no video, or too large.
    """
    try:
        import av
        from av.video.reformatter import VideoReformatter
    except ImportError as error:
        raise MissingExtraError.of("av", "dev") from error
    to_rgb = VideoReformatter()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if max(stream.width, stream.height) > MAX_IMAGE_SIDE_PX:
                raise InputError(
                    f"video must have sides of at most {MAX_IMAGE_SIDE_PX} pixels, got "
                    f"{stream.width}x{stream.height}. Scale {path} down."
                )
            rate = float(stream.average_rate or 8)
            for number, frame in zip(itertools.count(), container.decode(stream)):
                time_sec = number / rate if frame.time is None else float(frame.time)
                yield time_sec, to_rgb.reformat(frame, format="rgb24").to_ndarray()
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(f"{demand}, got {error}: {path}. Check it.") from error
