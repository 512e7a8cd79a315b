"""Where hands point and how far they are open.

The frame of a hand: origin in the middle of the palm, x towards the fingers, z out of the palm
towards what it grasps, y completing it to the left of x seen against z.

Shape suffixes: T frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tavid_core.camera import unproject
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.body import MIN_POINT_CONFIDENCE
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.types import CameraIntrinsics, PointTrack

__all__ = ["hand_aperture", "hand_quaternions", "sees_palm"]

# Directions closer than this (sine) do not span a palm.
MIN_SINE = 0.25
MAX_APERTURE_M = 0.25
DOWN = np.array([0.0, 1.0, 0.0])


def hand_quaternions(
    hand: PointTrack,
    elbow: PointTrack | None,
    keypoints: Keypoints,
    fit: FrameFit,
    intrinsics: CameraIntrinsics,
) -> NDArray[np.float32]:
    """Find the orientation of a hand.

    With the knuckles of index and little finger it is measured. With the elbow alone x runs along
    the forearm, and the turn about it is assumed: the palm looks as far down the picture as it can,
    as that of a hand that takes something from a table.

    Args:
        hand: Its track.
        elbow: That of the same arm, or None.
        keypoints: Of the actor, model pixels.
        fit: How the request's image became the rollout's frame 0.
        intrinsics: Of the caller's image.

    Returns:
        camera_from_hand, xyzw, float32 (T, 4); NaN where not even the forearm is known.
    """
    palm_m = hand.positions_camera_m.astype(np.float64)
    along = np.full_like(palm_m, np.nan)
    if elbow is not None:
        along = palm_m - elbow.positions_camera_m
    normal = np.tile(DOWN, (len(palm_m), 1))
    fingers, out, is_palm = _palm(hand, keypoints, fit, intrinsics)
    along = np.where(is_palm[:, None], fingers, along)
    normal = np.where(is_palm[:, None], out, normal)
    return _quaternions(along, normal)


def sees_palm(
    hand: PointTrack, keypoints: Keypoints, fit: FrameFit, intrinsics: CameraIntrinsics
) -> NDArray[np.bool_]:
    """Say where the turn of a hand about its forearm is measured, not assumed.

    Args:
        hand: Its track.
        keypoints: Of the actor, model pixels.
        fit: How the request's image became the rollout's frame 0.
        intrinsics: Of the caller's image.

    Returns:
        bool (T,), true where wrist and both knuckles span a palm.
    """
    return _palm(hand, keypoints, fit, intrinsics)[2]


def _palm(
    hand: PointTrack, keypoints: Keypoints, fit: FrameFit, intrinsics: CameraIntrinsics
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Direction of the fingers, that out of the palm, and whether there is a palm."""
    side = hand.name.removesuffix("_hand")
    index_m, pinky_m, wrist_m = (
        _near_hand(f"{side}_{part}", hand, keypoints, fit, intrinsics)
        for part in ("index_knuckle", "pinky_knuckle", "wrist")
    )
    fingers = (index_m + pinky_m) / 2 - wrist_m
    across = index_m - pinky_m
    out = np.cross(across, fingers) if side == "right" else np.cross(fingers, across)
    size = np.linalg.norm(across, axis=-1) * np.linalg.norm(fingers, axis=-1)
    out = out / np.maximum(size, 1e-9)[:, None]
    return fingers, out, np.linalg.norm(out, axis=-1) > MIN_SINE


def _quaternions(along: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float32]:
    """Make x of one direction and z of another as far as it allows."""
    x = along / np.linalg.norm(along, axis=-1, keepdims=True)
    z = normal - (normal * x).sum(-1, keepdims=True) * x
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    z = z / np.where(length > 0.05, length, np.nan)
    matrices = np.stack([x, np.cross(z, x), z], axis=-1)
    quaternions = np.full((len(along), 4), np.nan, dtype=np.float32)
    known = np.isfinite(matrices).all(axis=(1, 2))
    if known.any():
        found = Rotation.from_matrix(matrices[known]).as_quat()
        quaternions[known] = _without_flips(found)
    return quaternions


def _without_flips(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Choose between q and -q so that neighbours are alike."""
    dots = (quaternions[1:] * quaternions[:-1]).sum(axis=-1)
    signs = np.cumprod(np.concatenate([[1.0], np.where(dots < 0, -1.0, 1.0)]))
    return quaternions * signs[:, None]


def hand_aperture(
    hand: PointTrack, keypoints: Keypoints, fit: FrameFit, intrinsics: CameraIntrinsics
) -> NDArray[np.float32] | None:
    """Measure how far thumb and index finger are apart.

    Args:
        hand: The hand's track.
        keypoints: Of the actor, model pixels.
        fit: How the request's image became the rollout's frame 0.
        intrinsics: Of the caller's image.

    Returns:
        Metres, float32 (T,), NaN where a tip is not seen; None if no frame shows both.
    """
    side = hand.name.removesuffix("_hand")
    thumb_m, index_m = (
        _near_hand(f"{side}_{part}", hand, keypoints, fit, intrinsics)
        for part in ("thumb_tip", "index_tip")
    )
    aperture_m = np.linalg.norm(thumb_m - index_m, axis=-1)
    with np.errstate(invalid="ignore"):
        aperture_m = np.where(aperture_m <= MAX_APERTURE_M, aperture_m, np.nan)
    return aperture_m.astype(np.float32) if np.isfinite(aperture_m).any() else None


def _near_hand(
    name: str,
    hand: PointTrack,
    keypoints: Keypoints,
    fit: FrameFit,
    intrinsics: CameraIntrinsics,
) -> NDArray[np.float64]:
    """A point of the hand at the hand's depth, corrected by the guessed relative places."""
    pixels, confidence = keypoints.track(name)
    pixels = np.where((confidence >= MIN_POINT_CONFIDENCE)[:, None], pixels, np.nan)
    depth_m = hand.positions_camera_m[:, 2].astype(np.float64)
    if keypoints.relative_m is not None and {name, hand.name} <= set(keypoints.names):
        guess = keypoints.relative_of((hand.name, name))
        depth_m = depth_m + np.nan_to_num(guess[:, 1, 2] - guess[:, 0, 2])
    return unproject(fit.pixels_to_caller(pixels), depth_m, intrinsics)
