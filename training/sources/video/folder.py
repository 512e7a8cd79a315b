"""A folder of videos with masks.

For a video `NAME.mp4` (or .mov, .mkv, .avi, .webm) these lie beside it:

    NAME_mask.png       the target in the first frame; or NAME_mask.mp4, one mask per frame; or the
                        folder NAME_mask with masks by number of the frame, from 0: 000012.png
    NAME_actor.*        the actor, in the same ways; may be missing
    NAME.txt            the caption, where no list of captions names the video
    NAME.camera.json    intrinsics fx, fy, cx, cy, width, height; may be missing
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import scale_intrinsics
from tavid_core.errors import InputError
from tavid_core.files import read_camera
from tavid_core.types import CameraIntrinsics
from training.sources.lazy_masks import LazyMasks, read_mask_picture
from training.sources.mask_video import list_mask_frames
from training.sources.picture_view import PictureView
from training.sources.recording import Recording, SourceNote
from training.sources.safe_names import safe_name
from training.sources.still_target import hold_masks
from training.sources.stretch import MaskLoader, Stretch, list_stretches
from training.sources.video.captions import VideoNote
from training.sources.video_file import VideoFile

__all__ = ["VideoJob", "list_video_jobs"]

VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".avi", ".webm")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
MASK, ACTOR = "_mask", "_actor"
MAX_TEXT_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One video with what lies beside it.

    Args:
        name: Unique within the folder.
        video: The file.
        mask: Target: a picture, a video, or a folder of pictures; or None.
        actor: Actor, likewise; or None.
        camera: Intrinsics; or None.
        note: Caption and contact.
        note_file: Where the caption lies beside the video; or None.
        fps: Moments per second wanted.
        source: Name of the data set.
        licence: Of the data set.
    """

    name: str
    video: Path
    mask: Path | None
    actor: Path | None
    camera: Path | None
    note: VideoNote
    note_file: Path | None
    fps: float
    source: str
    licence: str

    def open(self) -> Iterator[Recording | SourceNote]:
        """Open the video and yield its stretches.

        Yields:
            One recording, or several where frames are missing, and a note if it was cut off.

        Raises:
            InputError: If the video or a mask cannot be read, or is too slow.
        """
        video = VideoFile(self.video)
        if video.num_missing:
            yield SourceNote("frames missing at the end", video.num_missing, self.video.name)
        view = PictureView(video.size_hw, self._read_camera(video.size_hw))
        target = _list_masks(self.mask, video) if self.mask else ([], [])
        actor = _list_masks(self.actor, video) if self.actor else ([], [])
        for number, stretch in enumerate(list_stretches(video, self.fps, view)):
            yield Recording(
                name=f"{self.name}_{number}",
                fps=self.fps,
                num_frames=len(stretch),
                size_hw=view.size_hw,
                read_frames=stretch.read_frames,
                caption=self.note.text,
                target_masks=self._find_target(stretch, target),
                actor_masks=self._join(stretch, actor),
                contact=self._find_contact(stretch),
                camera=view.camera,
                source=self.source,
                licence=self.licence,
            )

    def _find_target(
        self, stretch: Stretch, masks: tuple[list[float], list[MaskLoader]]
    ) -> Mapping[int, NDArray[np.bool_]]:
        joined = self._join(stretch, masks)
        if list(joined) != [0]:
            return joined
        return hold_masks(stretch.read_frames, len(stretch), joined)

    def _join(self, stretch: Stretch, masks: tuple[list[float], list[MaskLoader]]) -> LazyMasks:
        return stretch.join_masks(*masks, tolerance_sec=0.5 / self.fps)

    def _find_contact(self, stretch: Stretch) -> np.ndarray | None:
        if self.note.contact_sec is None:
            return None
        return stretch.times_sec >= self.note.contact_sec - 1e-6

    def _read_camera(self, size_hw: tuple[int, int]) -> CameraIntrinsics | None:
        if self.camera is None:
            return None
        camera = read_camera(self.camera, self.camera.name)
        if abs(camera.width * size_hw[0] / (camera.height * size_hw[1]) - 1) > 0.01:
            raise InputError(
                f"{self.camera.name} must have the aspect of {size_hw[1]}x{size_hw[0]}, got "
                f"{camera.width}x{camera.height}. Write the size it was measured at."
            )
        return scale_intrinsics(camera, size_hw)


