"""What the pictures alone say about the target: where it is, which pixels are its own, and faults.

None of it depends on depth, intrinsics or the actor, so one sight serves every lifting of a video.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.target import (
    MOVED_DISTANCE,
    REST_LIKENESS,
    TargetTrack,
    track_target,
)
from tavid_core.lifting.target_mask import MIN_LOOK_CONFIDENCE, CarriedMask, carry_mask
from tavid_core.lifting.video_checks import VideoFaults, check_video

__all__ = ["TargetSight", "bridge_gaps", "watch_target"]

# A mask that is less sure than this says nothing where the look says nothing.
MIN_BRIDGE_CONFIDENCE, BRIDGED_FACTOR = 0.6, 0.7


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
    carried = carry_mask(frames, mask, track)
    return TargetSight(faults=faults, track=bridge_gaps(track, carried), mask=carried)


def bridge_gaps(track: TargetTrack, carried: CarriedMask) -> TargetTrack:
    """Let the mask say where the target is while its look is not found.

    A look is found again after a gap, but not once the target has turned; flow goes along with a
    turn, but not over a gap.

    Args:
        track: Of the target's look.
        carried: Its mask in the same frames.

    Returns:
        The track, with the mask's middle where the look is lost, the rest place looks like
        something else, and the mask is surely away from it.
    """
    middles = np.array(
        [np.argwhere(m).mean(axis=0)[::-1] if m.any() else (np.nan, np.nan) for m in carried.masks]
    )
    ways = middles - middles[0]
    is_bridged = (
        (track.confidence > 0)
        & (track.confidence < MIN_LOOK_CONFIDENCE)
        & (track.rest_likeness < REST_LIKENESS)
        & (carried.confidence >= MIN_BRIDGE_CONFIDENCE)
        & (np.linalg.norm(ways, axis=-1) > MOVED_DISTANCE * track.side_px)
    )
    if not is_bridged.any():
        return track
    confidence = np.where(is_bridged, BRIDGED_FACTOR * carried.confidence, track.confidence)
    return dataclasses.replace(
        track,
        pixels=np.where(is_bridged[:, None], track.pixels[0] + ways, track.pixels).astype(
            np.float32
        ),
        has_moved=track.has_moved | is_bridged,
        confidence=confidence.astype(np.float32),
    )
