"""Lenses of the GoPros: `trajectory/gopro_calibs.csv`."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from tavid_core.camera import scale_intrinsics
from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from training.sources.picture_view import PictureView

__all__ = ["GoProLens", "make_view", "parse_gopro_lenses", "read_gopro_lenses"]

FISHEYE = "KANNALABRANDTK3"
MAX_BYTES = 1 << 20

GoProLens = tuple[CameraIntrinsics, LensDistortion]


def read_gopro_lenses(path: Path) -> dict[str, GoProLens]:
    """Read the lenses of a take, see `parse_gopro_lenses`.

    Args:
        path: The file.

    Returns:
        By name of the camera.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path.name} must be a readable CSV file, got {error}. Copy it."
        ) from error
    return parse_gopro_lenses(text)


def parse_gopro_lenses(text: str) -> dict[str, GoProLens]:
    """Parse the lenses of a take.

    Args:
        text: CSV with `cam_uid`, `image_width`, `image_height`, `intrinsics_type` and
            `intrinsics_0` to `intrinsics_7`: fx, fy, cx, cy, k1 to k4.

    Returns:
        By name of the camera; those of another type or without finite numbers are left out.

    Raises:
        InputError: If columns are missing or it is no CSV.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(f"gopro_calibs.csv must be CSV, got {error}. Copy it again.") from error
    lenses = {}
    for row in rows:
        if not row.get("cam_uid") or row.get("intrinsics_type") is None:
            raise InputError(
                "gopro_calibs.csv must have cam_uid and intrinsics_type in every row, got a row "
                "without. Copy it again."
            )
        lens = _read_lens(row)
        if lens is not None:
            lenses[row["cam_uid"].strip()] = lens
    return lenses


def _read_lens(row: dict[str, str]) -> GoProLens | None:
    if row["intrinsics_type"].strip() != FISHEYE:
        return None
    try:
        numbers = [float(row[f"intrinsics_{index}"]) for index in range(8)]
        width, height = int(float(row["image_width"])), int(float(row["image_height"]))
        if not all(map(math.isfinite, numbers)):
            return None
        camera = CameraIntrinsics(
            fx=numbers[0], fy=numbers[1], cx=numbers[2], cy=numbers[3], width=width, height=height
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return camera, LensDistortion(model="equidistant", coefficients=tuple(numbers[4:]))


def make_view(
    lens: GoProLens | None,
    size_hw: tuple[int, int],
    window: tuple[int, int, int, int] | None = None,
) -> PictureView:
    """Make the view of a GoPro with the lens undone.

    Args:
        lens: Or None if it is unknown.
        size_hw: Rows and columns of the video; the calibration is scaled to it.
        window: Top, left, rows, columns of the straight picture to keep; None for all.

    Returns:
        The view; bent as it is where the lens is unknown.

    Raises:
        InputError: If the video is turned against its calibration.
    """
    if lens is None:
        return PictureView(size_hw, window=window)
    camera, distortion = lens
    if abs(camera.width * size_hw[0] / (camera.height * size_hw[1]) - 1) > 0.01:
        raise InputError(
            f"video must have the aspect of its calibration ({camera.width}x{camera.height}), got "
            f"{size_hw[1]}x{size_hw[0]}. Copy both again."
        )
    return PictureView(size_hw, scale_intrinsics(camera, size_hw), distortion, window)
