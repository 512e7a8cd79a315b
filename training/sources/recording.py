"""What every source of clips hands to the cutter: recordings of one camera, at one rate.

A source knows a file format; the cutter knows what makes a clip. They meet here: a source lists
`RecordingJob`s, each opens one file and yields its recordings, and the cutter finds the stretches
in which an actor who does not touch the target yet comes to touch it.

Shapes: T frames, H x W pixels, K hand points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics

__all__ = ["Recording", "RecordingJob", "SourceNote", "SourceProgress", "check_name"]

MAX_NAME_CHARACTERS = 150


def check_name(what: str, name: str) -> None:
    """Check that a name can become part of a file name.

    Args:
        what: Whose name it is, for the message.
        name: Up to 150 letters, digits, `-` and `_`.

    Raises:
        InputError: If it holds anything else, is empty or too long.
    """
    is_safe = all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
    if not is_safe or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise InputError(
            f"{what} must be 1 to {MAX_NAME_CHARACTERS} letters, digits, - and _, got {name!r}. "
            "Replace or leave out the others."
        )


@dataclasses.dataclass(frozen=True)
class SourceNote:
    """Something of a file that a reader of the report should know, such as frames that were lost.

    Args:
        reason: What it was, some words; notes of one reason are added up.
        count: How often.
        detail: Where or what exactly; the first ones are shown.
        is_loss: Whether data was lost or damaged; the conversion then ends with exit code 3.
    """

    reason: str
    count: int = 1
    detail: str = ""
    is_loss: bool = True


@dataclasses.dataclass(frozen=True)
class SourceProgress:
    """How much of a file is read; for the progress bar only.

    Args:
        share: 0..1.
    """

    share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
    """One stretch of one camera that was resampled to a fixed rate, with what is known about it.

    Args:
        name: Deterministic and unique within a data set; letters, digits, `-` and `_` only, since
            it becomes part of file names.
        fps: Frames per second of `read_frames`.
        num_frames: T.
        size_hw: Rows and columns of a frame, pixels.
        read_frames: Gives frames start to stop - 1 as RGB, uint8 (stop - start, H, W, 3); decodes
            on demand, so that a long recording never lies in memory whole.
        caption: What happens, one sentence, without the sentence of the slot words.
        target_masks: The target by frame index, bool (H, W); may be sparse, may load on demand.
        actor_masks: The actor, likewise.
        contact: Whether the actor touches the target, bool (T,), where the source knows; or None.
        hand_pixels: Hands as (column, row), float (T, K, 2), NaN where not seen; or None.
        camera: Intrinsics for `size_hw`, undistorted; or None if unknown.
        source: Which data set it came from.
        licence: Under which licence.
        read_truth: Gives ground truth of frames start to stop - 1 by name, in metres or in pixels
            of `size_hw`, to be kept with the clip; or None.

    Raises:
        InputError: If the name is unsafe, or a length does not fit.
    """

    name: str
    fps: float
    num_frames: int
    size_hw: tuple[int, int]
    read_frames: Callable[[int, int], NDArray[np.uint8]]
    caption: str
    target_masks: Mapping[int, NDArray[np.bool_]]
    actor_masks: Mapping[int, NDArray[np.bool_]] = dataclasses.field(default_factory=dict)
    contact: NDArray[np.bool_] | None = None
    hand_pixels: NDArray[np.float64] | None = None
    camera: CameraIntrinsics | None = None
    source: str
    licence: str
    read_truth: Callable[[int, int], Mapping[str, NDArray[np.generic]]] | None = None

    def __post_init__(self) -> None:
        """Check the name and the lengths."""
        check_name("name", self.name)
        if self.fps <= 0 or self.num_frames < 1:
            raise InputError(
                f"fps and num_frames must be positive, got {self.fps} and {self.num_frames}. "
                "Leave empty recordings out."
            )
        for what, array in (("contact", self.contact), ("hand_pixels", self.hand_pixels)):
            if array is not None and len(array) != self.num_frames:
                raise InputError(
                    f"{what} must have {self.num_frames} entries, got {len(array)}. "
                    "Resample it with the frames."
                )


class RecordingJob(Protocol):
    """One file (or folder) of a source; picklable, so that worker processes can open it.

    When a conversion goes on, a job is done again if its inputs have changed: the fields of the
    dataclass that it is, or where those say too much or too little, what its method `inputs`
    returns: paths and plain values, also in tuples and mappings. A folder stands for all files
    in it.
    """

    @property
    def name(self) -> str:
        """Deterministic and unique within the call; orders the output."""
        ...

    def open(self) -> Iterator[Recording | SourceNote | SourceProgress]:
        """Open the file and yield its recordings; each is used up before the next is asked for.

        Yields:
            Recordings in a deterministic order, and notes for the report between and after them.
            Long files say now and then how far they are.

        Raises:
            InputError: If the file is unusable as a whole; the conversion reports it and goes on.
        """
        ...
