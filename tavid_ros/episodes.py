"""Recorded episodes as a camera's pictures: videos with masks, captions and moments of contact.

The layout of a folder is that of docs/data.md: NAME.mp4, NAME_mask.mp4 or NAME_mask.png (of the
first frame), NAME_actor.* likewise, NAME.camera.json, and captions.csv with file_name, text and
contact_sec. All but the video may be missing.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.files import read_camera, read_mask
from tavid_core.types import CameraIntrinsics
from tavid_ros.video_frames import read_video_frames

__all__ = ["Episode", "EpisodeFrame", "list_episodes"]

_MASK, _ACTOR = "_mask", "_actor"
_CAPTIONS = "captions.csv"
_DEMAND = "path must hold video files"
_MAX_CAPTIONS_BYTES = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodeFrame:
    """One moment of an episode.

    Args:
        image: RGB, uint8 (H, W, 3).
        target_mask: bool (H, W), or None if unknown at this moment.
        actor_mask: bool (H, W), or None if unknown at this moment.
        is_contact: Whether the actor touches the target; None if unknown.
        is_last: Whether the episode ends here.
    """

    image: NDArray[np.uint8]
    target_mask: NDArray[np.bool_] | None
    actor_mask: NDArray[np.bool_] | None
    is_contact: bool | None
    is_last: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Episode:
    """One video with what lies beside it.

    Args:
        video: The file.
        text: What happens, "" if unknown.
        contact_sec: When the actor touches the target, from the start; None if unknown.
    """

    video: Path
    text: str
    contact_sec: float | None

    def read_camera(self) -> CameraIntrinsics | None:
        """Read the intrinsics, where there are some.

        Raises:
            InputError: If the file cannot be used.
        """
        path = self.video.with_suffix(".camera.json")
        return read_camera(path) if path.is_file() else None

    def frames(self) -> Iterator[EpisodeFrame]:
        """Decode the frames, one after the other.

        Yields:
            At least one.

        Raises:
            InputError: If the video or a mask cannot be read, or sizes differ.
        """
        images = read_video_frames(self.video, _DEMAND)
        following = next(images, None)
        if following is None:
            raise InputError(f"video must hold frames, got none: {self.video}. Check it.")
        size_hw = following[1].shape[:2]
        targets, actors = self._read_masks(_MASK, size_hw), self._read_masks(_ACTOR, size_hw)
        while following is not None:
            time_sec, image = following
            following = next(images, None)
            yield EpisodeFrame(
                image=image,
                target_mask=self._check(next(targets, None), size_hw),
                actor_mask=self._check(next(actors, None), size_hw),
                is_contact=self._is_contact(time_sec),
                is_last=following is None,
            )

    def _is_contact(self, time_sec: float) -> bool | None:
        return None if self.contact_sec is None else time_sec >= self.contact_sec - 1e-6

    def _read_masks(self, ending: str, size_hw: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
        stem = self.video.with_name(self.video.stem + ending)
        if stem.with_suffix(".mp4").is_file():
            # Compression leaves noise; half the range is far from it.
            frames = read_video_frames(stem.with_suffix(".mp4"), _DEMAND)
            return (image.max(axis=2) > 127 for _, image in frames)
        if stem.with_suffix(".png").is_file():
            return iter([read_mask(stem.with_suffix(".png"), size_hw)])
        return iter([])

    def _check(
        self, mask: NDArray[np.bool_] | None, size_hw: tuple[int, int]
    ) -> NDArray[np.bool_] | None:
        if mask is not None and mask.shape != size_hw:
            raise InputError(
                f"masks must have the video's {size_hw[1]}x{size_hw[0]} pixels, got "
                f"{mask.shape[1]}x{mask.shape[0]} beside {self.video}. Draw them on its frames."
            )
        return mask


def list_episodes(folder: Path) -> list[Episode]:
    """List the episodes of a folder, by name.

    Args:
        folder: See the module.

    Returns:
        At least one.

    Raises:
        InputError: If there is none, or captions.csv cannot be used.
    """
    videos = [
        path for path in sorted(folder.glob("*.mp4")) if not path.stem.endswith((_MASK, _ACTOR))
    ]
    if not videos:
        raise InputError(f"path must be a folder of videos (.mp4), got none in {folder}. Check it.")
    notes = _read_captions(folder / _CAPTIONS)
    return [
        Episode(
            video=path,
            text=notes.get(path.name, {}).get("text") or "",
            contact_sec=_read_seconds(notes.get(path.name, {}).get("contact_sec")),
        )
        for path in videos
    ]


def _read_captions(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MAX_CAPTIONS_BYTES:
            raise InputError(
                f"{_CAPTIONS} must be below {_MAX_CAPTIONS_BYTES} bytes, got {path}. Split it."
            )
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{_CAPTIONS} must be a CSV file, got {error}: {path}. Repair it."
        ) from error
    return {row.get("file_name") or "": row for row in rows}


def _read_seconds(text: str | None) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(
            f"contact_sec must be seconds from the start, got {text[:40]!r}. Leave it empty where "
            "unknown."
        )
    return seconds
