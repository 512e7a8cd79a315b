"""Mend and report what a detector does wrong: left and right exchanged, points that jump away.

Lengths are in shoulder widths, so that they hold for people near and far.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.body import MIN_POINT_CONFIDENCE
from tavid_core.lifting.keypoints import GRIPPER, Keypoints

__all__ = ["check_keypoints"]

# An exchange must explain the two places this much better than keeping the names does.
SWAP_GAIN = 0.35
MIN_SWAP_WAY = 0.5
# A point this far off the line between its neighbours in time, while they agree, is no motion.
SPIKE = 0.6
SPIKE_FACTOR = 0.2
# A limb may look this many times longer from one frame to the next.
MAX_STRETCH, MIN_STRETCH_WAY = 1.6, 0.5
STRETCH_FACTOR = 0.5
LIMBS = (("shoulder", "elbow"), ("elbow", "hand"), ("hip", "knee"), ("knee", "ankle"))


def check_keypoints(keypoints: Keypoints) -> Keypoints:
    """Look for exchanged sides, spikes and stretched limbs.

    Exchanged sides are put right; points that jump lose confidence. What was found is added to
    `notes`.

    Args:
        keypoints: As detected.

    Returns:
        The same points, mended.
    """
    if keypoints.num_frames < 3 or keypoints.names == (GRIPPER,):
        return keypoints
    pixels = keypoints.pixels.astype(np.float64)
    confidence = keypoints.confidence.copy()
    pixels[confidence < MIN_POINT_CONFIDENCE] = np.nan
    width_px = _shoulder_width(keypoints.names, pixels)
    if width_px is None:
        return keypoints
    order = _mend_swaps(keypoints.names, pixels / width_px)
    pixels = np.take_along_axis(pixels, order[..., None], axis=1)
    confidence = np.take_along_axis(confidence, order, axis=1)
    spikes = _spikes(pixels / width_px)
    stretched = _stretched(keypoints.names, pixels / width_px) & ~spikes
    confidence = np.where(spikes, SPIKE_FACTOR * confidence, confidence)
    confidence = np.where(stretched, STRETCH_FACTOR * confidence, confidence)
    num_swapped = int((order != np.arange(len(keypoints.names))).any(axis=1).sum())
    counts = (
        (num_swapped, "left and right were exchanged in {} frames"),
        (int(spikes.any(axis=1).sum()), "a point jumps away and back in {} frames"),
        (int(stretched.any(axis=1).sum()), "a limb changes its length at once in {} frames"),
    )
    relative_m = keypoints.relative_m
    if relative_m is not None:
        relative_m = np.take_along_axis(relative_m, order[..., None], axis=1)
    return dataclasses.replace(
        keypoints,
        pixels=np.take_along_axis(keypoints.pixels, order[..., None], axis=1),
        confidence=confidence.astype(np.float32),
        relative_m=relative_m,
        notes=(*keypoints.notes, *(text.format(count) for count, text in counts if count)),
    )


def _shoulder_width(names: tuple[str, ...], pixels: NDArray[np.float64]) -> float | None:
    if not {"left_shoulder", "right_shoulder"} <= set(names):
        return None
    left, right = names.index("left_shoulder"), names.index("right_shoulder")
    width = np.linalg.norm(pixels[:, left] - pixels[:, right], axis=-1)
    width = width[np.isfinite(width)]
    return float(np.median(width)) if len(width) and np.median(width) > 0 else None


def _mend_swaps(names: tuple[str, ...], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Say for every frame and name which detected point it is."""
    pairs = [
        (k, names.index(name.replace("left_", "right_")))
        for k, name in enumerate(names)
        if name.startswith("left_") and name.replace("left_", "right_") in names
    ]
    order = np.tile(np.arange(len(names)), (len(points), 1))
    last = points[0].copy()
    for t in range(1, len(points)):
        for left, right in pairs:
            now, before = points[t, [left, right]], last[[left, right]]
            kept = np.linalg.norm(now - before, axis=-1).sum()
            swapped = np.linalg.norm(now[::-1] - before, axis=-1).sum()
            if kept > MIN_SWAP_WAY and swapped < SWAP_GAIN * kept:
                order[t, [left, right]] = right, left
        found = points[t, order[t]]
        last = np.where(np.isfinite(found), found, last)
    return order


def _spikes(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    away = np.linalg.norm(points[1:-1] - (points[:-2] + points[2:]) / 2, axis=-1)
    neighbours = np.linalg.norm(points[2:] - points[:-2], axis=-1)
    spikes = np.zeros(points.shape[:2], dtype=bool)
    spikes[1:-1] = (away > SPIKE) & (neighbours < away)
    return spikes


def _stretched(names: tuple[str, ...], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    stretched = np.zeros(points.shape[:2], dtype=bool)
    for side in ("left", "right"):
        for start, end in LIMBS:
            if {f"{side}_{start}", f"{side}_{end}"} <= set(names):
                tip = names.index(f"{side}_{end}")
                limb = points[:, tip] - points[:, names.index(f"{side}_{start}")]
                length = np.linalg.norm(limb, axis=-1)
                longer, shorter = (
                    np.maximum(length[1:], length[:-1]),
                    np.minimum(length[1:], length[:-1]),
                )
                jump = (longer > MAX_STRETCH * shorter) & (longer - shorter > MIN_STRETCH_WAY)
                stretched[1:, tip] |= jump
    return stretched
