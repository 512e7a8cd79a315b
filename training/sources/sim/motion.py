"""How the person moves: a minimum-jerk reach, a grasp from above, a lift."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from training.sources.sim.scene import Scene

__all__ = [
    "FOREARM_M",
    "JOINT_NAMES",
    "UPPER_ARM_M",
    "ActorMotion",
    "minimum_jerk",
    "object_paths",
    "plan_motion",
]

# The actor's own left is at +x: the person faces the camera, which looks along +y.
JOINT_NAMES = (
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_hand",
    "right_hand",
)
UPPER_ARM_M = 0.34
FOREARM_M = 0.36  # elbow to the middle of the palm
SHOULDER_M = np.array([0.185, 0.33, 0.27])
HEAD_M = np.array([0.0, 0.34, 0.47])
REST_HAND_M = np.array([0.27, 0.155, 0.045])
PALM_ABOVE_TOP_M = 0.022


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorMotion:
    """Ground truth of one clip in the world frame.

    Args:
        joints_world_m: float64 (T, K, 3) in the order of `joint_names`, metres.
        objects_world_m: Centres, float64 (T, N, 3), metres.
        objects_yaw_rad: Rotation about the world's z, float64 (T, N), radians.
        hand: Name of the joint that reaches: "left_hand", "right_hand" or "gripper".
        joint_names: Of the K joints.
    """

    joints_world_m: NDArray[np.float64]
    objects_world_m: NDArray[np.float64]
    objects_yaw_rad: NDArray[np.float64]
    hand: str
    joint_names: tuple[str, ...] = JOINT_NAMES


def minimum_jerk(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go from 0 to 1 as a hand does, at rest at both ends.

    Args:
        phase: Time, 0 at the start and 1 at the end; clipped.

    Returns:
        Same shape.
    """
    s = np.clip(phase, 0.0, 1.0)
    return 10 * s**3 - 15 * s**4 + 6 * s**5


def _elbow(
    shoulder: NDArray[np.float64], hand: NDArray[np.float64], side: float
) -> NDArray[np.float64]:
    """Place the elbow of a two-link arm, bent outwards and down."""
    reach = hand - shoulder
    distance = float(np.clip(np.linalg.norm(reach), 0.05, UPPER_ARM_M + FOREARM_M - 1e-3))
    axis = reach / np.linalg.norm(reach)
    along = (UPPER_ARM_M**2 - FOREARM_M**2 + distance**2) / (2 * distance)
    pole = np.array([0.9 * side, 0.35, -0.25])
    pole = pole - axis * float(pole @ axis)
    bend = np.sqrt(max(UPPER_ARM_M**2 - along**2, 0.0))
    return shoulder + axis * along + pole / np.linalg.norm(pole) * bend


def _hand_path(scene: Scene, rest: NDArray[np.float64], num_frames: int) -> NDArray[np.float64]:
    """Palm positions (T, 3): rest, arc to the grasp, lift towards the person."""
    target = scene.objects[scene.target_index]
    center = np.array(target.position_m)
    grasp = center + np.array([0.0, 0.012, target.half_height_m + PALM_ABOVE_TOP_M])
    frames = np.arange(num_frames, dtype=np.float64)
    reach = minimum_jerk((frames - scene.start_frame) / (scene.contact_frame - scene.start_frame))[
        :, None
    ]
    lift = minimum_jerk((frames - scene.contact_frame) / (num_frames - 1 - scene.contact_frame))[
        :, None
    ]
    path = rest + reach * (grasp - rest)
    path[:, 2] += 0.10 * np.sin(np.pi * reach[:, 0]) ** 2
    return path + lift * np.array([0.0, 0.03, scene.lift_height_m])


def plan_motion(scene: Scene, num_frames: int = 17) -> ActorMotion:
    """Move the nearer hand to the target and lift it.

    The hand is a function of the target's place, so that the only open question in a scene is
    which object is meant; the object moves rigidly with the palm from `contact_frame` on.

    Args:
        scene: The scene at rest.
        num_frames: Frames of the clip, more than `scene.contact_frame` + 1.

    Returns:
        The motion of the actor and of all objects.
    """
    target = scene.objects[scene.target_index]
    side = 1.0 if target.position_m[0] > 0 else -1.0
    lean = np.zeros((num_frames, 3))
    frames = np.arange(num_frames, dtype=np.float64)
    phase = minimum_jerk((frames - scene.start_frame) / (scene.contact_frame - scene.start_frame))
    lean[:, 0] = 0.05 * target.position_m[0] * phase
    lean[:, 1] = -0.05 * phase
    joints: dict[str, NDArray[np.float64]] = {"head": HEAD_M + 1.4 * lean}
    for name, sign in (("left", 1.0), ("right", -1.0)):
        mirror = np.array([sign, 1.0, 1.0])
        shoulders = SHOULDER_M * mirror + lean
        rest = REST_HAND_M * mirror
        hands = np.repeat(rest[None], num_frames, axis=0)
        if sign == side:
            hands = _hand_path(scene, rest, num_frames)
        joints[f"{name}_shoulder"] = shoulders
        joints[f"{name}_elbow"] = np.stack(
            [_elbow(s, h, sign) for s, h in zip(shoulders, hands, strict=True)]
        )
        joints[f"{name}_hand"] = hands
    hand_name = "left_hand" if side > 0 else "right_hand"
    objects_world_m, objects_yaw_rad = object_paths(scene, joints[hand_name])
    return ActorMotion(
        joints_world_m=np.stack([joints[name] for name in JOINT_NAMES], axis=1),
        objects_world_m=objects_world_m,
        objects_yaw_rad=objects_yaw_rad,
        hand=hand_name,
    )


def object_paths(
    scene: Scene, hand_world_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Let the target go with the hand from the contact on, and all others stay.

    Args:
        scene: The scene at rest.
        hand_world_m: What holds the target, float64 (T, 3), metres.

    Returns:
        Centres, float64 (T, N, 3), metres, and rotations about the world's z, float64 (T, N).
    """
    num_frames = len(hand_world_m)
    frames = np.arange(num_frames, dtype=np.float64)
    objects = np.stack([np.array(o.position_m) for o in scene.objects])
    objects_world_m = np.repeat(objects[None], num_frames, axis=0)
    held = frames >= scene.contact_frame
    objects_world_m[held, scene.target_index] += (
        hand_world_m[held] - hand_world_m[scene.contact_frame]
    )
    objects_yaw_rad = np.tile([item.yaw_rad for item in scene.objects], (num_frames, 1))
    turn = minimum_jerk((frames - scene.contact_frame) / (num_frames - 1 - scene.contact_frame))
    objects_yaw_rad[:, scene.target_index] += scene.lift_yaw_rad * turn
    return objects_world_m, objects_yaw_rad
