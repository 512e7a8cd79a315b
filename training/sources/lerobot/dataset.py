"""The tables of a LeRobot data set of format 3.

meta/info.json                                  rate, features, versions
meta/stats.json                                 smallest and largest value of every feature
meta/tasks.parquet                              what the episodes do
meta/episodes/chunk-000/file-000.parquet        where each episode lies
data/chunk-000/file-000.parquet                 states and actions of many episodes
videos/KEY/chunk-000/file-000.mp4               frames of many episodes
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, MissingExtraError
from training.sources.field_values import is_number, pick, shorten
from training.sources.json_file import read_json_file

__all__ = [
    "Episode",
    "GripperColumn",
    "LeRobotInfo",
    "data_path",
    "read_episodes",
    "read_gripper",
    "read_info",
    "video_path",
]

_KEY = re.compile(r"(?=.{1,100}$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
# Grippers of these close towards their larger value; those of most others towards the smaller.
CLOSED_IS_HIGH = ("droid", "franka", "panda")


@dataclasses.dataclass(frozen=True)
class GripperColumn:
    """Where the gripper's opening stands.

    Args:
        feature: Column of the table.
        index: Which of its numbers.
        open_value: When wide open.
        closed_value: When closed.
    """

    feature: str
    index: int
    open_value: float
    closed_value: float


@dataclasses.dataclass(frozen=True)
class LeRobotInfo:
    """What holds for the whole data set.

    Args:
        fps: Frames and rows per second.
        cameras: Features that are colour videos.
        gripper: Where its opening stands; None if no feature names one.
    """

    fps: float
    cameras: tuple[str, ...]
    gripper: GripperColumn | None


@dataclasses.dataclass(frozen=True)
class Episode:
    """Where one episode lies.

    Args:
        index: Its number.
        length: Frames.
        task: What it does, or "".
        data_file: Numbers of chunk and file of its rows.
        videos: By camera: numbers of chunk and file, first and last moment in it, seconds.
    """

    index: int
    length: int
    task: str
    data_file: tuple[int, int]
    videos: Mapping[str, tuple[int, int, float, float]]


def read_info(root: Path, *, closed: str = "auto") -> LeRobotInfo:
    """Read `meta/info.json` and `meta/stats.json`.

    Args:
        root: Of the data set.
        closed: Which end of its values a closed gripper has: "low", "high", or "auto" for what
            the kind of robot says.

    Returns:
        What holds for the whole data set.

    Raises:
        InputError: If a file is missing or damaged, or it has another format.
    """
    fields = read_json_file(root / "meta" / "info.json")
    if not isinstance(fields, dict) or not str(fields.get("codebase_version")).startswith("v3."):
        version = fields.get("codebase_version") if isinstance(fields, dict) else None
        raise InputError(
            f"LeRobot data set must have format v3.x, got {shorten(repr(version))}. "
            "Convert it with LeRobot's own converter."
        )
    for key, known in (("data_path", DATA_PATH), ("video_path", VIDEO_PATH)):
        if fields.get(key) not in (None, known):
            raise InputError(
                f"{key} must be {known}, got {shorten(repr(fields[key]))}. Rename the files."
            )
    fps, features = fields.get("fps"), fields.get("features")
    if not is_number(fps) or fps <= 0 or not isinstance(features, dict):
        raise InputError("info.json must hold fps and features, got none. Copy it again.")
    cameras = tuple(sorted(key for key, feature in features.items() if _is_camera(feature)))
    unsafe = [key for key in cameras if not _KEY.fullmatch(key)]
    if unsafe or not cameras:
        raise InputError(
            f"info.json must name cameras by letters, digits, dots, - and _, got "
            f"{shorten(unsafe or 'none')}. Use a data set with videos."
        )
    is_high = str(fields.get("robot_type")).lower().startswith(CLOSED_IS_HIGH)
    high = closed == "high" or (closed == "auto" and is_high)
    return LeRobotInfo(float(fps), cameras, _find_gripper(root, features, high))


def _is_camera(feature: Any) -> bool:
    if not isinstance(feature, dict) or feature.get("dtype") != "video":
        return False
    details = feature.get("info") or feature.get("video_info")
    return not (isinstance(details, dict) and details.get("video.is_depth_map") is True)


def _find_gripper(root: Path, features: dict[str, Any], is_high: bool) -> GripperColumn | None:
    path = root / "meta" / "stats.json"
    stats = read_json_file(path) if path.is_file() else {}
    for feature in ("observation.state", "action"):
        names = _flatten_names(features.get(feature))
        index = next((i for i, name in enumerate(names) if "gripper" in name.lower()), None)
        if index is None:
            continue
        ends = [pick(stats, feature, key, index) for key in ("min", "max")]
        if all(map(is_number, ends)) and ends[0] < ends[1]:
            low, high = map(float, ends)
            return GripperColumn(feature, index, *((low, high) if is_high else (high, low)))
    return None


def _flatten_names(feature: Any) -> list[str]:
    """List the names of a feature's numbers; some data sets nest them under `motors` or `axes`."""
    names = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    return [str(name) for name in names] if isinstance(names, list) else []


