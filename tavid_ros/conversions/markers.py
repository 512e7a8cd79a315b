"""A motion as markers for RViz and Foxglove."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from tavid_core.types import InteractionMotion, PointTrack
from tavid_ros.conversions.motions import choose_hand

__all__ = ["markers_from_motion"]

# Pairs of body points that are drawn as limbs.
_LIMBS = (
    ("head", "left_shoulder"),
    ("head", "right_shoulder"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_hand"),
    ("right_elbow", "right_hand"),
)
_NUM_SKELETONS = 5
_LINE_WIDTH_M = 0.01
_TARGET_DIAMETER_M = 0.06
_CONTACT_DIAMETER_M = 0.03
_TEXT_HEIGHT_M = 0.05
_TEXT_OFFSET_M = 0.15

_HAND_RGB = (0.95, 0.55, 0.10)
_BODY_RGB = (0.25, 0.45, 0.85)
_TARGET_RGB = (0.15, 0.70, 0.30)
_CONTACT_RGB = (0.85, 0.10, 0.15)
_TEXT_RGB = (1.0, 1.0, 1.0)


def markers_from_motion(motion: InteractionMotion, header: Header) -> MarkerArray:
    """Draw a motion: paths fade in with time, skeletons at five times, target, contact, text.

    The first marker deletes those of the plan before. Points without a known place are left out.

    Args:
        motion: Metres, camera frame.
        header: Of the conditioning image.

    Returns:
        Markers in the namespaces hand_path, target_path, skeleton, target, contact, text.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    hand = choose_hand(motion)
    if hand is not None:
        markers += _line_strip(header, "hand_path", hand.positions_camera_m, _HAND_RGB)
    markers += _line_strip(header, "target_path", motion.target.positions_camera_m, _TARGET_RGB)
    markers += _skeletons(header, [*motion.body, *motion.hands], motion.num_frames)
    markers += _target_spheres(header, motion.target.positions_camera_m)
    if motion.contact.point_camera_m is not None:
        markers += _spheres(
            header,
            "contact",
            motion.contact.point_camera_m[None],
            (_CONTACT_RGB, _CONTACT_DIAMETER_M),
        )
    markers += _text(header, motion)
    return MarkerArray(markers=markers)


def _color(rgb: Sequence[float], alpha: float) -> ColorRGBA:
    red, green, blue = rgb
    return ColorRGBA(r=red, g=green, b=blue, a=float(alpha))


def _point(position: NDArray[np.floating]) -> Point:
    x, y, z = (float(value) for value in position)
    return Point(x=x, y=y, z=z)


def _marker(header: Header, namespace: str, marker_type: int, identity: int = 0) -> Marker:
    marker = Marker(header=header, ns=namespace, id=identity, type=marker_type, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    return marker


def _line_strip(
    header: Header, namespace: str, positions: NDArray[np.float32], rgb: Sequence[float]
) -> list[Marker]:
    frames = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if len(frames) < 2:
        return []
    marker = _marker(header, namespace, Marker.LINE_STRIP)
    marker.scale.x = _LINE_WIDTH_M
    marker.color = _color(rgb, 1.0)
    for frame in frames:
        marker.points.append(_point(positions[frame]))
        marker.colors.append(_color(rgb, 0.2 + 0.8 * frame / max(1, len(positions) - 1)))
    return [marker]


def _skeletons(header: Header, tracks: Sequence[PointTrack], num_frames: int) -> list[Marker]:
    positions = {track.name: track.positions_camera_m for track in tracks}
    marker = _marker(header, "skeleton", Marker.LINE_LIST)
    marker.scale.x = _LINE_WIDTH_M
    marker.color = _color(_BODY_RGB, 1.0)
    frames = np.unique(np.linspace(0, num_frames - 1, _NUM_SKELETONS).astype(int))
    for frame, (start, end) in itertools.product(frames, _LIMBS):
        if start not in positions or end not in positions:
            continue
        limb = np.stack([positions[start][frame], positions[end][frame]])
        if np.isfinite(limb).all():
            alpha = 0.15 + 0.85 * frame / max(1, num_frames - 1)
            marker.points += [_point(limb[0]), _point(limb[1])]
            marker.colors += [_color(_BODY_RGB, alpha)] * 2
    return [marker] if marker.points else []


def _target_spheres(header: Header, positions: NDArray[np.float32]) -> list[Marker]:
    known = positions[np.isfinite(positions).all(axis=1)]
    return _spheres(
        header, "target", known[[0, -1]] if len(known) else known, (_TARGET_RGB, _TARGET_DIAMETER_M)
    )


def _spheres(
    header: Header,
    namespace: str,
    positions: NDArray[np.float32],
    look: tuple[Sequence[float], float],
) -> list[Marker]:
    rgb, diameter_m = look
    markers = []
    for index, position in enumerate(positions):
        if not np.isfinite(position).all():
            continue
        marker = _marker(header, namespace, Marker.SPHERE, index)
        marker.pose.position = _point(position)
        marker.scale = Vector3(x=diameter_m, y=diameter_m, z=diameter_m)
        marker.color = _color(rgb, 0.35 if index == 0 and len(positions) > 1 else 0.9)
        markers.append(marker)
    return markers


def _text(header: Header, motion: InteractionMotion) -> list[Marker]:
    known = motion.target.positions_camera_m[
        np.isfinite(motion.target.positions_camera_m).all(axis=1)
    ]
    if not len(known):
        return []
    contact = motion.contact
    verb = f"{contact.hand} touches target" if contact.touches_target else "target is not touched"
    marker = _marker(header, "text", Marker.TEXT_VIEW_FACING)
    # Up is -y in an optical frame.
    marker.pose.position = _point(known[0] - np.array([0.0, _TEXT_OFFSET_M, 0.0]))
    marker.scale.z = _TEXT_HEIGHT_M
    marker.color = _color(_TEXT_RGB, 1.0)
    marker.text = f"{verb} (confidence {contact.confidence:.2f}, scale: {motion.scale_source})"
    return [marker]
