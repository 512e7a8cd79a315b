"""What is annotated in a sequence, by time: masks, hands, poses of the object."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tavid_core.errors import InputError
from training.sources.behave.frames import parse_frame_time
from training.sources.field_values import read_numbers
from training.sources.frame_choice import join_by_time
from training.sources.json_file import read_json_object
from training.sources.lazy_masks import read_mask_picture
from training.sources.npz_file import read_npz
from training.sources.stretch import MaskLoader

__all__ = ["MaskTimes", "ObjectPath", "list_masks", "read_hands", "read_object_path"]

# Half a frame of 30 per second: what belongs to a frame bears its time to the millisecond.
JOIN_SEC = 0.017
PERSON = ("person_mask",)
TARGET = ("obj_rend_mask", "obj_mask")
MIN_SCORE = 0.3
NUM_HAND_POINTS = 44  # 21 of each hand, two wrists

MaskTimes = tuple[list[float], list[MaskLoader]]


def list_masks(
    frames: Sequence[tuple[float, Path]],
    folders: Sequence[Path],
    kinect: int,
    names: Sequence[str],
    size_hw: tuple[int, int],
) -> MaskTimes:
    """List the masks of one camera, from frame folders and from folders of masks.

    Args:
        frames: Times and frame folders.
        folders: Of masks such as `t0003.033-k1.person_mask.png`.
        kinect: Which camera.
        names: Kinds of masks, the first that exists counts: `PERSON` or `TARGET`.
        size_hw: Rows and columns of the frames.

    Returns:
        Times, seconds, and what decodes each.
    """
    found: dict[float, Path] = {}
    endings = [f"{name}.{kind}" for name in names for kind in ("png", "jpg")]
    for time, folder in frames:
        paths = (folder / f"k{kinect}.{ending}" for ending in endings)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            found[time] = path
    pattern = re.compile(rf"(t[0-9.]+)-k{kinect}\.({'|'.join(re.escape(e) for e in endings)})")
    for folder in folders:
        for path in sorted(folder.iterdir(), key=lambda path: _rank(path, endings), reverse=True):
            match = pattern.fullmatch(path.name)
            time = parse_frame_time(match[1]) if match else None
            if time is not None:
                found[time] = path
    times = sorted(found)
    return times, [functools.partial(read_mask_picture, found[t], size_hw) for t in times]


def _rank(path: Path, endings: Sequence[str]) -> tuple[int, str]:
    rank = next((i for i, e in enumerate(endings) if path.name.endswith(f".{e}")), len(endings))
    return rank, path.name


def read_hands(
    frames: Sequence[tuple[float, Path]], kinect: int, times_sec: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Read hands that OpenPose found, from `kK.color.json`.

    Args:
        frames: Times and frame folders.
        kinect: Which camera.
        times_sec: Of the moments wanted.

    Returns:
        Columns and rows, float (T, 44, 2), pixels; NaN where not seen. None if there are none.

    Raises:
        InputError: If a file is damaged.
    """
    present = [(t, folder / f"k{kinect}.color.json") for t, folder in frames]
    present = [(time, path) for time, path in present if path.is_file()]
    pairs = join_by_time(times_sec, [time for time, _ in present], JOIN_SEC)
    if not pairs:
        return None
    hands = np.full((len(times_sec), NUM_HAND_POINTS, 2), np.nan)
    for moment, entry in pairs.items():
        hands[moment] = _read_hand_points(present[entry][1])
    return hands


def _read_hand_points(path: Path) -> NDArray[np.float64]:
    fields = read_json_object(path)
    points = np.full((NUM_HAND_POINTS, 3), np.nan)

    def read_joints(key: str) -> NDArray[np.float64]:
        values = fields.get(key) or []
        return read_numbers(values, (-1, 3), f"{key} of {path}", allows_nan=True)

    for key, first in (("left_hand_joints", 0), ("right_hand_joints", 21)):
        hand = read_joints(key)[:21]
        points[first : first + len(hand)] = hand
    body = read_joints("body_joints")
    if len(body) > 7:
        points[42:] = body[[4, 7]]
    is_seen = points[:, 2] >= MIN_SCORE
    return np.where(is_seen[:, None], points[:, :2], np.nan)


class ObjectPath:
    """Poses of the object by time, in the world of the data set.

    Args:
        times_sec: float (N,), seconds.
        rotations: float (N, 3, 3).
        translations_m: float (N, 3), metres.
    """

    def __init__(
        self,
        times_sec: NDArray[np.float64],
        rotations: NDArray[np.float64],
        translations_m: NDArray[np.float64],
    ) -> None:
        self._times_sec, self._rotations = times_sec, rotations
        self._translations_m = translations_m

    def reader(
        self, times_sec: NDArray[np.float64], camera_from_world: NDArray[np.float64]
    ) -> Callable[[int, int], Mapping[str, NDArray[np.float64]]]:
        """Make what reads the truth of a recording.

        Args:
            times_sec: Of its moments.
            camera_from_world: float (4, 4), metres.

        Returns:
            Gives `object_rotation_camera` (T, 3, 3) and `object_translation_camera_m` (T, 3); NaN
            where the object is not registered.
        """
        rotations = np.full((len(times_sec), 3, 3), np.nan)
        translations_m = np.full((len(times_sec), 3), np.nan)
        turn, shift_m = camera_from_world[:3, :3], camera_from_world[:3, 3]
        for moment, entry in join_by_time(times_sec, self._times_sec, JOIN_SEC).items():
            rotations[moment] = turn @ self._rotations[entry]
            translations_m[moment] = turn @ self._translations_m[entry] + shift_m

        def read_truth(start: int, stop: int) -> Mapping[str, NDArray[np.float64]]:
            return {
                "object_rotation_camera": rotations[start:stop],
                "object_translation_camera_m": translations_m[start:stop],
            }

        return read_truth


def read_object_path(folders: Sequence[Path]) -> ObjectPath | None:
    """Read `object_fit_all.npz` of the parts of a recording.

    Args:
        folders: One per part.

    Returns:
        The poses; None if there is no file.

    Raises:
        InputError: If one is damaged.
    """
    parts = [
        _read_part(path) for path in (f / "object_fit_all.npz" for f in folders) if path.is_file()
    ]
    if not parts:
        return None
    return ObjectPath(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _read_part(
    path: Path,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    arrays = read_npz(path)
    names = np.array(arrays.get("frame_times", ()), dtype=object).reshape(-1)
    times = [parse_frame_time(name) if isinstance(name, str) else None for name in names]
    angles, translations_m = (
        read_numbers(arrays.get(key), (-1, 3), f"{key} of {path}", allows_nan=True)
        for key in ("angles", "trans")
    )
    if None in times or not len(times) == len(angles) == len(translations_m):
        raise InputError(
            f"{path.name} must hold angles, trans and frame_times of one length, got {len(times)} "
            f"times for {len(angles)} and {len(translations_m)} poses: {path}. Copy it again."
        )
    # A pose that is not known stays unknown; SciPy would complain.
    is_known = np.isfinite(angles).all(axis=1)
    rotations = np.full((len(angles), 3, 3), np.nan)
    rotations[is_known] = Rotation.from_rotvec(angles[is_known]).as_matrix()
    return np.array(times, dtype=np.float64), rotations, translations_m
