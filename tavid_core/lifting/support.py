"""Where the middle of an object is that stands on something, though only its near side is seen."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import unproject
from tavid_core.types import CameraIntrinsics

__all__ = ["center_above_support"]

NUM_TRIES = 60
MAX_FROM_PLANE_M = 0.008
MIN_PLANE_SHARE = 0.5
MIN_PLANE_POINTS = 30
MAX_PLANE_POINTS = 1500
# Seen straight from above or as a wall behind, a plane does not say how deep things on it are.
MAX_ALONG_RAY = 0.9
MIN_HEIGHT_M = 0.02


def center_above_support(
    depth_m: NDArray[np.float32], mask: NDArray[np.bool_], intrinsics: CameraIntrinsics
) -> NDArray[np.float64] | None:
    """Find the middle of an object: half its height up, half its width behind its near side.

    The far side is hidden: a thing is taken to be as deep as it is wide. That is right for whatever
    is round about its axis, and for cubes.

    Args:
        depth_m: float32 (H, W), metres; NaN or 0 = unknown.
        mask: The object, bool (H, W).
        intrinsics: Of this image.

    Returns:
        float64 (3,), metres, optical frame; None if no plane is seen around the object, or it is
        seen so that it does not help.
    """
    part, camera = _around(mask, intrinsics)
    mask = mask[part]
    known_m = np.where(np.isfinite(depth_m[part]), depth_m[part], 0).astype(np.float32)
    height, width = mask.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    points = unproject(grid, cv2.medianBlur(np.ascontiguousarray(known_m), 5), camera)
    is_known = np.isfinite(points).all(axis=-1)
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    own = points[core & is_known]
    plane = _fit_plane(points[~rim & is_known])
    if plane is None or len(own) < MIN_PLANE_POINTS:
        return None
    origin, up = plane
    ray = own.mean(axis=0) / np.linalg.norm(own.mean(axis=0))
    height_m = float(np.percentile((own - origin) @ up, 99))
    if abs(ray @ up) > MAX_ALONG_RAY or height_m < MIN_HEIGHT_M:
        return None
    ahead = ray - (ray @ up) * up
    ahead /= np.linalg.norm(ahead)
    sideways = np.cross(ahead, up)
    # Half the mask's rim pixels are left out on both sides, and the depth of those that stay is
    # smeared by half a pixel.
    rim_m = float(np.linalg.norm(own.mean(axis=0))) / camera.fx
    left_m, right_m = np.percentile(own @ sideways, (1, 99))
    front_m = float(np.percentile(own @ ahead, 1)) - rim_m / 2
    behind_m = front_m + (right_m - left_m + 2 * rim_m) / 2
    # A handle widens an outline; most of the pixels are the body's.
    beside_m = float(np.median(own @ sideways))
    return beside_m * sideways + behind_m * ahead + (origin @ up + height_m / 2) * up


def _around(
    mask: NDArray[np.bool_], intrinsics: CameraIntrinsics
) -> tuple[tuple[slice, slice], CameraIntrinsics]:
    """The object with half its size around it, and the camera of that part."""
    rows, columns = np.nonzero(mask)
    margin = max(3, round(0.5 * math.sqrt(len(rows))))
    top, left = max(int(rows.min()) - margin, 0), max(int(columns.min()) - margin, 0)
    part = np.s_[top : int(rows.max()) + margin + 1, left : int(columns.max()) + margin + 1]
    height, width = mask[part].shape
    camera = CameraIntrinsics(
        fx=intrinsics.fx,
        fy=intrinsics.fy,
        cx=intrinsics.cx - left,
        cy=intrinsics.cy - top,
        width=width,
        height=height,
    )
    return part, camera


def _fit_plane(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """A point of the plane and its normal towards the camera; None if most points are off it."""
    points = points[:: max(1, -(-len(points) // MAX_PLANE_POINTS))]
    if len(points) < MIN_PLANE_POINTS:
        return None
    rng = np.random.default_rng(0)
    best = np.zeros(len(points), dtype=bool)
    for _ in range(NUM_TRIES):
        first, second, third = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(second - first, third - first)
        length = float(np.linalg.norm(normal))
        if length > 1e-9:
            is_on = np.abs((points - first) @ (normal / length)) < MAX_FROM_PLANE_M
            best = is_on if is_on.sum() > best.sum() else best
    if best.mean() < MIN_PLANE_SHARE:
        return None
    origin = points[best].mean(axis=0)
    normal = np.linalg.svd(points[best] - origin, full_matrices=False)[2][2]
    return origin, -normal if normal @ origin > 0 else normal
