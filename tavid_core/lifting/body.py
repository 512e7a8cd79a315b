"""The actor's points as tracks: gaps closed, jitter smoothed, each frame with a confidence."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import unproject
from tavid_core.lifting.keypoints import GRIPPER, HAND_NAMES, KEYPOINT_NAMES, Keypoints
from tavid_core.types import CameraIntrinsics, PointTrack

__all__ = [
    "MIN_ACTOR_CONFIDENCE",
    "MIN_POINT_CONFIDENCE",
    "actor_confidence",
    "clean_path",
    "close_gaps",
    "lift_track",
    "mean_confidence",
    "shoulder_width_px",
    "travelled_share",
]

MIN_POINT_CONFIDENCE = 0.3
# Actors of the detector's own world score 0.8 and more, a photograph that it cannot read 0.25.
MIN_ACTOR_CONFIDENCE = 0.4
MAX_GAP_FRAMES = 2


def clean_path(
    pixels: NDArray[np.float32], confidence: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Close short gaps of one point's path and smooth it.

    Frames below `MIN_POINT_CONFIDENCE` count as gaps. Gaps of at most `MAX_GAP_FRAMES` frames are
    filled by a straight line at half the confidence; longer ones, and those at the ends, stay
    NaN with confidence 0. Known frames are smoothed with the weights 1, 2, 1.

    Args:
        pixels: Column and row, float32 (T, 2); NaN where not seen.
        confidence: float32 (T,), 0..1.

    Returns:
        Pixels float32 (T, 2) and confidence float32 (T,).
    """
    is_seen = np.isfinite(pixels).all(axis=-1) & (confidence >= MIN_POINT_CONFIDENCE)
    path = np.where(is_seen[:, None], pixels, np.nan).astype(np.float64)
    sureness = np.where(is_seen, confidence, 0.0)
    seen = np.flatnonzero(is_seen)
    for before, after in itertools.pairwise(seen):
        gap = np.arange(before + 1, after)
        if 0 < len(gap) <= MAX_GAP_FRAMES:
            share = ((gap - before) / (after - before))[:, None]
            path[gap] = path[before] + share * (path[after] - path[before])
            sureness[gap] = 0.5 * min(sureness[before], sureness[after])
    middle = 0.25 * path[:-2] + 0.5 * path[1:-1] + 0.25 * path[2:]
    has_neighbours = np.isfinite(middle).all(axis=-1, keepdims=True)
    path[1:-1] = np.where(has_neighbours, middle, path[1:-1])
    return path.astype(np.float32), sureness.astype(np.float32)


def close_gaps(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Say how surely a point was seen, with short gaps between sightings filled.

    Args:
        confidence: float32 (T,), 0..1; below `MIN_POINT_CONFIDENCE` counts as not seen.

    Returns:
        float32 (T,): half the confidence of the gap's ends in gaps of at most `MAX_GAP_FRAMES`
        frames, 0 in longer ones and at the ends.
    """
    sureness = np.where(confidence >= MIN_POINT_CONFIDENCE, confidence, 0.0)
    for before, after in itertools.pairwise(np.flatnonzero(sureness)):
        if 1 < after - before <= MAX_GAP_FRAMES + 1:
            sureness[before + 1 : after] = 0.5 * min(sureness[before], sureness[after])
    return sureness.astype(np.float32)


def travelled_share(pixels: NDArray[np.float32], last_frame: int) -> NDArray[np.float64]:
    """Say how much of its way to `last_frame` a point has made in each frame.

    The way itself, not the time, is the measure: a hand that waits does not approach.

    Args:
        pixels: Column and row, float32 (T, 2); NaN where not seen.
        last_frame: Where the way ends.

    Returns:
        0 at frame 0, 1 from `last_frame` on, never falling, float64 (T,).
    """
    num_frames = len(pixels)
    clock = np.minimum(np.arange(num_frames) / max(last_frame, 1), 1.0)
    known = np.flatnonzero(np.isfinite(pixels).all(axis=-1))
    if last_frame == 0:
        return np.ones(num_frames)
    if len(known) < 2:
        return clock
    filled = np.stack(
        [np.interp(np.arange(num_frames), known, pixels[known, axis]) for axis in (0, 1)], axis=1
    )
    steps = np.linalg.norm(np.diff(filled, axis=0), axis=-1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    # A point that stays in place in the picture may still come nearer: then time must do.
    if way[last_frame] < 1.0:
        return clock
    return np.minimum(way / way[last_frame], 1.0)


def lift_track(
    name: str,
    pixels: NDArray[np.float32],
    confidence: NDArray[np.float32],
    depth_m: NDArray[np.float64],
    intrinsics: CameraIntrinsics,
) -> PointTrack:
    """Put a path in the picture at its depths.

    Args:
        name: Of the track.
        pixels: Column and row in the caller's image, float32 (T, 2).
        confidence: float32 (T,), 0..1.
        depth_m: Per frame, float64 (T,), metres; NaN where unknown.
        intrinsics: Of the caller's image.

    Returns:
        The track, metres in the optical frame.
    """
    return PointTrack(
        name=name,
        pixels=pixels.astype(np.float32),
        positions_camera_m=unproject(pixels, depth_m, intrinsics).astype(np.float32),
        confidence=confidence.astype(np.float32),
    )


def mean_confidence(keypoints: Keypoints, name: str) -> float:
    """Average a point's confidence over the rollout.

    Args:
        keypoints: Of the actor.
        name: Of the point.

    Returns:
        0..1; frames in which it is not seen count as 0.
    """
    confidence = keypoints.track(name)[1]
    return float(confidence.mean()) if len(confidence) else 0.0


def actor_confidence(keypoints: Keypoints) -> float:
    """Say how sure it is that an actor is there at all.

    A detector that is shown something else may be sure of one point by chance, hardly of all: the
    surest hand and the whole set of points count alike (geometric mean).

    Args:
        keypoints: Of the actor; points that the detector does not name do not count.

    Returns:
        0..1.
    """
    if not keypoints.names or not keypoints.num_frames:
        return 0.0
    if keypoints.names == (GRIPPER,):
        return mean_confidence(keypoints, GRIPPER)
    surest_hand = max(mean_confidence(keypoints, name) for name in HAND_NAMES)
    # A person behind a table shows no legs: that is no reason to doubt the person.
    names = [name for name in keypoints.names if name in KEYPOINT_NAMES] or keypoints.names
    whole = float(np.mean([mean_confidence(keypoints, name) for name in names]))
    return float(np.sqrt(surest_hand * whole))


def shoulder_width_px(
    left_px: NDArray[np.float32], right_px: NDArray[np.float32], confidence: NDArray[np.float32]
) -> float:
    """Measure the distance of the shoulders in the picture.

    Args:
        left_px: Left shoulder, caller's pixels, float32 (T, 2).
        right_px: Right shoulder, likewise.
        confidence: Of the less sure one, float32 (T,).

    Returns:
        Median over the frames in which both are seen, pixels; NaN if none.
    """
    is_seen = confidence >= MIN_POINT_CONFIDENCE
    if not is_seen.any():
        return float("nan")
    return float(np.median(np.linalg.norm(left_px - right_px, axis=-1)[is_seen]))
