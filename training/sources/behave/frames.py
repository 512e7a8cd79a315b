"""Colour frames of one Kinect with times: a video with its clock, or frame folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.files import read_image
from training.sources.field_values import read_numbers
from training.sources.json_file import read_json_object
from training.sources.video_file import VideoFile

__all__ = ["FolderFrames", "TimedVideo", "list_frame_folders", "parse_frame_time"]

_TIME = re.compile(r"t(\d{1,6}(?:\.\d{1,6})?)")


def parse_frame_time(name: str) -> float | None:
    """Read a frame's time from its name.

    Args:
        name: Such as `t0003.033`.

    Returns:
        Seconds on the recording's clock; None if it is no such name.
    """
    found = _TIME.fullmatch(name)
    return None if found is None else float(found[1])


def list_frame_folders(sequence: Path) -> list[tuple[float, Path]]:
    """List the frame folders of a sequence in the order of time.

    Args:
        sequence: The folder.

    Returns:
        Times, seconds, and folders.
    """
    named = ((parse_frame_time(path.name), path) for path in sequence.iterdir() if path.is_dir())
    return sorted((time, path) for time, path in named if time is not None)


class TimedVideo:
    """`SEQ.K.color.mp4` with `SEQ.K.time.json`: the clock says when a frame was taken.

    Args:
        video: The mp4.
        clock: Its times, microseconds under `color`.

    Raises:
        InputError: If one of them cannot be read.

    Attributes:
        times_sec: float (N,), seconds on the recording's clock.
        size_hw: Rows and columns.
        num_missing: Frames that the clock names and the video does not hold.
    """

    def __init__(self, video: Path, clock: Path) -> None:
        self._video = VideoFile(video)
        values = read_json_object(clock).get("color")
        times = read_numbers(values, (-1,), f"times of color in {clock}") / 1e6
        if not len(times):
            raise InputError(f"{clock.name} must hold the times of color, got none. Copy it again.")
        self.num_missing = max(0, len(times) - len(self._video))
        times = times[: len(self._video)]
        # Now and then a Kinect repeats a stamp; the later frame says nothing new.
        self._indices = np.nonzero(np.diff(times, prepend=-np.inf) > 0)[0]
        self.times_sec: NDArray[np.float64] = times[self._indices]
        self.size_hw = self._video.size_hw

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode frames.

        Args:
            indices: Which.

        Returns:
            RGB, uint8 (len(indices), H, W, 3).
        """
        return self._video.read(self._indices[np.asarray(indices, dtype=np.int64)])


class FolderFrames:
    """`tSSSS.SSS/kK.color.jpg` of frame folders.

    Args:
        folders: Times, seconds, and folders.
        kinect: Which camera.

    Raises:
        InputError: If no folder has a picture of it.

    Attributes:
        times_sec: float (N,), seconds on the recording's clock.
        size_hw: Rows and columns.
        num_missing: Folders without a picture of this camera.
    """

    def __init__(self, folders: Iterable[tuple[float, Path]], kinect: int) -> None:
        paths = [(time, folder / f"k{kinect}.color.jpg") for time, folder in folders]
        present = [(time, path) for time, path in paths if path.is_file()]
        if not present:
            raise InputError(f"frame folders must hold k{kinect}.color.jpg, got none. Unpack them.")
        self.num_missing = len(paths) - len(present)
        self.times_sec: NDArray[np.float64] = np.array([time for time, _ in present])
        self._paths = [path for _, path in present]
        self.size_hw: tuple[int, int] = read_image(self._paths[0]).shape[:2]

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode frames.

        Args:
            indices: Which.

        Returns:
            RGB, uint8 (len(indices), H, W, 3).

        Raises:
            InputError: If one cannot be read or has another size.
        """
        frames = np.empty((len(indices), *self.size_hw, 3), dtype=np.uint8)
        for place, index in enumerate(indices):
            path = self._paths[int(index)]
            frame = read_image(path, f"{path.parent.name}/{path.name}")
            if frame.shape[:2] != self.size_hw:
                raise InputError(
                    f"{path.parent.name}/{path.name} must have the size of the others, got "
                    f"{frame.shape[1]}x{frame.shape[0]}. Unpack it again."
                )
            frames[place] = frame
        return frames
