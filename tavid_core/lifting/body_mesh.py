"""The surface of a fitted body, by linear blend skinning; made once, and only when asked for.

Shape suffixes: T frames, J joints, V vertices, F triangles.

References:
    Loper et al., SMPL: A Skinned Multi-Person Linear Model, 2015.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tavid_core.errors import InputError, WeightsError
from tavid_core.lifting.body_model import NUM_SHAPES, STANDIN, BodyModel, pose_joints
from tavid_core.types import BodyFit

__all__ = ["mesh_body", "write_obj"]


def mesh_body(
    fit: BodyFit, model: BodyModel, frame: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Make the surface in one frame.

    Args:
        fit: The fitted body.
        model: The body that was fitted.
        frame: 0 to T - 1.

    Returns:
        Vertices float32 (V, 3), metres, optical frame, and triangles int64 (F, 3).

    Raises:
        InputError: If the fit is of another body.
        WeightsError: If the model's file holds no surface.
    """
    if fit.model != model.name:
        raise InputError(
            f"body_fit must be of the body {model.name}, got one of {fit.model}. "
            "Load the body that was fitted."
        )
    template_m, triangles, weights, pose_steps = _surface(model, fit.betas.astype(np.float64))
    rest_m = model.rest_joints(fit.betas.astype(np.float64))
    turns = Rotation.from_rotvec(fit.joint_rotations[frame].astype(np.float64)).as_matrix()
    if pose_steps is not None:
        template_m = template_m + pose_steps @ (turns[1:] - np.eye(3)).ravel()
    pelvis_m = fit.pelvis_camera_m[frame : frame + 1].astype(np.float64)
    places_m, frames = pose_joints(rest_m, turns[None], pelvis_m)
    shifts_m = places_m[0] - np.einsum("jab,jb->ja", frames[0], rest_m)
    blended = np.einsum("vj,jab->vab", weights, frames[0])
    vertices_m = np.einsum("vab,vb->va", blended, template_m) + weights @ shifts_m
    return vertices_m.astype(np.float32), triangles


def write_obj(path: Path, vertices_m: NDArray[np.float32], triangles: NDArray[np.int64]) -> None:
    """Write a surface as Wavefront OBJ, which every 3D program opens.

    Args:
        path: The file.
        vertices_m: float32 (V, 3), metres.
        triangles: int64 (F, 3).
    """
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices_m]
    lines += [f"f {a} {b} {c}" for a, b, c in triangles + 1]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _surface(
    model: BodyModel, betas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Rest surface of one shape around the pelvis, triangles, skin weights, pose corrections."""
    if model.name == STANDIN:
        from safetensors.numpy import load_file

        arrays = load_file(model.path)
        scale = arrays["vertex_step_scale_m"].astype(np.float64) * betas
        template_m = arrays["vertices_m"].astype(np.float64)
        template_m += np.tensordot(scale, arrays["vertex_steps"].astype(np.float64), axes=1)
        weights = np.zeros((len(template_m), len(model.joints_m)))
        np.put_along_axis(
            weights, arrays["weight_joints"].astype(np.int64), arrays["weights"], axis=1
        )
        weights /= weights.sum(axis=1, keepdims=True)
        return template_m, arrays["triangles"].astype(np.int64), weights, None
    try:
        with np.load(model.path, allow_pickle=False) as file:
            template_m = np.asarray(file["v_template"], np.float64)
            steps = np.asarray(file["shapedirs"], np.float64)[..., :NUM_SHAPES]
            origin_m = (np.asarray(file["J_regressor"], np.float64) @ (template_m + steps @ betas))[
                0
            ]
            triangles = np.asarray(file["f"], np.int64)
            weights = np.asarray(file["weights"], np.float64)
            pose_steps = np.asarray(file["posedirs"], np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{model.path.name} must hold a surface (f, weights, posedirs), got: {error}. "
            "Use the file as its authors give it."
        ) from error
    return template_m + steps @ betas - origin_m, triangles, weights, pose_steps
