"""A pack of the RHOBIN challenge: a video, its mask videos, and its registration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from training.sources.array_pickle import read_array_pickle
from training.sources.behave.sequence import LICENCE
from training.sources.behave.sequence_name import SequenceName
from training.sources.field_values import pick, read_numbers
from training.sources.mask_video import list_mask_frames
from training.sources.recording import Recording, SourceNote
from training.sources.safe_names import safe_name
from training.sources.stretch import Stretch, list_stretches
from training.sources.video_file import VideoFile

__all__ = ["PackJob", "list_pack_jobs"]

OBJECT_KEYS = ("obj_name", "object_name", "obj", "object", "cat")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackJob:
    """One video of a pack.

    Args:
        name: Its id.
        video: `ID.mp4`.
        actor: `ID_hum_mask.mp4`.
        target: `ID_obj_mask.mp4`.
        metadata: `ID_metadata.pkl` with the name of the object.
        truth: `ID_gt.pkl`; the test split has none.
        fps: Moments per second wanted.
    """

    name: str
    video: Path
    actor: Path
    target: Path
    metadata: Path
    truth: Path
    fps: float

    def open(self) -> Iterator[Recording | SourceNote]:
        """Open the pack.

        Yields:
            Its recording, and notes on what is missing.

        Raises:
            InputError: If a file cannot be read.
        """
        video = VideoFile(self.video)
        if video.num_missing:
            yield SourceNote("frames missing at the end", video.num_missing, self.video.name)
        masks = [list_mask_frames(path, video.size_hw) for path in (self.target, self.actor)]
        for (times, _), path in zip(masks, (self.target, self.actor), strict=True):
            if len(times) < len(video):
                yield SourceNote("masks missing", len(video) - len(times), path.name)
        truth = self._read_truth()
        for number, stretch in enumerate(list_stretches(video, self.fps)):
            target, actor = (stretch.join_masks(*m, tolerance_sec=0.5 / self.fps) for m in masks)
            yield Recording(
                name=f"{self.name}_{number}",
                fps=self.fps,
                num_frames=len(stretch),
                size_hw=stretch.view.size_hw,
                read_frames=stretch.read_frames,
                caption=SequenceName(self.name, "", self._read_target(), "").caption,
                target_masks=target,
                actor_masks=actor,
                source="behave",
                licence=LICENCE,
                read_truth=_make_reader(truth, stretch, video) if truth else None,
            )

    def _read_target(self) -> str:
        fields = read_array_pickle(self.metadata) if self.metadata.is_file() else {}
        values = [fields.get(key) for key in OBJECT_KEYS] if isinstance(fields, dict) else []
        return next((value for value in values if isinstance(value, str) and value), "object")

    def _read_truth(self) -> dict[str, NDArray[np.float64]]:
        if not self.truth.is_file():
            return {}
        fields = read_array_pickle(self.truth)
        kinds = (
            ("object_rotation_camera", "obj_rot", (-1, 3, 3)),
            ("object_translation_camera_m", "obj_trans", (-1, 3)),
        )
        return {
            name: read_numbers(
                pick(fields, key), shape, f"{key} of {self.truth.name}", allows_nan=True
            )
            for name, key, shape in kinds
        }


def _make_reader(
    truth: Mapping[str, NDArray[np.float64]], stretch: Stretch, video: VideoFile
) -> Callable[[int, int], Mapping[str, NDArray[np.float64]]]:
    """Give the poses of moments; a registration has one entry for each frame of its video."""
    frames = np.searchsorted(video.times_sec, stretch.times_sec - 1e-6)

    def read_truth(start: int, stop: int) -> Mapping[str, NDArray[np.float64]]:
        wanted = frames[start:stop]
        read = {}
        for key, values in truth.items():
            read[key] = np.full((len(wanted), *values.shape[1:]), np.nan)
            is_there = wanted < len(values)
            read[key][is_there] = values[wanted[is_there]]
        return read

    return read_truth


def list_pack_jobs(folder: Path, fps: float) -> list[PackJob]:
    """List the videos of a folder of packs.

    Args:
        folder: With `ID.mp4` and the files beside it, also in folders below (train, val, test).
        fps: Moments per second wanted.

    Returns:
        One job per video.

    Raises:
        InputError: If there is none, or one has no mask videos.
    """
    videos = [
        path
        for path in sorted(folder.rglob("*.mp4"))
        if not path.stem.endswith(("_hum_mask", "_obj_mask"))
    ]
    if not videos:
        raise InputError(f"packs must hold ID.mp4, got none in {folder}. Check the path.")
    jobs = []
    for path in videos:
        beside = {key: path.with_name(f"{path.stem}_{key}.mp4") for key in ("hum_mask", "obj_mask")}
        lacking = [mask.name for mask in beside.values() if not mask.is_file()]
        if lacking:
            raise InputError(f"{path.name} must have {lacking[0]} beside it. Unpack it again.")
        relative = path.relative_to(folder).with_suffix("").as_posix().replace("/", "_")
        jobs.append(
            PackJob(
                name=safe_name(relative),
                video=path,
                actor=beside["hum_mask"],
                target=beside["obj_mask"],
                metadata=path.with_name(f"{path.stem}_metadata.pkl"),
                truth=path.with_name(f"{path.stem}_gt.pkl"),
                fps=fps,
            )
        )
    return jobs
