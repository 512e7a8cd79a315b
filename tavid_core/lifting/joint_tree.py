"""The 55 joints of the SMPL-X body and who hangs on whom; the pelvis is the root.

References:
    Pavlakos et al., Expressive Body Capture: 3D Hands, Face, and Body from a Single Image, 2019.
"""

from __future__ import annotations

__all__ = ["JOINT_NAMES", "PARENTS"]

_BODY = (
    ("pelvis", -1),
    ("left_hip", 0),
    ("right_hip", 0),
    ("spine1", 0),
    ("left_knee", 1),
    ("right_knee", 2),
    ("spine2", 3),
    ("left_ankle", 4),
    ("right_ankle", 5),
    ("spine3", 6),
    ("left_foot", 7),
    ("right_foot", 8),
    ("neck", 9),
    ("left_collar", 9),
    ("right_collar", 9),
    ("head", 12),
    ("left_shoulder", 13),
    ("right_shoulder", 14),
    ("left_elbow", 16),
    ("right_elbow", 17),
    ("left_wrist", 18),
    ("right_wrist", 19),
    ("jaw", 15),
    ("left_eye_smplhf", 15),
    ("right_eye_smplhf", 15),
)
_LEFT_WRIST, _RIGHT_WRIST = 20, 21


def _fingers() -> tuple[tuple[str, int], ...]:
    """Three joints per finger, the first of each on the wrist."""
    rows: list[tuple[str, int]] = []
    for side, wrist in (("left", _LEFT_WRIST), ("right", _RIGHT_WRIST)):
        for finger in ("index", "middle", "pinky", "ring", "thumb"):
            for knuckle in (1, 2, 3):
                parent = wrist if knuckle == 1 else len(_BODY) + len(rows) - 1
                rows.append((f"{side}_{finger}{knuckle}", parent))
    return tuple(rows)


_TREE = (*_BODY, *_fingers())

JOINT_NAMES = tuple(name for name, _ in _TREE)
PARENTS = tuple(parent for _, parent in _TREE)
