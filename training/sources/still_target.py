"""How long a mask stays true: as long as the picture at its place stays the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.sources.lazy_masks import LazyMasks
from training.sources.stretch import Stretch

__all__ = ["carry_mask"]

READ_CHUNK = 8
# Grey levels of 255: above the noise of cameras and codecs, below a hand or a moved edge.
MAX_MEAN_CHANGE = 10.0
# Of the target's pixels; a finger that reaches in covers more.
MAX_CHANGED_SHARE = 0.08
CHANGED_LEVELS = 30

Mask = NDArray[np.bool_]


def carry_mask(stretch: Stretch, mask: Mask) -> LazyMasks:
    """Give the mask of the first moment to all moments up to the first change at its place.

    A target that nobody touches stands still under a still camera, so that one mask is enough to
    begin a clip anywhere before the touch.

    Args:
        stretch: Whose first moment the mask is for.
        mask: bool (h, w) in the view of the stretch.

    Returns:
        The mask by moment.
    """
    if not mask.any():
        return LazyMasks({0: lambda: mask})
    return LazyMasks({moment: lambda: mask for moment in range(_count_still(stretch, mask))})


def _count_still(stretch: Stretch, mask: Mask) -> int:
    first = None
    for start in range(0, len(stretch), READ_CHUNK):
        stop = min(start + READ_CHUNK, len(stretch))
        for moment, frame in enumerate(stretch.read_frames(start, stop), start):
            pixels = frame[mask].astype(np.int16)
            first = pixels if first is None else first
            change = np.abs(pixels - first).mean(axis=1)
            share = float((change > CHANGED_LEVELS).mean())
            if change.mean() > MAX_MEAN_CHANGE or share > MAX_CHANGED_SHARE:
                return moment
    return len(stretch)
