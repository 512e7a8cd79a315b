"""Hands and body in the picture: `annotations/ego_pose`, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.sources.field_values import is_number, parse_index

__all__ = ["HAND_NAMES", "parse_points"]

MAX_PIXEL = 1e6
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HAND_NAMES = tuple(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("wrist", *(f"{finger}_{joint}" for finger in _FINGERS for joint in range(1, 5)))
)


def parse_points(document: Any, camera: str) -> dict[int, dict[str, NDArray[np.float64]]]:
    """Read what is annotated in the pictures of one camera.

    Args:
        document: Of `annotation/<take_uid>.json`: by frame a list of people, each with
            `annotation2D[camera][joint] = {x, y}`.
        camera: Its name.

    Returns:
        By frame, by joint: column and row, float (2,), pixels. Joints are spelt with underscores;
        the first person of a frame counts.
    """
    frames: dict[int, dict[str, NDArray[np.float64]]] = {}
    for frame, people in document.items() if isinstance(document, Mapping) else ():
        index = parse_index(frame)
        if index is None or not isinstance(people, list) or not people:
            continue
        views = people[0].get("annotation2D") if isinstance(people[0], Mapping) else None
        joints = views.get(camera) if isinstance(views, Mapping) else None
        points = {
            str(name).replace("-", "_"): np.array([joint["x"], joint["y"]], dtype=np.float64)
            for name, joint in (joints.items() if isinstance(joints, Mapping) else ())
            if isinstance(joint, Mapping)
            and all(is_number(joint.get(axis), MAX_PIXEL) for axis in "xy")
        }
        if points:
            frames[index] = points
    return frames
