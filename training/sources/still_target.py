"""How long a mask stays true: as long as the picture at its place stays the same.

Shapes: T frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from training.sources.lazy_masks import LazyMasks

__all__ = ["hold_masks"]

READ_CHUNK = 8
# Grey levels of 255: above the noise of cameras and codecs, below a hand or a moved edge.
MAX_MEAN_CHANGE = 10.0
# Of the target's pixels; a finger that reaches in covers more.
MAX_CHANGED_SHARE = 0.08
CHANGED_LEVELS = 30

Mask = NDArray[np.bool_]
ReadFrames = Callable[[int, int], NDArray[np.uint8]]


def hold_masks(
    read_frames: ReadFrames, num_frames: int, masks: Mapping[int, Mask]
) -> Mapping[int, Mask]:
    """Give the masks of some frames to those before and after that look the same at their place.

    A target that nobody touches stands still under a still camera, so that one mask is enough to
    begin a clip anywhere before the touch.

    Args:
        read_frames: Gives frames start to stop - 1, uint8 (stop - start, H, W, 3).
        num_frames: T.
        masks: By frame, bool (H, W).

    Returns:
        Masks by frame; `masks` itself where every frame has one, or none has.
    """
    if not masks or len(masks) >= num_frames:
        return masks
    known = sorted(masks)
    loaders = {frame: _Loader(masks, frame) for frame in known}
    for before, after in zip([None, *known], [*known, None], strict=True):
        if before is not None:
            later = range(before + 1, num_frames if after is None else after)
            for frame in _still_frames(read_frames, masks[before], before, later):
                loaders[frame] = _Loader(masks, before)
        if after is not None:
            earlier = range(after - 1, -1 if before is None else before, -1)
            for frame in _still_frames(read_frames, masks[after], after, earlier):
                # Where both hold, the nearer one is the better one.
                if frame not in loaders or after - frame < frame - before:
                    loaders[frame] = _Loader(masks, after)
    return LazyMasks(loaders)


class _Loader:
    def __init__(self, masks: Mapping[int, Mask], frame: int) -> None:
        self._masks, self._frame = masks, frame

    def __call__(self) -> Mask:
        return self._masks[self._frame]


def _still_frames(read_frames: ReadFrames, mask: Mask, known: int, frames: range) -> Iterator[int]:
    """List the frames, on from the first, that look as the known one does where the mask is."""
    if not len(frames) or not mask.any():
        return
    first = read_frames(known, known + 1)[0][mask].astype(np.int16)
    for frame, picture in zip(frames, _read(read_frames, frames), strict=True):
        change = np.abs(picture[mask].astype(np.int16) - first).mean(axis=1)
        share = float((change > CHANGED_LEVELS).mean())
        if change.mean() > MAX_MEAN_CHANGE or share > MAX_CHANGED_SHARE:
            return
        yield frame


def _read(read_frames: ReadFrames, frames: range) -> Iterable[NDArray[np.uint8]]:
    for place in range(0, len(frames), READ_CHUNK):
        part = frames[place : place + READ_CHUNK]
        pictures = read_frames(min(part), max(part) + 1)
        yield from pictures if frames.step > 0 else pictures[::-1]