def _list_masks(path: Path, video: VideoFile) -> tuple[list[float], list[MaskLoader]]:
    """List masks with their times on the video's clock."""
    if path.is_dir():
        return _list_numbered(path, video)
    if path.suffix.lower() in PICTURE_ENDINGS:
        return [0.0], [functools.partial(read_mask_picture, path, video.size_hw)]
    return list_mask_frames(path, video.size_hw)


def _list_numbered(folder: Path, video: VideoFile) -> tuple[list[float], list[MaskLoader]]:
    times, loaders = [], []
    for path in sorted(folder.iterdir()):
        found = re.search(r"(\d{1,9})$", path.stem)
        if path.suffix.lower() not in PICTURE_ENDINGS or found is None:
            continue
        index = int(found[1])
        if index >= len(video):
            raise InputError(
                f"{folder.name} must hold masks of frames 0 to {len(video) - 1}, got "
                f"{path.name}. Number them from 0."
            )
        times.append(float(video.times_sec[index]))
        loaders.append(functools.partial(read_mask_picture, path, video.size_hw))
    return times, loaders


def list_video_jobs(
    folder: Path,
    fps: float,
    *,
    notes: Mapping[str, VideoNote] | None = None,
    caption: str | None = None,
    source: str = "video",
    licence: str = "unknown",
    needs_masks: bool = True,
) -> list[VideoJob]:
    """List the videos of a folder and of the folders in it.

    Args:
        folder: See the module.
        fps: Moments per second wanted.
        notes: Captions by file name, or by path within the folder.
        caption: For videos without one of their own.
        source: Name of the data set.
        licence: Of the data set.
        needs_masks: Whether every video must have a mask of its target.

    Returns:
        One job per video that is no mask.

    Raises:
        InputError: If there is no video, one has no mask or no caption, or notes name none.
    """
    if not folder.is_dir():
        raise InputError(f"folder must exist, got {folder}. Check the path.")
    videos = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in VIDEO_ENDINGS and not path.stem.endswith((MASK, ACTOR))
    ]
    if not videos:
        raise InputError(f"folder must hold videos, got none in {folder}. Check the path.")
    relative = {path: path.relative_to(folder).as_posix() for path in videos}
    unknown = sorted(set(notes or {}) - {*relative.values(), *(path.name for path in videos)})
    if unknown:
        raise InputError(
            f"captions must name videos of {folder}, got {unknown[:5]}. Correct the names."
        )
    jobs = []
    for path in videos:
        jobs.append(
            VideoJob(
                name=safe_name(str(Path(relative[path]).with_suffix("")).replace("/", "_")),
                video=path,
                mask=_find_mask(path, is_needed=needs_masks),
                actor=_find_beside(path, ACTOR),
                camera=_existing(path.with_name(f"{path.stem}.camera.json")),
                note=_find_note(path, relative[path], notes or {}, caption),
                note_file=_existing(path.with_suffix(".txt")),
                fps=fps,
                source=source,
                licence=licence,
            )
        )
    return jobs


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _find_mask(video: Path, *, is_needed: bool) -> Path | None:
    mask = _find_beside(video, MASK)
    if mask is None and is_needed:
        raise InputError(
            f"{video.name} must have a mask beside it, got no {video.stem}{MASK}.png, .mp4 or "
            "folder. Draw one (tavid segment), or use --clicks or --masks-from-motion."
        )
    return mask


def _find_beside(video: Path, ending: str) -> Path | None:
    for suffix in (*PICTURE_ENDINGS, *VIDEO_ENDINGS):
        path = video.with_name(f"{video.stem}{ending}{suffix}")
        if path.is_file():
            return path
    path = video.with_name(f"{video.stem}{ending}")
    return path if path.is_dir() else None


def _find_note(
    video: Path, relative: str, notes: Mapping[str, VideoNote], caption: str | None
) -> VideoNote:
    note = notes.get(relative) or notes.get(video.name)
    beside = video.with_suffix(".txt")
    if note is not None:
        return note
    if beside.is_file():
        text = beside.read_bytes()[:MAX_TEXT_BYTES].decode("utf-8", "replace").strip()
        if text:
            return VideoNote(text)
    if caption:
        return VideoNote(caption)
    raise InputError(
        f"{video.name} must have a caption, got none. Write {beside.name}, or use --captions or "
        "--caption."
    )