def read_episodes(root: Path, cameras: Sequence[str]) -> list[Episode]:
    """Read where the episodes lie.

    Args:
        root: Of the data set.
        cameras: Whose videos are wanted.

    Returns:
        The episodes in order.

    Raises:
        InputError: If there is none, or a table is damaged.
    """
    columns = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
    parts = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
    columns += [f"videos/{camera}/{part}" for camera in cameras for part in parts]
    rows = [
        row
        for path in sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
        for row in _read_rows(path, columns)
    ]
    if not rows:
        raise InputError(f"{root} must hold meta/episodes, got none. Download the whole data set.")
    try:
        episodes = [
            Episode(
                index=int(row["episode_index"]),
                length=int(row["length"]),
                task=next((str(task) for task in row["tasks"] or ()), ""),
                data_file=(int(row["data/chunk_index"]), int(row["data/file_index"])),
                videos={
                    camera: (
                        *(int(row[f"videos/{camera}/{part}"]) for part in parts[:2]),
                        *(float(row[f"videos/{camera}/{part}"]) for part in parts[2:]),
                    )
                    for camera in cameras
                },
            )
            for row in rows
        ]
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"meta/episodes must be filled, got {error}. Download it again."
        ) from error
    return sorted(episodes, key=lambda episode: episode.index)


def data_path(root: Path, episode: Episode) -> Path:
    """Say where the rows of an episode lie.

    Args:
        root: Of the data set.
        episode: Which.

    Returns:
        The table, of many episodes.
    """
    chunk, file = episode.data_file
    return root / DATA_PATH.format(chunk_index=chunk, file_index=file)


def video_path(root: Path, episode: Episode, camera: str) -> Path:
    """Say where the frames of an episode lie.

    Args:
        root: Of the data set.
        episode: Which.
        camera: One of `episode.videos`.

    Returns:
        The video, of many episodes.
    """
    chunk, file, _, _ = episode.videos[camera]
    return root / VIDEO_PATH.format(video_key=camera, chunk_index=chunk, file_index=file)


def read_gripper(
    root: Path, episode: Episode, column: GripperColumn
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read how far the gripper was closed.

    Args:
        root: Of the data set.
        episode: Which.
        column: Where it stands.

    Returns:
        Times, seconds from the episode's start, and shares, 0 open to 1 closed, both float (T,).

    Raises:
        InputError: If the table is damaged or lacks the episode.
    """
    path = data_path(root, episode)
    columns = ["timestamp", column.feature]
    rows = _read_rows(path, columns, [("episode_index", "=", episode.index)])
    try:
        times_sec = np.array([row["timestamp"] for row in rows], dtype=np.float64).reshape(-1)
        values = np.array([row[column.feature][column.index] for row in rows], dtype=np.float64)
    except (TypeError, IndexError, ValueError) as error:
        raise InputError(f"{path.name} must hold {columns}, got {error}. Copy it again.") from error
    if not len(values):
        raise InputError(
            f"{path.name} must hold episode {episode.index}, got no rows of it. Copy it again."
        )
    way = column.closed_value - column.open_value
    return times_sec, (values - column.open_value) / way


def _read_rows(
    path: Path, columns: list[str], filters: list[tuple[str, str, int]] | None = None
) -> list[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError.of("pyarrow", "data") from error
    try:
        table = pyarrow.parquet.read_table(path, columns=columns, filters=filters)
        lacking = sorted(set(columns) - set(table.column_names))
        if lacking:
            raise InputError(f"{path.name} must have the columns {lacking}, got none: {path}.")
        return table.to_pylist()
    except InputError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path.name} must be a readable parquet file, got {error}: {path}. Copy it again."
        ) from error
