"""Messages from one frame to another, and a motion as transforms for /tf."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import (
    Point,
    PointStamped,
    Pose,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from nav_msgs.msg import Path
from std_msgs.msg import Header
from trajectory_msgs.msg import MultiDOFJointTrajectory
from visualization_msgs.msg import MarkerArray

from tavid_core.types import InteractionMotion
from tavid_ros.conversions.motions import hold_rotations
from tavid_ros.rigid_transform import RigidTransform

__all__ = [
    "change_frame",
    "message_from_transform",
    "transform_from_message",
    "transforms_from_motion",
]


def transform_from_message(message: Transform) -> RigidTransform:
    """Read a transform.

    Args:
        message: As sent.

    Returns:
        Its numbers, the rotation normalised.

    Raises:
        InputError: If a number is not finite, or there is no rotation.
    """
    translation, rotation = message.translation, message.rotation
    return RigidTransform.of(
        [rotation.x, rotation.y, rotation.z, rotation.w],
        [translation.x, translation.y, translation.z],
    )


def message_from_transform(transform: RigidTransform) -> Transform:
    """Write a transform.

    Args:
        transform: Any.

    Returns:
        The message.
    """
    x, y, z = transform.translation_m.tolist()
    return Transform(
        translation=Vector3(x=x, y=y, z=z), rotation=_quaternion(transform.quaternion_xyzw)
    )


def change_frame(
    message: MultiDOFJointTrajectory | Path | MarkerArray | PointStamped,
    frame_id: str,
    target_from_source: RigidTransform,
) -> None:
    """Turn everything that a message says into another frame, in place.

    Rotations turn along: one that was the identity, because nobody measured it, then is that of
    the old frame in the new one.

    Args:
        message: All of its poses are in one frame.
        frame_id: The new frame.
        target_from_source: From the old frame to the new one.
    """
    # New headers, because several messages may share one.
    if isinstance(message, MarkerArray):
        for marker in message.markers:
            marker.header = Header(stamp=marker.header.stamp, frame_id=frame_id)
            # Its points are relative to its pose.
            marker.pose = _move_pose(marker.pose, target_from_source)
        return
    message.header = Header(stamp=message.header.stamp, frame_id=frame_id)
    if isinstance(message, PointStamped):
        place = message.point
        message.point = _point(target_from_source.apply([place.x, place.y, place.z]))
        return
    if isinstance(message, Path):
        for stamped in message.poses:
            stamped.header = message.header
            stamped.pose = _move_pose(stamped.pose, target_from_source)
        return
    for point in message.points:
        point.transforms = [
            message_from_transform(target_from_source @ transform_from_message(transform))
            for transform in point.transforms
        ]


def transforms_from_motion(
    motion: InteractionMotion, frame: int, header: Header, prefix: str
) -> list[TransformStamped]:
    """Write one frame of a motion for /tf.

    Args:
        motion: Metres, camera frame.
        frame: 0..T-1.
        header: Time of now, and the optical frame.
        prefix: Comes before each name, with a slash.

    Returns:
        One transform for each point whose place is known in this frame.
    """
    transforms = []
    for track in (*motion.body, *motion.hands, motion.target):
        position = track.positions_camera_m[frame]
        if not np.isfinite(position).all():
            continue
        quaternion = hold_rotations(motion, track)[frame]
        transforms.append(
            TransformStamped(
                header=header,
                child_frame_id=f"{prefix}/{track.name}",
                transform=message_from_transform(RigidTransform.of(quaternion, position)),
            )
        )
    return transforms


def _point(xyz: np.ndarray) -> Point:
    x, y, z = xyz.tolist()
    return Point(x=x, y=y, z=z)


def _quaternion(xyzw: np.ndarray) -> Quaternion:
    x, y, z, w = xyzw.tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def _move_pose(pose: Pose, target_from_source: RigidTransform) -> Pose:
    place, turn = pose.position, pose.orientation
    moved = target_from_source @ RigidTransform.of(
        [turn.x, turn.y, turn.z, turn.w], [place.x, place.y, place.z]
    )
    return Pose(
        position=_point(moved.translation_m), orientation=_quaternion(moved.quaternion_xyzw)
    )
