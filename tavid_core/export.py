"""Plans and gripper paths in formats that other programs read."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.gripper_path import GripperPath
from tavid_core.motion import InteractionMotion, PointTrack

__all__ = ["write_gripper_csv", "write_motion_csv"]

MOTION_COLUMNS = (
    "frame",
    "time_sec",
    "name",
    "x_m",
    "y_m",
    "z_m",
    "qx",
    "qy",
    "qz",
    "qw",
    "aperture_m",
    "confidence",
)
GRIPPER_COLUMNS = (
    "time_sec",
    "phase",
    "x_m",
    "y_m",
    "z_m",
    "qx",
    "qy",
    "qz",
    "qw",
    "width_m",
)
_DIGITS = 7


def write_motion_csv(motion: InteractionMotion, fps: float, path: Path) -> None:
    """Write hands and target as a table: one row per frame and name, empty cells where unknown.

    Args:
        motion: What to write; positions in the optical frame.
        fps: Of its frames.
        path: File to write.

    Raises:
        OSError: If it cannot be written.
    """
    rows: list[list[str]] = []
    for track in (*motion.hands, motion.target):
        quaternions = track.quaternions_xyzw
        if track is motion.target and motion.target_dof == 6:
            quaternions = motion.target_quaternions_xyzw
        rows += _track_rows(track, quaternions, motion.apertures_m.get(track.name), fps)
    _write(path, MOTION_COLUMNS, rows)


def write_gripper_csv(path: GripperPath, file: Path) -> None:
    """Write a gripper's path as a table, one row per pose.

    Args:
        path: What to write.
        file: File to write.

    Raises:
        OSError: If it cannot be written.
    """
    rows = []
    for index, phase in enumerate(path.phases):
        pose = [*path.positions_m[index], *path.quaternions_xyzw[index], path.widths_m[index]]
        rows.append([_cell(path.times_sec[index]), phase, *map(_cell, pose)])
    _write(file, GRIPPER_COLUMNS, rows)


def _track_rows(
    track: PointTrack,
    quaternions_xyzw: NDArray[np.float32] | None,
    aperture_m: NDArray[np.float32] | None,
    fps: float,
) -> list[list[str]]:
    rows = []
    for frame, confidence in enumerate(track.confidence):
        turn = [np.nan] * 4 if quaternions_xyzw is None else quaternions_xyzw[frame]
        opening = np.nan if aperture_m is None else aperture_m[frame]
        numbers = [*track.positions_camera_m[frame], *turn, opening, confidence]
        rows.append([str(frame), _cell(frame / fps), track.name, *map(_cell, numbers)])
    return rows


def _cell(value: float) -> str:
    return f"{value:.{_DIGITS}g}" if np.isfinite(value) else ""


def _write(path: Path, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
