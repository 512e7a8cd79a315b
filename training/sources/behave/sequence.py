"""One sequence of BEHAVE: up to four recordings, one for each Kinect.

Everything is joined by time: videos, annotations at 1 or 30 per second and frame folders have
other counts, and a registration may lack frames in the middle.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from training.sources.behave.annotations import (
    PERSON,
    TARGET,
    ObjectPath,
    list_masks,
    read_hands,
    read_object_path,
)
from training.sources.behave.calibration import (
    SequenceInfo,
    make_view,
    read_camera_from_world,
    read_sequence_info,
)
from training.sources.behave.contact import measure_contact, spread_contact
from training.sources.behave.frames import FolderFrames, TimedVideo, list_frame_folders
from training.sources.behave.sequence_name import SequenceName
from training.sources.recording import Recording, SourceNote
from training.sources.stretch import Stretch, list_stretches
from training.sources.touch import list_runs

__all__ = ["LICENCE", "SequenceJob"]

LICENCE = "BEHAVE: non-commercial research; blur faces in publications"
MASK_JOIN_SEC = 0.02
# Annotated frames farther apart than this say nothing about what lies between.
MAX_ANNOTATION_GAP_SEC = 1.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceJob:
    """A recorded sequence.

    Args:
        name: Of the sequence.
        root: Of the data set, with `calibs` and `objects`.
        frames: Its folder of frame folders, or None.
        videos: The folder of its videos, or None.
        masks: Folders of its masks at 30 per second.
        params: Folders of its registrations at 30 per second.
        fps: Moments per second wanted.
    """

    name: str
    root: Path
    frames: Path | None
    videos: Path | None
    masks: tuple[Path, ...] = ()
    params: tuple[Path, ...] = ()
    fps: float

    def inputs(self) -> tuple[object, ...]:
        """Say what decides the recordings; see `RecordingJob`."""
        videos = sorted(self.videos.glob(f"{self.name}.*")) if self.videos is not None else []
        shared = (self.root / "calibs", self.root / "objects")
        return self.fps, self.frames, videos, self.masks, self.params, shared

    def open(self) -> Iterator[Recording | SourceNote]:
        """Open the sequence and yield the recordings of its cameras.

        Yields:
            Recordings, and notes on what is missing.

        Raises:
            InputError: If no camera can be read.
        """
        info = self._read_info()
        folders = list_frame_folders(self.frames) if self.frames else []
        known = self._measure_contacts(folders, info)
        path = read_object_path(self.params)
        problems = []
        for kinect in info.kinects:
            try:
                source = self._open_camera(folders, kinect)
                yield from self._record(source, kinect, info, folders, known, path)
            except InputError as error:
                problems.append(error)
                yield SourceNote("camera that cannot be read", 1, f"k{kinect}: {error}")
        if len(problems) == len(info.kinects):
            raise InputError(f"{self.name} must have a camera that can be read, got: {problems[0]}")

    def _read_info(self) -> SequenceInfo:
        for folder in (self.frames, *self.params):
            if folder is not None and (folder / "info.json").is_file():
                return read_sequence_info(folder / "info.json", self.root)
        name = SequenceName.parse(self.name)
        if name is None:
            raise InputError(
                f"sequence must have an info.json or a name such as Date01_Sub01_boxtiny, got "
                f"{self.name}. Unpack it again."
            )
        calibs = self.root / "calibs"
        return SequenceInfo(
            name.target, (0, 1, 2, 3), calibs / "intrinsics", calibs / name.date / "config"
        )

    def _measure_contacts(
        self, folders: list[tuple[float, Path]], info: SequenceInfo
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        measured = [
            (time, measure_contact(folder, info.target, self.root / "objects"))
            for time, folder in folders
        ]
        known = [(time, touches) for time, touches in measured if touches is not None]
        return np.array([t for t, _ in known]), np.array([c for _, c in known], dtype=bool)

    def _open_camera(
        self, folders: list[tuple[float, Path]], kinect: int
    ) -> TimedVideo | FolderFrames:
        if self.videos is not None:
            video = self.videos / f"{self.name}.{kinect}.color.mp4"
            if video.is_file():
                return TimedVideo(video, self.videos / f"{self.name}.{kinect}.time.json")
        if self.frames is None:
            raise InputError(f"{self.name}.{kinect}.color.mp4 must exist, got none. Copy it.")
        return FolderFrames(folders, kinect)

    def _record(
        self,
        source: TimedVideo | FolderFrames,
        kinect: int,
        info: SequenceInfo,
        folders: list[tuple[float, Path]],
        known: tuple[NDArray[np.float64], NDArray[np.bool_]],
        path: ObjectPath | None,
    ) -> Iterator[Recording | SourceNote]:
        if source.num_missing:
            yield SourceNote("frames missing", source.num_missing, f"{self.name} k{kinect}")
        view = make_view(info.intrinsics, kinect, source.size_hw)
        camera_from_world = read_camera_from_world(info.config, kinect)
        masks = [
            list_masks(folders, self.masks, kinect, names, source.size_hw)
            for names in (TARGET, PERSON)
        ]
        # Annotations lie on whole seconds, or on their thirtieths.
        start_sec = float(np.ceil(source.times_sec[0] * self.fps - 1e-6) / self.fps)
        number = 0
        for whole in list_stretches(source, self.fps, view, start_sec=start_sec):
            for stretch, contact in _split_at_unknown(whole, known):
                target, actor = (stretch.join_masks(*m, tolerance_sec=MASK_JOIN_SEC) for m in masks)
                hands = None
                if contact is None:
                    hands = read_hands(folders, kinect, stretch.times_sec)
                truth = None
                if path is not None and camera_from_world is not None:
                    truth = path.reader(stretch.times_sec, camera_from_world)
                yield Recording(
                    name=f"{self.name}_k{kinect}_{number}",
                    fps=self.fps,
                    num_frames=len(stretch),
                    size_hw=view.size_hw,
                    read_frames=stretch.read_frames,
                    caption=self._caption(info),
                    target_masks=target,
                    actor_masks=actor,
                    contact=contact,
                    hand_pixels=None if hands is None else view.apply_points(hands),
                    camera=view.camera,
                    source="behave",
                    licence=LICENCE,
                    read_truth=truth,
                )
                number += 1

    def _caption(self, info: SequenceInfo) -> str:
        name = SequenceName.parse(self.name)
        return (name or SequenceName(self.name, "", info.target, "")).caption


def _split_at_unknown(
    stretch: Stretch, known: tuple[NDArray[np.float64], NDArray[np.bool_]]
) -> Iterator[tuple[Stretch, NDArray[np.bool_] | None]]:
    """Keep what lies between measured contacts; all of it where none was measured."""
    known_sec, touches = known
    if len(known_sec) < 2:
        yield stretch, None
        return
    contact, is_known = spread_contact(stretch.times_sec, known_sec, touches)
    after = np.clip(np.searchsorted(known_sec, stretch.times_sec - 1e-6), 1, len(known_sec) - 1)
    gaps_sec = known_sec[after] - known_sec[after - 1]
    is_known &= gaps_sec <= MAX_ANNOTATION_GAP_SEC
    for start, stop in list_runs(is_known):
        yield stretch.part(start, stop), contact[start:stop]
