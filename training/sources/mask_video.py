"""Masks in a grey video, one for each frame of the video they belong to."""

from __future__ import annotations

import functools
from pathlib import Path

from training.sources.lazy_masks import resize_mask
from training.sources.stretch import Mask, MaskLoader
from training.sources.video_file import VideoFile

__all__ = ["list_mask_frames"]


def list_mask_frames(path: Path, size_hw: tuple[int, int]) -> tuple[list[float], list[MaskLoader]]:
    """List the masks of a video.

    Args:
        path: The video.
        size_hw: Rows and columns of the frames they belong to.

    Returns:
        Times, seconds, and what decodes each.

    Raises:
        InputError: If it cannot be opened.
    """
    masks = VideoFile(path)
    loaders = [functools.partial(_read, masks, index, size_hw) for index in range(len(masks))]
    return masks.times_sec.tolist(), loaders


def _read(masks: VideoFile, index: int, size_hw: tuple[int, int]) -> Mask:
    # Compression softens edges and leaves noise in the dark; half the range is far from both.
    mask = masks.read([index])[0].max(axis=2) > 127
    return resize_mask(mask, size_hw, masks.path.name)
