"""The surface of a fitted body, by linear blend skinning; made once, and only when asked for.

Shape suffixes: T frames, J joints, V vertices, F triangles.

References:
    Loper et al., SMPL: A Skinned Multi-Person Linear Model, 2015.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tavid_core.errors import InputError, WeightsError
from tavid_core.lifting.body_model import NUM_SHAPES, STANDIN, BodyModel, pose_joints
from tavid_core.types import BodyFit

__all__ = ["BodySurface", "check_surface", "mesh_body", "write_obj"]


class BodySurface:
    """The surface of one fitted body, to be posed as often as wanted.

    Args:
        fit: The fitted body.
        model: The body that was fitted.

    Attributes:
        template_m: Vertices at rest, float64 (V, 3), metres, pelvis in the origin.
        triangles: int64 (F, 3).
        weights: How much each vertex follows each joint, float64 (V, J), rows add up to 1.
        rest_m: Joints at rest, float64 (J, 3), metres.

    Raises:
        InputError: If the fit is of another body.
        WeightsError: If the model's file holds no surface.
    """

    def __init__(self, fit: BodyFit, model: BodyModel) -> None:
        if fit.model != model.name:
            raise InputError(
                f"body_fit must be of the body {model.name}, got one of {fit.model}. "
                "Load the body that was fitted."
            )
        betas = fit.betas.astype(np.float64)
        self._fit = fit
        self.template_m, self.triangles, self.weights, pose_steps = _surface(model, betas)
        self._pose_steps = pose_steps
        self.rest_m = model.rest_joints(betas)

    def at(self, frame: int) -> NDArray[np.float32]:
        """Pose the surface.

        Args:
            frame: 0 to T - 1.

        Returns:
            Vertices float32 (V, 3), metres, optical frame.
        """
        fit, template_m = self._fit, self.template_m
        turns = Rotation.from_rotvec(fit.joint_rotations[frame].astype(np.float64)).as_matrix()
        if self._pose_steps is not None:
            template_m = template_m + self._pose_steps @ (turns[1:] - np.eye(3)).ravel()
        pelvis_m = fit.pelvis_camera_m[frame : frame + 1].astype(np.float64)
        places_m, frames = pose_joints(self.rest_m, turns[None], pelvis_m)
        shifts_m = places_m[0] - np.einsum("jab,jb->ja", frames[0], self.rest_m)
        blended = (self.weights @ frames[0].reshape(-1, 9)).reshape(-1, 3, 3)
        vertices_m = np.einsum("vab,vb->va", blended, template_m) + self.weights @ shifts_m
        return vertices_m.astype(np.float32)

    def thinned(self, cell_m: float) -> BodySurface:
        """Keep one vertex of each cube of space at rest, for pictures that must be small.

        Args:
            cell_m: Side of a cube, metres.

        Returns:
            The coarse surface, without triangles that have lost a corner.
        """
        cells = np.floor(self.template_m / cell_m).astype(np.int64)
        _, kept, owner = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        triangles = owner.reshape(-1)[self.triangles]
        ends = np.roll(triangles, 1, axis=1)
        triangles = triangles[(triangles != ends).all(axis=1)]
        # Each once, whichever corner it begins with; its sense stays.
        first = triangles.argmin(axis=1)[:, None]
        triangles = np.take_along_axis(triangles, (first + np.arange(3)) % 3, axis=1)
        pose_steps = self._pose_steps
        parts = {
            "template_m": self.template_m[kept],
            "weights": self.weights[kept],
            "triangles": np.unique(triangles, axis=0),
            "_pose_steps": None if pose_steps is None else pose_steps[kept],
        }
        coarse = copy.copy(self)
        vars(coarse).update(parts)
        return coarse


def check_surface(model: BodyModel) -> None:
    """Refuse a body without a surface before anything is fitted to it.

    Args:
        model: A body.

    Raises:
        WeightsError: If the model's file holds no surface.
    """
    _surface(model, np.zeros(NUM_SHAPES))


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
    surface = BodySurface(fit, model)
    return surface.at(frame), surface.triangles


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
