"""A plan as an animated 3D scene in one .glb: the body's surface, the target, paths, the camera.

The file's axes are those of glTF: x right, y up, z towards the viewer; the camera stands in the
origin. Metres and seconds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.gltf import GltfScene
from tavid_core.lifting.body_mesh import BodySurface
from tavid_core.lifting.body_model import BodyModel
from tavid_core.lifting.joint_tree import JOINT_NAMES, PARENTS
from tavid_core.motion import BodyFit
from tavid_core.target_box import estimate_target_size
from tavid_core.types import InteractionPlan
from tavid_core.visualize import TRACK_COLORS

__all__ = ["render_glb"]

# Half a turn about x: the optical frame has y down and looks along +z.
_GLTF_FROM_OPTICAL = [1.0, 0.0, 0.0, 0.0]
_BODY_COLOR = (0.62, 0.66, 0.74, 1.0)
_OTHER_COLOR = (200, 205, 215)
_BOX = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_BOX_TRIANGLES = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5]),
        *([0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6]),
        *([0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ]
)


def render_glb(plan: InteractionPlan, body_model: BodyModel | None = None) -> bytes:
    """Make the scene of a plan.

    The surface is skinned with four joints per vertex. That is exact for the stand-in; of SMPL-X
    the small corrections that depend on the pose are left out.

    Args:
        plan: What to show. Without a fitted body there are the target, paths and the camera.
        body_model: The body that was fitted; not needed without one.

    Returns:
        A binary glTF file.

    Raises:
        InputError: If the fit is of another body.
        WeightsError: If the model's file holds no surface.
    """
    scene, motion = GltfScene(), plan.motion
    times_sec = (np.arange(motion.num_frames) / plan.rollout.fps).astype(np.float32)
    nodes = [_add_camera(scene, plan)]
    if motion.body_fit is not None and body_model is not None:
        nodes += _add_body(scene, motion.body_fit, body_model, times_sec)
    nodes += _add_target(scene, plan, times_sec)
    for track in (*motion.hands, motion.target):
        known = np.isfinite(track.positions_camera_m).all(axis=-1)
        if known.sum() >= 2:
            name = f"{track.name} path"
            color = _color(track.name, 1.0)
            mesh = scene.add_mesh(name, track.positions_camera_m[known], color=color)
            nodes.append(scene.add_node(name=name, mesh=mesh))
    scene.add_node(is_root=True, name="tavid plan", rotation=_GLTF_FROM_OPTICAL, children=nodes)
    return scene.to_bytes()


def _add_camera(scene: GltfScene, plan: InteractionPlan) -> int:
    height, width = plan.request.image.shape[:2]
    camera = plan.request.intrinsics or intrinsics_from_field_of_view(width, height)
    yfov_rad = 2 * math.atan(0.5 * camera.height / camera.fy)
    number = scene.add_camera(yfov_rad, camera.width / camera.height)
    # Back again: a camera of glTF already looks the other way.
    return scene.add_node(name="camera", camera=number, rotation=_GLTF_FROM_OPTICAL)


def _add_body(
    scene: GltfScene, fit: BodyFit, model: BodyModel, times_sec: NDArray[np.float32]
) -> list[int]:
    surface = BodySurface(fit, model)
    rest_m = surface.rest_m
    # glTF's own minimum: a second set of four joints is not read everywhere.
    joints = np.argsort(-surface.weights, axis=1)[:, :4]
    weights = np.take_along_axis(surface.weights, joints, axis=1)
    weights = np.where(weights > 0, weights, 0.0)
    mesh = scene.add_mesh(
        f"body {fit.model}",
        surface.template_m.astype(np.float32),
        triangles=surface.triangles,
        color=_BODY_COLOR,
        joints=np.where(weights > 0, joints, 0),
        weights=(weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
    )
    offsets_m = np.concatenate([np.zeros((1, 3)), rest_m[1:] - rest_m[list(PARENTS[1:])]])
    nodes = [
        scene.add_node(name=name, translation=offset.tolist())
        for name, offset in zip(JOINT_NAMES, offsets_m, strict=True)
    ]
    for joint, node in enumerate(nodes):
        children = [nodes[child] for child, parent in enumerate(PARENTS) if parent == joint]
        if children:
            scene.set_node(node, children=children)
        turns = Rotation.from_rotvec(fit.joint_rotations[:, joint].astype(np.float64)).as_quat()
        scene.add_motion(node, "rotation", times_sec, _without_flips(turns))
    scene.add_motion(nodes[0], "translation", times_sec, fit.pelvis_camera_m)
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(nodes), 1, 1))
    inverse_bind[:, :3, 3] = -rest_m
    skin = scene.add_skin(nodes, inverse_bind, nodes[0])
    return [nodes[0], scene.add_node(name=f"body {fit.model}", mesh=mesh, skin=skin)]


def _add_target(
    scene: GltfScene, plan: InteractionPlan, times_sec: NDArray[np.float32]
) -> list[int]:
    size_m, motion = estimate_target_size(plan), plan.motion
    known = np.isfinite(motion.target.positions_camera_m).all(axis=-1)
    if size_m is None or not known.any():
        return []
    corners_m = (_BOX * size_m).astype(np.float32)
    color = _color("target", 0.55)
    mesh = scene.add_mesh("target", corners_m, triangles=_BOX_TRIANGLES, color=color)
    first_m = motion.target.positions_camera_m[known][0]
    node = scene.add_node(name="target", mesh=mesh, translation=first_m.tolist())
    places_m = motion.target.positions_camera_m[known]
    scene.add_motion(node, "translation", times_sec[known], places_m)
    if motion.target_dof == 6:
        turned = np.isfinite(motion.target_quaternions_xyzw).all(axis=-1)
        turns = _without_flips(motion.target_quaternions_xyzw[turned])
        scene.add_motion(node, "rotation", times_sec[turned], turns)
    return [node]


def _without_flips(quaternions: NDArray[np.floating]) -> NDArray[np.float32]:
    """Choose between q and -q, so that no program turns the long way round."""
    dots = (quaternions[1:] * quaternions[:-1]).sum(axis=-1)
    signs = np.cumprod(np.concatenate([[1.0], np.where(dots < 0, -1.0, 1.0)]))
    return (quaternions * signs[:, None]).astype(np.float32)


def _color(name: str, opacity: float) -> tuple[float, float, float, float]:
    red, green, blue = (value / 255 for value in TRACK_COLORS.get(name, _OTHER_COLOR))
    return red, green, blue, opacity
