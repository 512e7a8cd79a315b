"""How the robot arm moves: two links in a plane that turns, a gripper that points down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.sources.sim.motion import ActorMotion, minimum_jerk, object_paths
from training.sources.sim.parts import PARTS
from training.sources.sim.scene import Scene

__all__ = ["ARM_JOINT_NAMES", "HAND_LENGTH_M", "LINK_M", "gripper_opening_m", "plan_arm_motion"]

ARM_JOINT_NAMES = ("base", "shoulder", "elbow", "wrist", "gripper")
LINK_M = (0.37, 0.36)  # shoulder to elbow, elbow to wrist
HAND_LENGTH_M = 0.115  # wrist to the point between the finger tips
BASE_Y_M, SHOULDER_Z_M = 0.31, 0.24
# Resting gripper seen from the base.
REST_M = np.array([0.0, -0.17, 0.30])
OPEN_M = 0.052  # of a finger from the middle
GRASP_DEPTH_M = 0.022
MIN_GRIP_M = 0.012


def plan_arm_motion(scene: Scene, num_frames: int = 17) -> ActorMotion:
    """Bring the gripper over the target, down to it, and lift it.

    Args:
        scene: The scene at rest.
        num_frames: Frames of the clip, more than `scene.contact_frame` + 1.

    Returns:
        The motion, with the joints of `ARM_JOINT_NAMES`; its hand is "gripper".
    """
    target = scene.objects[scene.target_index]
    base = np.array([scene.arm_base_x_m, BASE_Y_M, 0.0])
    rest = base + REST_M
    top = np.array(target.position_m) + np.array([0.0, 0.0, target.half_height_m])
    grasp = top - np.array([0.0, 0.0, min(GRASP_DEPTH_M, 0.8 * target.half_height_m)])
    frames = np.arange(num_frames, dtype=np.float64)
    phase = (frames - scene.start_frame) / (scene.contact_frame - scene.start_frame)
    # Over the target first, then down: sideways it would push the others over.
    across, down = minimum_jerk(1.3 * phase), minimum_jerk(1.6 * phase - 0.6)
    lift = minimum_jerk((frames - scene.contact_frame) / (num_frames - 1 - scene.contact_frame))
    path = np.repeat(rest[None], num_frames, axis=0)
    path[:, :2] += across[:, None] * (grasp - rest)[:2]
    path[:, 2] += down * (grasp - rest)[2]
    path += lift[:, None] * np.array([0.0, 0.02, scene.lift_height_m])
    wrist = path + np.array([0.0, 0.0, HAND_LENGTH_M])
    shoulder = base + np.array([0.0, 0.0, SHOULDER_Z_M])
    joints = {
        "base": np.repeat(base[None], num_frames, axis=0),
        "shoulder": np.repeat(shoulder[None], num_frames, axis=0),
        "elbow": np.stack([_elbow(shoulder, point) for point in wrist]),
        "wrist": wrist,
        "gripper": path,
    }
    objects_world_m, objects_yaw_rad = object_paths(scene, path)
    return ActorMotion(
        joints_world_m=np.stack([joints[name] for name in ARM_JOINT_NAMES], axis=1),
        objects_world_m=objects_world_m,
        objects_yaw_rad=objects_yaw_rad,
        hand="gripper",
        joint_names=ARM_JOINT_NAMES,
    )


def gripper_opening_m(scene: Scene, frame: int) -> float:
    """Give how far a finger is from the middle of the gripper.

    Args:
        scene: The scene.
        frame: Of the clip.

    Returns:
        Metres: open on the way, closed on the target from the contact on.
    """
    target = scene.objects[scene.target_index]
    part = max(PARTS[target.kind], key=lambda p: p.offset_m[2] + p.half_extent_m[2])
    grip = float(np.clip(target.scale * part.half_extent_m[0] + 0.008, MIN_GRIP_M, OPEN_M))
    closed = float(np.clip(frame - scene.contact_frame + 1, 0, 1))
    return OPEN_M + closed * (grip - OPEN_M)


def _elbow(shoulder: NDArray[np.float64], wrist: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place the elbow above the line from shoulder to wrist, in the vertical plane of both."""
    reach = wrist - shoulder
    distance = float(np.linalg.norm(reach))
    axis = reach / distance
    along = (LINK_M[0] ** 2 - LINK_M[1] ** 2 + distance**2) / (2 * distance)
    up = np.array([0.0, 0.0, 1.0]) - axis * axis[2]
    bend = np.sqrt(max(LINK_M[0] ** 2 - along**2, 0.0))
    return shoulder + axis * along + up / np.linalg.norm(up) * bend
