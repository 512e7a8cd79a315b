"""Keypoints that somebody else found, from a JSON or npz file.

The file says the size of the pictures its pixels are for; they are scaled to the rollout's. See
docs/formats.md for the layout.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, TavidError, check_shape
from tavid_core.lifting.keypoints import FURTHER_NAMES, KEYPOINT_NAMES, Keypoints

__all__ = ["KeypointFile", "read_keypoints"]

MAX_BYTES = 64 << 20
MAX_PEOPLE = 8
KNOWN_NAMES = (*KEYPOINT_NAMES, *FURTHER_NAMES)
ADVICE = "See docs/formats.md, 'Keypoint file'."
# A wrist is 6 to 8 cm from the middle of the palm.
WRIST_AS_HAND_FACTOR = 0.8


class KeypointFile:
    """Give the keypoints of a file as if they had been detected.

    Args:
        path: A .json or .npz file.

    Raises:
        InputError: If the file is unusable.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._keypoints, self._size = read_keypoints(path)

    def __call__(self, frames: NDArray[np.uint8]) -> Keypoints:
        """Scale the keypoints to these frames.

        Args:
            frames: RGB, uint8 (T, h, w, 3).

        Returns:
            One row per frame, in the pixels of `frames`.

        Raises:
            InputError: If the file is for another number of frames.
        """
        if self._keypoints.num_frames != len(frames):
            raise InputError(
                f"{self._path.name} must have one row per frame, got {self._keypoints.num_frames} "
                f"for {len(frames)} frames. Detect the keypoints in this very rollout: the same "
                "request and seed give it again."
            )
        return _scale(self._keypoints, np.array(frames.shape[2:0:-1]) / np.array(self._size))


def read_keypoints(path: str | Path) -> tuple[Keypoints, tuple[int, int]]:
    """Read a file of keypoints.

    Args:
        path: A .json or .npz file.

    Returns:
        The keypoints, and the width and height of the pictures that their pixels are for.

    Raises:
        InputError: If the file is missing, too large, damaged, or says something else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"keypoint file must have at most {MAX_BYTES >> 20} MiB, got "
                f"{path.stat().st_size >> 20}. {ADVICE}"
            )
        fields = _read_npz(path) if path.suffix == ".npz" else _read_json(path)
        return _join(fields)
    except TavidError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"keypoint file must be a .json or .npz with keypoints, got {path.name}: "
            f"{reason[:120]}. {ADVICE}"
        ) from error


def _scale(keypoints: Keypoints, scale: NDArray[np.float64]) -> Keypoints:
    pixels = (keypoints.pixels + 0.5) * scale - 0.5
    return dataclasses.replace(
        keypoints,
        pixels=pixels.astype(np.float32),
        others=tuple(_scale(other, scale) for other in keypoints.others),
    )


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    fields: dict[str, Any] = dict(arrays)
    fields["names"] = [str(name) for name in np.atleast_1d(arrays["names"])]
    fields["size"] = [int(value) for value in np.atleast_1d(arrays["size"])]
    return fields


def _read_json(path: Path) -> dict[str, Any]:
    fields = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(fields, dict):
        raise TypeError(f"a JSON {type(fields).__name__}, not an object")
    return fields


def _join(fields: Mapping[str, Any]) -> tuple[Keypoints, tuple[int, int]]:
    names, size = fields["names"], fields["size"]
    _check_names(names)
    is_size = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
    if not is_size or not all(1 <= side <= 16384 for side in size):
        raise InputError(
            f"keypoint file's size must be [width, height] in pixels, got {str(size)[:60]}. "
            f"{ADVICE}"
        )
    people = _people(fields)
    first, *others = (_join_person(names, *person) for person in people)
    return dataclasses.replace(first, others=tuple(others)), (size[0], size[1])


def _people(fields: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Divide arrays with one more axis, in front, among several people."""
    parts = [fields["pixels"], fields.get("confidence"), fields.get("relative_m")]
    if _depth_of(parts[0]) != 4:
        return [tuple(parts)]
    num_people = len(parts[0])
    for name, part in zip(("confidence", "relative_m"), parts[1:], strict=True):
        if part is not None and len(part) != num_people:
            raise InputError(
                f"keypoint file's {name} must be of {num_people} people as its pixels are, got "
                f"{len(part)}. {ADVICE}"
            )
    if not 1 <= num_people <= MAX_PEOPLE:
        raise InputError(
            f"keypoint file must hold 1 to {MAX_PEOPLE} people, got {num_people}. Leave out those "
            "who are far from the target."
        )
    return [tuple(part if part is None else part[i] for part in parts) for i in range(num_people)]


