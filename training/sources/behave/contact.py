"""Contact in metres: from registered meshes, or from joints and the object.

All points are in the world of the data set, metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from tavid_core.errors import InputError, MissingExtraError
from training.sources.array_pickle import read_array_pickle
from training.sources.behave.sequence_name import detector_name
from training.sources.field_values import pick, read_numbers
from training.sources.json_file import read_json_object

__all__ = ["measure_contact", "place_template", "spread_contact"]

MESH_CONTACT_M = 0.02
# A wrist's joint lies a hand away from what the fingers hold.
WRIST_CONTACT_M = 0.10
NUM_SURFACE_POINTS = 4000
WRISTS = (4, 7)  # of OpenPose's BODY_25
MIN_JOINT_SCORE = 0.3


def measure_contact(frame: Path, target: str, objects: Path | None) -> bool | None:
    """Tell whether the person touches the object in an annotated frame.

    Args:
        frame: The frame's folder.
        target: Name of the object.
        objects: Folder of the templates, for frames without the object's mesh; or None.

    Returns:
        Whether they touch; None where body or object are not registered.

    Raises:
        InputError: If a file is damaged.
    """
    points_m = _find_object(frame, target, objects)
    if points_m is None:
        return None
    body = frame / "person" / "fit02" / "person_fit.ply"
    if body.is_file():
        distance, limit = (
            cKDTree(_read_mesh(body).vertices).query(points_m)[0].min(),
            MESH_CONTACT_M,
        )
        return bool(distance < limit)
    joints = frame / "person" / "person_J3d.json"
    if not joints.is_file():
        return None
    wrists_m = _read_wrists(joints)
    if not len(wrists_m):
        return None
    return bool(cKDTree(points_m).query(wrists_m)[0].min() < WRIST_CONTACT_M)


def _find_object(frame: Path, target: str, objects: Path | None) -> NDArray[np.float64] | None:
    for name in dict.fromkeys((target, detector_name(target))):
        mesh = frame / name / "fit01" / f"{name}_fit.ply"
        if mesh.is_file():
            return _sample(_read_mesh(mesh))
        pose = mesh.with_suffix(".pkl")
        template = _find_template(objects, target)
        if pose.is_file() and template is not None:
            fit = read_array_pickle(pose)
            angle, translation_m = (
                read_numbers(pick(fit, key), (3,), f"{key} of {pose}") for key in ("angle", "trans")
            )
            return place_template(template, angle, translation_m)
    return None


def place_template(
    template: Path, rotation_vector: NDArray[np.float64], translation_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put points of an object's template where a registration says.

    Args:
        template: The simplified mesh (`NAME_fNNNN.ply`): poses are about its vertices' mean.
        rotation_vector: Axis times angle, float (3,), radians.
        translation_m: float (3,), metres.

    Returns:
        Points of the surface, float (N, 3), metres.
    """
    mesh = _read_mesh(template)
    points_m = _sample(mesh) - mesh.vertices.mean(axis=0)
    return Rotation.from_rotvec(rotation_vector).apply(points_m) + translation_m


def _find_template(objects: Path | None, target: str) -> Path | None:
    if objects is None or not target.isalnum():
        return None
    return next(iter(sorted((objects / target).glob(f"{target}*_f*.ply"))), None)


def _read_mesh(path: Path):  # noqa: ANN202 - the type is an extra's
    try:
        import trimesh
    except ImportError as error:
        raise MissingExtraError.of("trimesh", "data") from error
    try:
        mesh = trimesh.load_mesh(path, process=False)
        is_usable = len(mesh.vertices) > 0 and np.isfinite(mesh.vertices).all()
    except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
        raise InputError(f"{path.name} must be a readable mesh, got {error}. Copy it.") from error
    if not is_usable:
        raise InputError(f"{path.name} must hold finite vertices, got none. Copy it again.")
    return mesh


def _sample(mesh) -> NDArray[np.float64]:  # noqa: ANN001
    import trimesh

    if not len(getattr(mesh, "faces", ())):
        return np.asarray(mesh.vertices, dtype=np.float64)
    # Simplified meshes have few vertices: points between them matter.
    points_m, _ = trimesh.sample.sample_surface(mesh, NUM_SURFACE_POINTS, seed=0)
    return np.concatenate([np.asarray(points_m), np.asarray(mesh.vertices)])


def _read_wrists(path: Path) -> NDArray[np.float64]:
    values = read_json_object(path).get("body_joints3d")
    joints = read_numbers(values, (-1, 4), f"body_joints3d of {path}", allows_nan=True)
    if len(joints) <= max(WRISTS):
        raise InputError(
            f"body_joints3d of {path} must be the 25 joints of OpenPose, got {len(joints)}. "
            "Copy the file again."
        )
    wrists = joints[list(WRISTS)]
    is_seen = (wrists[:, 3] >= MIN_JOINT_SCORE) & np.isfinite(wrists).all(axis=1)
    return wrists[is_seen, :3]


def spread_contact(
    times_sec: NDArray[np.float64], known_sec: NDArray[np.float64], known: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Carry contact from annotated frames to all moments.

    Between two annotated frames that differ the hand arrives somewhere: those moments count as
    touching, so that a frame that counts as free is free.

    Args:
        times_sec: Of the moments, float (T,).
        known_sec: Of the annotated frames, rising.
        known: Whether they touch, bool.

    Returns:
        Whether moments touch, and which of them lie between annotated frames, both bool (T,).
    """
    after = np.searchsorted(known_sec, times_sec - 1e-6)
    before = np.searchsorted(known_sec, times_sec + 1e-6) - 1
    is_known = (before >= 0) & (after < len(known_sec))
    last = np.clip(before, 0, len(known_sec) - 1)
    following = np.clip(after, 0, len(known_sec) - 1)
    return known[last] | known[following], is_known
