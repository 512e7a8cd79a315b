"""What is known of any adult's upper body before looking: bones, sizes, how fast joints move.

Lengths are those of a person 1.70 m tall; people of 1.50 to 1.90 m lie within 12 % of them.
"""

from __future__ import annotations

import dataclasses

__all__ = [
    "BONES",
    "MAX_ACCELERATION_M_S2",
    "SKIN_TO_JOINT_M",
    "Bone",
    "bones_between",
    "part_of",
]


@dataclasses.dataclass(frozen=True)
class Bone:
    """A distance that stays the same while a person moves.

    Args:
        start: Name of a keypoint.
        end: Name of another.
        kind: Bones of one kind (the left and the right one) have one length.
        length_m: Of a person 1.70 m tall.
        spread: Standard deviation among adults, as a share of the length.
        give_m: How far the distance of the two points moves in one person (shoulders shrug).
    """

    start: str
    end: str
    kind: str
    length_m: float
    spread: float
    give_m: float = 0.008


# A "hand" is the middle of the palm.
BONES = (
    Bone("left_shoulder", "right_shoulder", "shoulders", 0.365, 0.08, 0.012),
    Bone("left_shoulder", "left_elbow", "upper_arm", 0.315, 0.08),
    Bone("right_shoulder", "right_elbow", "upper_arm", 0.315, 0.08),
    Bone("left_elbow", "left_hand", "forearm", 0.335, 0.08),
    Bone("right_elbow", "right_hand", "forearm", 0.335, 0.08),
    Bone("left_elbow", "left_wrist", "lower_arm", 0.255, 0.08),
    Bone("right_elbow", "right_wrist", "lower_arm", 0.255, 0.08),
    Bone("left_wrist", "left_hand", "palm", 0.075, 0.15, 0.015),
    Bone("right_wrist", "right_hand", "palm", 0.075, 0.15, 0.015),
    Bone("head", "left_shoulder", "neck", 0.285, 0.12, 0.03),
    Bone("head", "right_shoulder", "neck", 0.285, 0.12, 0.03),
    Bone("left_hip", "right_hip", "hips", 0.21, 0.15, 0.012),
    Bone("left_shoulder", "left_hip", "trunk", 0.50, 0.08, 0.03),
    Bone("right_shoulder", "right_hip", "trunk", 0.50, 0.08, 0.03),
    Bone("left_hip", "left_knee", "thigh", 0.40, 0.08),
    Bone("right_hip", "right_knee", "thigh", 0.40, 0.08),
    Bone("left_knee", "left_ankle", "shank", 0.40, 0.08),
    Bone("right_knee", "right_ankle", "shank", 0.40, 0.08),
)

# A depth camera sees the skin or the sleeve; the joint lies behind it.
SKIN_TO_JOINT_M = {
    "head": 0.09,
    "shoulder": 0.055,
    "elbow": 0.055,
    "wrist": 0.025,
    "hand": 0.03,
    "gripper": 0.02,
    "hip": 0.10,
    "knee": 0.055,
    "ankle": 0.04,
}

# Of everyday reaching and walking, one standard deviation.
MAX_ACCELERATION_M_S2 = {
    "head": 0.6,
    "shoulder": 0.6,
    "elbow": 2.0,
    "wrist": 3.0,
    "hand": 3.0,
    "gripper": 2.0,
    "hip": 0.5,
    "knee": 1.0,
    "ankle": 1.5,
}


def part_of(name: str) -> str:
    """Drop the side of a keypoint's name.

    Args:
        name: "left_elbow", "head", ...

    Returns:
        "elbow", "head", ...
    """
    return name.removeprefix("left_").removeprefix("right_")


def bones_between(names: tuple[str, ...]) -> tuple[Bone, ...]:
    """Give the bones whose both ends are there.

    Args:
        names: Of keypoints.

    Returns:
        Those of `BONES`.
    """
    return tuple(bone for bone in BONES if bone.start in names and bone.end in names)
