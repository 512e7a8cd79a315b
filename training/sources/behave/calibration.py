"""Calibration of the four Kinects: lenses, and where they stand.

The world is the colour camera of Kinect 1 (x right, y down, z forward), metres.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import scale_intrinsics
from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from training.sources.picture_view import PictureView

__all__ = ["SequenceInfo", "make_view", "read_camera_from_world", "read_sequence_info"]

MAX_FILE_BYTES = 1 << 24
# Numbers of OpenCV's list: fx, fy, cx, cy come first.
_MODELS = {4: "plumb_bob", 5: "plumb_bob", 8: "rational_polynomial"}


@dataclasses.dataclass(frozen=True)
class SequenceInfo:
    """The `info.json` of a sequence.

    Args:
        target: Name of the object (`cat`).
        kinects: Numbers of its cameras.
        intrinsics: Folder with one folder per Kinect, or None.
        config: Folder of the poses, or None.
    """

    target: str
    kinects: tuple[int, ...]
    intrinsics: Path | None
    config: Path | None


def read_sequence_info(path: Path, root: Path) -> SequenceInfo:
    """Read `info.json`; its paths must stay inside the data set.

    Args:
        path: The file.
        root: Of the data set.

    Returns:
        What it says.

    Raises:
        InputError: If it cannot be read or a field is unusable.
    """
    fields = read_object(path)
    target, kinects = fields.get("cat"), fields.get("kinects", [0, 1, 2])
    if not isinstance(target, str) or not target.replace(" ", "").isalnum():
        raise InputError(f"info.json must name its object in cat, got {target!r}: {path}. Fix it.")
    if not isinstance(kinects, list) or not all(k in range(10) for k in kinects):
        raise InputError(f"info.json must list its kinects, got {kinects!r}: {path}. Fix it.")
    folders = {key: _find_folder(fields.get(key), root) for key in ("intrinsic", "config")}
    return SequenceInfo(target, tuple(kinects), folders["intrinsic"], folders["config"])


def make_view(intrinsics: Path | None, kinect: int, size_hw: tuple[int, int]) -> PictureView:
    """Make the view of a Kinect's colour camera with the lens undone.

    Args:
        intrinsics: Folder of the calibrations, or None.
        kinect: Its number.
        size_hw: Rows and columns of the pictures; the calibration is scaled to it.

    Returns:
        The view; without intrinsics where there is no calibration.

    Raises:
        InputError: If the calibration is unusable.
    """
    path = None if intrinsics is None else intrinsics / str(kinect) / "calibration.json"
    if path is None or not path.is_file():
        return PictureView(size_hw)
    color = read_object(path).get("color")
    try:
        camera = CameraIntrinsics(
            **{key: float(color[key]) for key in ("fx", "fy", "cx", "cy")},
            width=int(color["width"]),
            height=int(color["height"]),
        )
        bend = tuple(float(value) for value in color.get("opencv", [])[4:])
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f"calibration.json must hold color with fx, fy, cx, cy, width, height, got {error!r}: "
            f"{path}. Copy it again."
        ) from error
    distortion = LensDistortion(model=_MODELS[len(bend)], coefficients=bend) if bend else None
    return PictureView(size_hw, scale_intrinsics(camera, size_hw), distortion)


def read_camera_from_world(config: Path | None, kinect: int) -> NDArray[np.float64] | None:
    """Read where a Kinect stands.

    Args:
        config: Folder of the poses, or None.
        kinect: Its number.

    Returns:
        Camera from world, float (4, 4), metres; None where it is unknown.

    Raises:
        InputError: If the file is unusable.
    """
    path = None if config is None else config / str(kinect) / "config.json"
    if path is None or not path.is_file():
        return None
    fields = read_object(path)
    try:
        world_from_camera = np.eye(4)
        world_from_camera[:3, :3] = np.array(fields["rotation"], dtype=float).reshape(3, 3)
        world_from_camera[:3, 3] = np.array(fields["translation"], dtype=float).reshape(3)
        return np.linalg.inv(world_from_camera)
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"config.json must hold rotation and translation, got {error!r}: {path}. Copy again."
        ) from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        InputError: If it cannot be read or is none.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path.name} must have at most {MAX_FILE_BYTES} bytes: {path}.")
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path.name} must be a readable JSON file, got {error}: {path}. Copy it again."
        ) from error
    if not isinstance(fields, dict):
        raise InputError(f"{path.name} must hold an object, got {type(fields).__name__}: {path}.")
    return fields


def _find_folder(relative: Any, root: Path) -> Path | None:
    """Find a folder that is named from a sequence's own, `../../calibs/...`.

    Registrations are unpacked anywhere, so that only the way down from the root counts.
    """
    if relative is None:
        return None
    parts = list(PurePosixPath(str(relative)).parts)
    while parts and parts[0] == "..":
        del parts[0]
    if not parts or ".." in parts or parts[0] == "/" or "\\" in str(relative):
        raise InputError(
            f"paths of info.json must lead to folders of {root}, got {relative!r}. Correct it."
        )
    path = root.joinpath(*parts)
    return path if path.is_dir() else None