def _depth_of(values: object) -> int:
    """Number of axes of an array or of nested lists; null ends the search in a list."""
    if isinstance(values, np.ndarray):
        return values.ndim
    if not isinstance(values, list):
        return 0
    return 1 + max((_depth_of(value) for value in values), default=0)


def _join_person(
    names: Sequence[str], pixels: object, confidence: object, relative_m: object
) -> Keypoints:
    pixels = _numbers("pixels", pixels, (len(names), 2))
    is_seen = np.isfinite(pixels).all(axis=-1)
    sureness = is_seen.astype(np.float32)
    if confidence is not None:
        sureness = _numbers("confidence", confidence, (len(names),))
        check_shape("keypoint file's confidence", sureness.shape, is_seen.shape, ADVICE)
        sureness = np.where(is_seen, sureness, 0.0).astype(np.float32)
    if relative_m is not None:
        relative_m = _numbers("relative_m", relative_m, (len(names), 3))
    return _with_hands(Keypoints(tuple(names), pixels, sureness, relative_m))


def _check_names(names: object) -> None:
    if not isinstance(names, list) or not names:
        raise InputError(
            f"keypoint file's names must be a list of names, got {str(names)[:60]}. {ADVICE}"
        )
    unknown = [str(name)[:40] for name in names if name not in KNOWN_NAMES]
    if unknown:
        raise InputError(
            f"keypoint file's names must be of {', '.join(KNOWN_NAMES)}, got {unknown[0]!r}. "
            "Rename it, or leave it out."
        )


def _numbers(name: str, values: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Turn nested lists into an array; null stands for an unknown number or point."""
    if isinstance(values, list):
        values = [_filled(row, shape) for row in values]
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape or not len(array):
        raise InputError(
            f"keypoint file's {name} must have shape (frames, {', '.join(map(str, shape))}), got "
            f"{array.shape}. {ADVICE}"
        )
    # Beyond this a float32 of a picture means nothing.
    with np.errstate(invalid="ignore"):
        array = np.where(np.abs(array) < 1e6, array, np.nan)
    return array.astype(np.float32)


def _filled(values: object, shape: tuple[int, ...]) -> object:
    if values is None:
        return np.full(shape, np.nan).tolist() if shape else np.nan
    if isinstance(values, list):
        return [_filled(value, shape[1:]) for value in values]
    if isinstance(values, bool) or not isinstance(values, int | float):
        raise TypeError(f"{str(values)[:40]!r} is no number")
    return float(values) if abs(values) < 1e300 else np.nan


def _with_hands(keypoints: Keypoints) -> Keypoints:
    """Let a wrist stand for a hand whose palm nobody marked."""
    sides = [
        side
        for side in ("left", "right")
        if f"{side}_hand" not in keypoints.names and f"{side}_wrist" in keypoints.names
    ]
    if not sides:
        return keypoints
    picks = [keypoints.names.index(f"{side}_wrist") for side in sides]
    relative_m = keypoints.relative_m
    if relative_m is not None:
        relative_m = np.concatenate([relative_m, relative_m[:, picks]], axis=1)
    return Keypoints(
        names=(*keypoints.names, *(f"{side}_hand" for side in sides)),
        pixels=np.concatenate([keypoints.pixels, keypoints.pixels[:, picks]], axis=1),
        confidence=np.concatenate(
            [keypoints.confidence, WRIST_AS_HAND_FACTOR * keypoints.confidence[:, picks]], axis=1
        ).astype(np.float32),
        relative_m=relative_m,
    )
