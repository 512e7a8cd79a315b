"""A stretch of a video without holes, at a steady rate and through a view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.sources.frame_choice import choose_frames, join_by_time
from training.sources.lazy_masks import LazyMasks
from training.sources.picture_view import PictureView

__all__ = ["FrameSource", "MaskLoader", "Stretch", "list_stretches"]

Mask = NDArray[np.bool_]
MaskLoader = Callable[[], Mask]


class FrameSource(Protocol):
    """Pictures with times: a video file, or a folder of pictures."""

    times_sec: NDArray[np.float64]
    size_hw: tuple[int, int]

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode frames, uint8 (len(indices), H, W, 3)."""
        ...


class Stretch:
    """Frames of a source that stand for moments of a steady rate.

    Args:
        source: Where frames are from.
        indices: Of its frames, one for each moment.
        view: What is seen of them.
    """

    def __init__(
        self, source: FrameSource, indices: NDArray[np.int64], view: PictureView | None = None
    ) -> None:
        self._source, self._indices = source, indices
        self.view = view or PictureView(source.size_hw)

    def __len__(self) -> int:
        """Count the moments."""
        return len(self._indices)

    @property
    def times_sec(self) -> NDArray[np.float64]:
        """When the frames were taken, on the source's clock."""
        return self._source.times_sec[self._indices]

    def part(self, start: int, stop: int) -> Stretch:
        """Take some moments only.

        Args:
            start: First moment.
            stop: Behind the last moment.

        Returns:
            A stretch of them.
        """
        return Stretch(self._source, self._indices[start:stop], self.view)

    def read_frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Decode the frames of moments.

        Args:
            start: First moment.
            stop: Behind the last moment.

        Returns:
            RGB, uint8 (stop - start, h, w, 3).
        """
        frames = self._source.read(self._indices[start:stop])
        return np.stack([self.view.apply(frame) for frame in frames])

    def join_masks(
        self, times_sec: Sequence[float], loaders: Sequence[MaskLoader], tolerance_sec: float
    ) -> LazyMasks:
        """Give moments the masks of their time.

        Args:
            times_sec: Of the masks, on the source's clock.
            loaders: What decodes each, bool (H, W) of the source's size.
            tolerance_sec: A mask farther away does not belong to a moment.

        Returns:
            Masks by moment, in the view.
        """
        pairs = join_by_time(self.times_sec, times_sec, tolerance_sec)
        return LazyMasks(
            {moment: _Viewed(loaders[entry], self.view) for moment, entry in pairs.items()}
        )


class _Viewed:
    def __init__(self, load: MaskLoader, view: PictureView) -> None:
        self._load, self._view = load, view

    def __call__(self) -> Mask:
        return self._view.apply_mask(self._load())


def list_stretches(
    source: FrameSource,
    fps: float,
    view: PictureView | None = None,
    *,
    start_sec: float | None = None,
) -> Iterator[Stretch]:
    """Split a source where frames are missing.

    Args:
        source: Where frames are from.
        fps: Moments per second.
        view: What is seen of them.
        start_sec: The first moment; None for the first frame.

    Yields:
        Its stretches in order.
    """
    for indices in choose_frames(source.times_sec, fps, start_sec=start_sec):
        yield Stretch(source, indices, view)
