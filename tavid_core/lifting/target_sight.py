"""What the pictures alone say about the target: where it is, which pixels are its own, and faults.

None of it depends on depth, intrinsics or the actor, so one sight serves every lifting of a video.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.target import TargetTrack, track_target
from tavid_core.lifting.target_mask import CarriedMask, carry_mask
from tavid_core.lifting.video_checks import VideoFaults, check_video

__all__ = ["TargetSight", "watch_target"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetSight:
    """The target in a rollout, in pixels.

    Args:
        faults: Of the video.
        track: Where the target's look is found; nothing in frames that the faults make worthless.
        mask: Its pixels in every frame.
    """

    faults: VideoFaults
    track: TargetTrack
    mask: CarriedMask


def watch_target(frames: NDArray[np.uint8], mask: NDArray[np.bool_]) -> TargetSight:
    """Look for the target in every frame.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        mask: The target in frame 0, bool (h, w).

    Returns:
        What was seen.

    Raises:
        InputError: If the mask is empty or not bool.
        ShapeError: If frames and mask differ in size.
    """
    faults = check_video(frames)
    track = track_target(frames, mask).without(faults.is_lost)
    return TargetSight(faults=faults, track=track, mask=carry_mask(frames, mask, track))
