"""One episode of a LeRobot data set: a recording for each of its cameras."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from training.sources.frame_choice import join_by_time
from training.sources.lerobot.dataset import (
    Episode,
    LeRobotInfo,
    data_path,
    read_episodes,
    read_gripper,
    read_info,
    video_path,
)
from training.sources.lerobot.gripper import find_grasps
from training.sources.recording import Recording, SourceNote
from training.sources.safe_names import safe_name
from training.sources.stretch import list_stretches
from training.sources.video_file import VideoFile

__all__ = ["EpisodeJob", "list_episode_jobs"]


class _EpisodeFrames:
    """The frames of one episode within a video of many."""

    def __init__(self, video: VideoFile, from_sec: float, to_sec: float) -> None:
        half_sec = 0.5 * float(np.median(np.diff(video.times_sec))) if len(video) > 1 else 0.0
        times_sec = video.times_sec
        is_inside = (times_sec >= from_sec - half_sec) & (times_sec < to_sec - half_sec)
        self._video, self._indices = video, np.nonzero(is_inside)[0]
        self.times_sec: NDArray[np.float64] = times_sec[is_inside] - from_sec
        self.size_hw = video.size_hw

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._video.read(self._indices[np.asarray(indices, dtype=np.int64)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodeJob:
    """An episode.

    Args:
        name: Unique within the data set.
        root: Of the data set.
        info: What holds for all of it.
        episode: Where it lies.
        cameras: Whose recordings are wanted.
        caption: With `{task}` for what the episode does.
        fps: Moments per second wanted.
        source: Name of the data set.
        licence: Of the data set.
    """

    name: str
    root: Path
    info: LeRobotInfo
    episode: Episode
    cameras: tuple[str, ...]
    caption: str
    fps: float
    source: str
    licence: str

    def inputs(self) -> dict[str, object]:
        """Say what decides the recordings; see `RecordingJob`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        files = [data_path(self.root, self.episode)]
        files += [video_path(self.root, self.episode, camera) for camera in self.cameras]
        return {**fields, "root": files}

    def open(self) -> Iterator[Recording | SourceNote]:
        """Open the episode and yield a recording for each camera, without masks.

        Yields:
            Recordings, and notes on what is missing.

        Raises:
            InputError: If a video or a table cannot be read.
        """
        grasps = None
        if self.info.gripper is None:
            yield SourceNote("no gripper is named", 1, self.name, is_loss=False)
        else:
            times_sec, closed_share = read_gripper(self.root, self.episode, self.info.gripper)
            grasps = times_sec, find_grasps(closed_share)
        for camera in self.cameras:
            yield from self._record(camera, grasps)

    def _record(
        self, camera: str, grasps: tuple[NDArray[np.float64], NDArray[np.bool_]] | None
    ) -> Iterator[Recording | SourceNote]:
        _, _, from_sec, to_sec = self.episode.videos[camera]
        video = VideoFile(video_path(self.root, self.episode, camera))
        frames = _EpisodeFrames(video, from_sec, to_sec)
        num_missing = self.episode.length - len(frames.times_sec)
        if num_missing > 0:
            yield SourceNote("frames missing", num_missing, f"{self.name} {camera}")
        if not len(frames.times_sec):
            return
        task = self.episode.task.strip().rstrip(".") or "move the object"
        for number, stretch in enumerate(list_stretches(frames, self.fps)):
            contact = None
            if grasps is not None:
                contact = np.zeros(len(stretch), dtype=bool)
                for moment, row in join_by_time(stretch.times_sec, grasps[0], 1.0).items():
                    contact[moment] = grasps[1][row]
            yield Recording(
                name=safe_name(
                    f"{self.name}_{camera.removeprefix('observation.images.')}_{number}"
                ),
                fps=self.fps,
                num_frames=len(stretch),
                size_hw=stretch.view.size_hw,
                read_frames=stretch.read_frames,
                caption=self.caption.replace("{task}", task),
                target_masks={},
                contact=contact,
                source=self.source,
                licence=self.licence,
            )


def list_episode_jobs(
    root: Path,
    fps: float,
    *,
    cameras: Sequence[str] | None = None,
    closed: str = "auto",
    caption: str = "A robot arm carries out the task: {task}.",
    source: str = "lerobot",
    licence: str = "unknown",
) -> list[EpisodeJob]:
    """List the episodes of a data set.

    Args:
        root: Of the data set.
        fps: Moments per second wanted.
        cameras: Features such as `observation.images.front`; None for all.
        closed: Which end a closed gripper has: "low", "high" or "auto".
        caption: With `{task}` for what an episode does.
        source: Name of the data set.
        licence: Of the data set.

    Returns:
        One job per episode.

    Raises:
        InputError: If the data set cannot be read or lacks a camera.
    """
    info = read_info(root, closed=closed)
    wanted = tuple(cameras) if cameras else info.cameras
    unknown = sorted(set(wanted) - set(info.cameras))
    if unknown:
        raise InputError(
            f"cameras must be among {', '.join(info.cameras)}, got {unknown}. Correct the names."
        )
    return [
        EpisodeJob(
            name=f"episode_{episode.index:06d}",
            root=root,
            info=info,
            episode=episode,
            cameras=wanted,
            caption=caption,
            fps=fps,
            source=source,
            licence=licence,
        )
        for episode in read_episodes(root, wanted)
    ]
