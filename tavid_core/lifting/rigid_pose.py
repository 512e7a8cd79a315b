"""Where a rigid body went, from points that were found again: PnP in a picture, Kabsch in space.

A pose takes a point of the body's frame to the camera's: X_camera = rotation @ X_body + position.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import check_shape
from tavid_core.types import CameraIntrinsics

__all__ = [
    "RigidPose",
    "camera_matrix",
    "solve_kabsch",
    "solve_pnp",
    "transform",
]

MIN_POINTS = 4
NUM_RANSAC_TRIES = 100


@dataclasses.dataclass(frozen=True)
class RigidPose:
    """Pose of a body in the optical frame.

    Args:
        rotation: camera_from_body, float64 (3, 3).
        position_m: Of the body's origin, float64 (3,), metres.
        is_inlier: Which of the points agree with it, bool (N,).
    """

    rotation: NDArray[np.float64]
    position_m: NDArray[np.float64]
    is_inlier: NDArray[np.bool_]

    @property
    def inlier_share(self) -> float:
        """Share of the points that agree, 0..1."""
        return float(self.is_inlier.mean()) if self.is_inlier.size else 0.0


def camera_matrix(intrinsics: CameraIntrinsics) -> NDArray[np.float64]:
    """Write intrinsics as a matrix.

    Args:
        intrinsics: Of a picture.

    Returns:
        float64 (3, 3).
    """
    return np.array(
        [
            [intrinsics.fx, 0.0, intrinsics.cx],
            [0.0, intrinsics.fy, intrinsics.cy],
            [0.0, 0.0, 1.0],
        ]
    )


def transform(
    points_m: NDArray[np.float64], rotation: NDArray[np.float64], position_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Take points of the body's frame to the camera's.

    Args:
        points_m: float64 (N, 3), metres, body frame.
        rotation: camera_from_body, float64 (3, 3).
        position_m: Of the body's origin, float64 (3,), metres.

    Returns:
        float64 (N, 3), metres, optical frame.
    """
    return points_m @ rotation.T + position_m


def solve_pnp(
    points_m: NDArray[np.float64],
    pixels: NDArray[np.float64],
    intrinsics: CameraIntrinsics,
    *,
    max_error_px: float = 2.0,
) -> RigidPose | None:
    """Find the pose under which points are seen where they are seen.

    RANSAC over SQPNP, then Levenberg-Marquardt on the inliers. The share of inliers alone does
    not tell a right pose from a wrong one; check the pose against the mask too.

    Args:
        points_m: float64 (N, 3), metres, body frame.
        pixels: Column and row, float64 (N, 2).
        intrinsics: Of the picture.
        max_error_px: Farther than this a point does not agree, pixels.

    Returns:
        The pose, or None with fewer than four points or if none is in front of the camera.

    Raises:
        ShapeError: If points and pixels are not as many.
    """
    check_shape("pixels", pixels.shape, (len(points_m), 2), "Give one pixel per point.")
    if len(points_m) < MIN_POINTS:
        return None
    points_m = np.ascontiguousarray(points_m, dtype=np.float64)
    pixels = np.ascontiguousarray(pixels, dtype=np.float64)
    matrix = camera_matrix(intrinsics)
    try:
        is_found, turn, position, inliers = cv2.solvePnPRansac(
            points_m,
            pixels,
            matrix,
            None,
            iterationsCount=NUM_RANSAC_TRIES,
            reprojectionError=max_error_px,
            flags=cv2.SOLVEPNP_SQPNP,
        )
        if not is_found or inliers is None or len(inliers) < MIN_POINTS:
            return None
        chosen = inliers[:, 0]
        turn, position = cv2.solvePnPRefineLM(
            points_m[chosen], pixels[chosen], matrix, None, turn, position
        )
    except cv2.error:
        # Points on one line, or all in one place, have no pose.
        return None
    rotation, position_m = cv2.Rodrigues(turn)[0], position[:, 0]
    is_in_front = position_m[2] > 0 and transform(points_m, rotation, position_m)[:, 2].min() > 0
    if not (np.isfinite(rotation).all() and is_in_front):
        return None
    is_inlier = np.zeros(len(points_m), dtype=bool)
    is_inlier[chosen] = True
    return RigidPose(rotation, position_m, is_inlier)


def solve_kabsch(
    points_m: NDArray[np.float64],
    measured_m: NDArray[np.float64],
    *,
    max_error_m: float = 0.01,
    seed: int = 0,
) -> RigidPose | None:
    """Find the pose that lays points of the body over measured ones.

    Args:
        points_m: float64 (N, 3), metres, body frame.
        measured_m: The same points in the optical frame, float64 (N, 3), metres; NaN where not
            measured.
        max_error_m: Farther than this a point does not agree, metres.
        seed: Of the random triples.

    Returns:
        The pose, or None if fewer than four points are measured or all lie on one line.
        `inlier_share` counts only measured points; below 0.7 the pose is not to be trusted.

    Raises:
        ShapeError: If there are not as many of both.

    References:
        Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976.
    """
    check_shape("measured_m", measured_m.shape, (len(points_m), 3), "Give one per point.")
    is_known = np.isfinite(measured_m).all(axis=-1) & np.isfinite(points_m).all(axis=-1)
    known = np.flatnonzero(is_known)
    if len(known) < MIN_POINTS:
        return None
    body, camera = points_m[known], measured_m[known]
    rng = np.random.default_rng(seed)
    best = np.zeros(len(known), dtype=bool)
    for _ in range(NUM_RANSAC_TRIES):
        triple = rng.choice(len(known), 3, replace=False)
        agrees = _agreeing(body, camera, triple, max_error_m)
        best = agrees if agrees.sum() > best.sum() else best
    if best.sum() < MIN_POINTS:
        return None
    best = _agreeing(body, camera, np.flatnonzero(best), max_error_m)
    if best.sum() < MIN_POINTS or np.linalg.matrix_rank(body[best] - body[best].mean(0), 1e-4) < 2:
        return None
    rotation, position_m = _fit(body[best], camera[best])
    is_inlier = best
    return RigidPose(rotation, position_m, is_inlier)


def _agreeing(
    body: NDArray[np.float64],
    camera: NDArray[np.float64],
    chosen: NDArray[np.int64],
    max_error_m: float,
) -> NDArray[np.bool_]:
    rotation, position_m = _fit(body[chosen], camera[chosen])
    return np.linalg.norm(transform(body, rotation, position_m) - camera, axis=-1) <= max_error_m


def _fit(
    body: NDArray[np.float64], camera: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    middle_body, middle_camera = body.mean(axis=0), camera.mean(axis=0)
    left, _, right = np.linalg.svd((body - middle_body).T @ (camera - middle_camera))
    # A mirror image fits as well as a rotation where points are few or flat.
    sign = np.sign(np.linalg.det(right.T @ left.T))
    rotation = right.T @ np.diag([1.0, 1.0, sign]) @ left.T
    return rotation, middle_camera - rotation @ middle_body
