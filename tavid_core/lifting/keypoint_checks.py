"""Mend and report what a detector does wrong: left and right exchanged, points that jump away.

Lengths are in shoulder widths, so that they hold for people near and far.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.anatomy import BONES
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
SHOULDERS = BONES[0]
UNCHECKED = "left, right and jumps were not checked, for want of a limb that is seen whole"


def check_keypoints(keypoints: Keypoints) -> Keypoints:
    """Look for exchanged sides, spikes and stretched limbs.

    Exchanged sides are put right, most frames being taken to be so already; points that jump lose
    confidence. What was found, or that nothing could be checked, is added to `notes`.

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
        notes = (UNCHECKED,) if np.isfinite(pixels).all(axis=-1).any() else ()
        return dataclasses.replace(keypoints, notes=(*keypoints.notes, *notes))
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
    """As seen; where a shoulder is missing, from another bone and the sizes of an adult."""
    width_px = _bone_length(SHOULDERS.start, SHOULDERS.end, names, pixels)
    if width_px is not None:
        return width_px
    # A bone that points at the camera looks short, none looks long.
    widths_px = [
        length_px * SHOULDERS.length_m / bone.length_m
        for bone in BONES
        if (length_px := _bone_length(bone.start, bone.end, names, pixels)) is not None
    ]
    return max(widths_px, default=None)


def _bone_length(
    start: str, end: str, names: tuple[str, ...], pixels: NDArray[np.float64]
) -> float | None:
    if not {start, end} <= set(names):
        return None
    length = np.linalg.norm(pixels[:, names.index(start)] - pixels[:, names.index(end)], axis=-1)
    length = length[np.isfinite(length)]
    return float(np.median(length)) if len(length) and np.median(length) > 0 else None


def _mend_swaps(names: tuple[str, ...], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Say for every frame and name which detected point it is."""
    order = np.tile(np.arange(len(names)), (len(points), 1))
    for left, name in enumerate(names):
        opposite = name.replace("left_", "right_")
        if opposite == name or opposite not in names:
            continue
        pair = [left, names.index(opposite)]
        chains = [_exchanges(points[:, pair], is_first) for is_first in (False, True)]
        # The names of most frames are right, not those of the first one.
        is_exchanged = min(chains, key=np.count_nonzero)
        order[np.ix_(is_exchanged, pair)] = pair[::-1]
    return order


def _exchanges(pair_T22: NDArray[np.float64], is_first_exchanged: bool) -> NDArray[np.bool_]:
    """Follow two points, given whether the first frame that shows both has them exchanged."""
    is_exchanged = np.zeros(len(pair_T22), dtype=bool)
    first = int(np.argmax(np.isfinite(pair_T22).all(axis=(1, 2))))
    last = np.full((2, 2), np.nan)
    for t, now in enumerate(pair_T22):
        kept = np.linalg.norm(now - last, axis=-1)
        swapped = np.linalg.norm(now - last[::-1], axis=-1)
        is_seen = np.isfinite(now).all(axis=-1)
        kept, swapped = kept[is_seen].sum(), swapped[is_seen].sum()
        looks_exchanged = bool(kept > MIN_SWAP_WAY and swapped < SWAP_GAIN * kept)
        if is_seen.all():
            is_exchanged[t] = is_first_exchanged if t == first else looks_exchanged
        elif looks_exchanged:
            # One point is too little to rename it, and says nothing about the next frame.
            continue
        found = now[::-1] if is_exchanged[t] else now
        last = np.where(np.isfinite(found), found, last)
    return is_exchanged


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
