"""Calibration of the four Kinects: lenses, and where they stand.

The world is the colour camera of Kinect 1 (x right, y down, z forward), metres.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import scale_intrinsics
from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from training.sources.field_values import find_inside, read_numbers, shorten
from training.sources.json_file import read_json_object
from training.sources.picture_view import PictureView

__all__ = ["SequenceInfo", "make_view", "read_camera_from_world", "read_sequence_info"]

MAX_TARGET_CHARACTERS = 60
ROTATION_TOLERANCE = 0.01
_LENS = ("fx", "fy", "cx", "cy", "width", "height")


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
    fields = read_json_object(path)
    target, kinects = fields.get("cat"), fields.get("kinects", [0, 1, 2])
    if not _is_target(target):
        shown = shorten(repr(target))
        raise InputError(f"info.json must name its object in cat, got {shown}: {path}. Fix it.")
    if not _are_kinects(kinects):
        shown = shorten(repr(kinects))
        raise InputError(f"info.json must list its kinects, got {shown}: {path}. Fix it.")
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
    color = read_json_object(path).get("color")
    color = color if isinstance(color, dict) else {}
    values = [color.get(key) for key in _LENS]
    numbers = read_numbers(values, (len(_LENS),), f"{', '.join(_LENS)} of color in {path}")
    camera = CameraIntrinsics(
        **dict(zip(_LENS[:4], numbers[:4].tolist(), strict=True)),
        width=int(numbers[4]),
        height=int(numbers[5]),
    )
    # fx, fy, cx, cy come first.
    bend = read_numbers(color.get("opencv", []), (-1,), f"opencv of color in {path}")[4:]
    return PictureView(size_hw, scale_intrinsics(camera, size_hw), _make_distortion(bend))


def _make_distortion(bend: NDArray[np.float64]) -> LensDistortion | None:
    if not len(bend):
        return None
    model = "plumb_bob" if len(bend) <= 5 else "rational_polynomial"
    return LensDistortion(model=model, coefficients=tuple(bend.tolist()))


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
    fields = read_json_object(path)
    world_from_camera = np.eye(4)
    turn = read_numbers(fields.get("rotation"), (3, 3), f"rotation of {path}")
    if not np.allclose(turn @ turn.T, np.eye(3), atol=ROTATION_TOLERANCE):
        raise InputError(f"rotation of {path} must be one, got a matrix that bends. Copy it again.")
    world_from_camera[:3, :3] = turn
    world_from_camera[:3, 3] = read_numbers(
        fields.get("translation"), (3,), f"translation of {path}"
    )
    return np.linalg.inv(world_from_camera)


def _is_target(name: Any) -> bool:
    """Tell whether a name can stand in the name of a folder."""
    if not isinstance(name, str) or len(name) > MAX_TARGET_CHARACTERS:
        return False
    return name.isascii() and name.replace(" ", "").isalnum()


def _are_kinects(numbers: Any) -> bool:
    is_list = isinstance(numbers, list) and 0 < len(numbers) == len(set(map(str, numbers)))
    return is_list and all(type(number) is int and 0 <= number < 10 for number in numbers)


def _find_folder(relative: Any, root: Path) -> Path | None:
    """Find a folder that is named from a sequence's own, `../../calibs/...`.

    Registrations are unpacked anywhere, so that only the way down from the root counts.
    """
    if relative is None:
        return None
    down = relative
    while isinstance(down, str) and down.startswith("../"):
        down = down[3:]
    path = find_inside(root, down or None, "path of info.json")
    return path if path.is_dir() else None
