"""A plan as markers for RViz and Foxglove."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from tavid_core.skeleton import LIMBS
from tavid_core.summary import describe_outcome
from tavid_core.target_box import estimate_target_size
from tavid_core.types import InteractionMotion, InteractionPlan, PointTrack
from tavid_core.visualize import CONTACT_COLOR, TRACK_COLORS
from tavid_ros.conversions.motions import hold_rotations
from tavid_ros.conversions.times import duration_from_seconds

__all__ = ["delete_markers", "markers_from_plan"]

_NUM_SKELETONS = 6
_FAINTEST = 0.15
_LIMB_WIDTH_M = 0.01
_PATH_WIDTH_M = 0.012
_HEAD_DIAMETER_M = 0.12
_HAND_DIAMETER_M = 0.025
_CONTACT_DIAMETER_M = 0.04
_BOX_FRAMES_ALPHA = (0.25, 0.7)
_TEXT_HEIGHT_M = 0.045
_TEXT_OFFSET_M = 0.12
_TEXT_COLUMNS = 48
_TEXT_MAX_LINES = 3

# RGB, 0..255, as in the pictures of the plan.
_BODY_COLOR = (110, 150, 230)
_TEXT_COLOR = (255, 255, 255)


def delete_markers(header: Header) -> MarkerArray:
    """Take away what was drawn before.

    Args:
        header: Of the image whose plan draws nothing, or of now.

    Returns:
        One marker that deletes all.
    """
    return MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])


def markers_from_plan(
    plan: InteractionPlan, header: Header, lifetime_sec: float = 0.0
) -> MarkerArray:
    """Draw a plan: time is shown as opacity, from faint (now) to full (the end).

    The first marker deletes those of the plan before. Namespaces and ids do not change from plan
    to plan, so that a display keeps what is switched off. Points without a known place are left
    out.

    Args:
        plan: Metres, camera frame.
        header: Of the conditioning image.
        lifetime_sec: How long a display shall show them; 0 = for ever.

    Returns:
        Markers in the namespaces left_hand_path, right_hand_path, target_path, skeleton, heads,
        hands, target, contact and text; of a plan without an actor only the deletion.
    """
    deletion = delete_markers(header)
    if not plan.motion.has_actor:
        return deletion
    motion = plan.motion
    markers = [
        marker
        for track in (*motion.hands, motion.target)
        for marker in _path(track, TRACK_COLORS.get(track.name, _BODY_COLOR))
    ]
    markers += [*_skeletons(motion), *_heads(motion), *_hands(motion), *_boxes(plan)]
    markers += [*_contact(motion), *_text(plan)]
    for marker in markers:
        marker.header = header
        marker.lifetime = duration_from_seconds(lifetime_sec)
    return MarkerArray(markers=[*deletion.markers, *markers])


def _color(rgb: Sequence[int], alpha: float) -> ColorRGBA:
    red, green, blue = (channel / 255 for channel in rgb)
    return ColorRGBA(r=red, g=green, b=blue, a=float(alpha))


def _point(position: NDArray[np.floating]) -> Point:
    x, y, z = (float(value) for value in position)
    return Point(x=x, y=y, z=z)


def _marker(namespace: str, marker_type: int, identity: int = 0) -> Marker:
    marker = Marker(ns=namespace, id=identity, type=marker_type, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    return marker


def _opacity(frame: int, num_frames: int) -> float:
    return _FAINTEST + (1.0 - _FAINTEST) * frame / max(1, num_frames - 1)


def _ghost_frames(num_frames: int) -> list[int]:
    return np.unique(np.linspace(0, num_frames - 1, _NUM_SKELETONS).astype(int)).tolist()


def _path(track: PointTrack, rgb: Sequence[int]) -> list[Marker]:
    frames = np.flatnonzero(np.isfinite(track.positions_camera_m).all(axis=1))
    if len(frames) < 2:
        return []
    marker = _marker(f"{track.name}_path", Marker.LINE_STRIP)
    marker.scale.x = _PATH_WIDTH_M
    marker.color = _color(rgb, 1.0)
    for frame in frames:
        marker.points.append(_point(track.positions_camera_m[frame]))
        marker.colors.append(_color(rgb, _opacity(frame, len(track.confidence))))
    return [marker]


def _skeletons(motion: InteractionMotion) -> list[Marker]:
    positions = {track.name: track.positions_camera_m for track in (*motion.body, *motion.hands)}
    marker = _marker("skeleton", Marker.LINE_LIST)
    marker.scale.x = _LIMB_WIDTH_M
    marker.color = _color(_BODY_COLOR, 1.0)
    for frame, (start, end) in itertools.product(_ghost_frames(motion.num_frames), LIMBS):
        if start not in positions or end not in positions:
            continue
        limb = np.stack([positions[start][frame], positions[end][frame]])
        if np.isfinite(limb).all():
            marker.points += [_point(limb[0]), _point(limb[1])]
            marker.colors += [_color(_BODY_COLOR, _opacity(frame, motion.num_frames))] * 2
    return [marker] if marker.points else []


def _heads(motion: InteractionMotion) -> list[Marker]:
    head = next((track for track in motion.body if track.name == "head"), None)
    if head is None:
        return []
    return _spheres("heads", [head], motion.num_frames, _HEAD_DIAMETER_M, _BODY_COLOR)


def _hands(motion: InteractionMotion) -> list[Marker]:
    return _spheres("hands", motion.hands, motion.num_frames, _HAND_DIAMETER_M, None)


def _spheres(
    namespace: str,
    tracks: Sequence[PointTrack],
    num_frames: int,
    diameter_m: float,
    rgb: Sequence[int] | None,
) -> list[Marker]:
    marker = _marker(namespace, Marker.SPHERE_LIST)
    marker.scale = Vector3(x=diameter_m, y=diameter_m, z=diameter_m)
    marker.color = _color(_BODY_COLOR, 1.0)
    for track, frame in itertools.product(tracks, _ghost_frames(num_frames)):
        if np.isfinite(track.positions_camera_m[frame]).all():
            color = rgb or TRACK_COLORS.get(track.name, _BODY_COLOR)
            marker.points.append(_point(track.positions_camera_m[frame]))
            marker.colors.append(_color(color, _opacity(frame, num_frames)))
    return [marker] if marker.points else []


def _boxes(plan: InteractionPlan) -> list[Marker]:
    """Draw the target where it is and where it ends, turned as it is turned."""
    size_m, motion = estimate_target_size(plan), plan.motion
    if size_m is None:
        return []
    known = np.flatnonzero(np.isfinite(motion.target.positions_camera_m).all(axis=1))
    rotations = hold_rotations(motion, motion.target)
    markers = []
    for identity, frame in enumerate((known[0], known[-1])):
        marker = _marker("target", Marker.CUBE, identity)
        x, y, z, w = rotations[frame].tolist()
        marker.pose = Pose(
            position=_point(motion.target.positions_camera_m[frame]),
            orientation=Quaternion(x=x, y=y, z=z, w=w),
        )
        marker.scale = Vector3(x=size_m[0], y=size_m[1], z=size_m[2])
        marker.color = _color(TRACK_COLORS["target"], _BOX_FRAMES_ALPHA[identity])
        markers.append(marker)
    return markers


def _contact(motion: InteractionMotion) -> list[Marker]:
    point = motion.contact.point_camera_m
    if point is None or not np.isfinite(point).all():
        return []
    marker = _marker("contact", Marker.SPHERE)
    marker.pose.position = _point(point)
    marker.scale = Vector3(x=_CONTACT_DIAMETER_M, y=_CONTACT_DIAMETER_M, z=_CONTACT_DIAMETER_M)
    marker.color = _color(CONTACT_COLOR, 1.0)
    return [marker]


def _text(plan: InteractionPlan) -> list[Marker]:
    """Say what is shown, above everything that is drawn."""
    motion = plan.motion
    tracks = (*motion.body, *motion.hands, motion.target)
    places = np.concatenate([track.positions_camera_m for track in tracks])
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        return []
    marker = _marker("text", Marker.TEXT_VIEW_FACING)
    # Up is -y in an optical frame.
    top_m = float(places[:, 1].min()) - _TEXT_OFFSET_M
    middle = np.median(places, axis=0)
    marker.pose.position = _point(np.array([middle[0], top_m, middle[2]]))
    marker.scale.z = _TEXT_HEIGHT_M
    marker.color = _color(_TEXT_COLOR, 1.0)
    lines = textwrap.wrap(
        f'"{plan.request.prompt}"', _TEXT_COLUMNS, max_lines=_TEXT_MAX_LINES, placeholder=" ..."
    )
    lines.append(f"{describe_outcome(plan)} (confidence {motion.contact.confidence:.2f})")
    if motion.scale_source != "sensor":
        lines.append("scale assumed")
    marker.text = "\n".join(lines)
    return [marker]
