"""Refine a body's pose until its pixels of frame 0 look alike where they are now.

Every frame is compared with frame 0 itself, so errors do not add up over the video.

Shape suffixes: N pixels of the body, C colour channels.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.point_tracks import crop_around
from tavid_core.types import CameraIntrinsics

__all__ = ["Alignment", "BodyPixels", "align"]

# Gaussian blurs of the pictures, pixels, coarse to fine: the coarser, the farther it converges.
BLURS_PX = (2.5, 1.0)
MAX_ITERATIONS = 10
# Metres and radians; and the share by which a step must better the cost to be worth another.
MIN_STEP, MIN_GAIN = 5e-5, 1e-3
# How far a pose may move from the first guess in the picture, pixels.
MARGIN_PX = 32
MIN_VISIBLE = 60
# Grey values; a pixel that differs by more is somebody else's.
FIXED_LIMIT = 60.0
MIN_SPREAD = 4.0
# A surface seen at a flatter angle than this is about to disappear; its pixels are smeared.
MIN_FACING = 0.2


@dataclasses.dataclass(frozen=True)
class BodyPixels:
    """What frame 0 shows of a body.

    Args:
        points_m: Of each pixel, float64 (N, 3), metres, body frame.
        normals: Of the surface there, towards the camera of frame 0, float64 (N, 3), body frame.
        pixels: Column and row in frame 0, float32 (N, 2).
    """

    points_m: NDArray[np.float64]
    normals: NDArray[np.float64]
    pixels: NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """A refined pose.

    Args:
        rotation: camera_from_body, float64 (3, 3).
        position_m: Of the body's origin, float64 (3,), metres.
        likeness: Correlation of the body's pixels now and in frame 0, -1..1.
        visible_share: Share of the body's pixels that face the camera and look alike.
    """

    rotation: NDArray[np.float64]
    position_m: NDArray[np.float64]
    likeness: float
    visible_share: float


def align(
    first: NDArray[np.uint8],
    frame: NDArray[np.uint8],
    body: BodyPixels,
    rotation: NDArray[np.float64],
    position_m: NDArray[np.float64],
    intrinsics: CameraIntrinsics,
) -> Alignment:
    """Refine a pose in one frame.

    Args:
        first: Frame 0, RGB, uint8 (h, w, 3).
        frame: The frame, RGB, uint8 (h, w, 3).
        body: Its pixels of frame 0.
        rotation: First guess, camera_from_body, float64 (3, 3); within some pixels of the truth.
        position_m: First guess, float64 (3,), metres.
        intrinsics: Of both frames.

    Returns:
        The refined pose and how well it explains the frame; a likeness of -1 where too little of
        the body is in the picture.
    """
    for blur_px in BLURS_PX:
        pose = rotation, position_m
        views = _Views(first, frame, body, intrinsics, blur_px, pose)
        now = views.compare(*pose)
        damping = 1e-4
        for _ in range(MAX_ITERATIONS):
            if now is None:
                break
            step = views.step(now, damping)
            tried = cv2.Rodrigues(step[:3])[0] @ pose[0], pose[1] + step[3:]
            then = views.compare(*tried)
            if then is None or then.cost >= now.cost:
                damping *= 30
                if damping > 1e3:
                    break
                continue
            is_done = then.cost > (1 - MIN_GAIN) * now.cost or np.linalg.norm(step) < MIN_STEP
            pose, now, damping = tried, then, max(damping / 10, 1e-6)
            if is_done:
                break
        rotation, position_m = pose
    if now is None:
        return Alignment(rotation, position_m, -1.0, 0.0)
    share = float((now.weights > 0.3).mean())
    return Alignment(rotation, position_m, now.likeness, share)


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """The body's pixels at one pose against frame 0."""

    arms_m: NDArray[np.float64]
    points_m: NDArray[np.float64]
    at: NDArray[np.float64]
    gains: NDArray[np.float64]
    residual_NC: NDArray[np.float64]
    weights: NDArray[np.float64]
    cost: float
    likeness: float


class _Views:
    """Frame 0 and another one at one blur."""

    def __init__(
        self,
        first: NDArray[np.uint8],
        frame: NDArray[np.uint8],
        body: BodyPixels,
        intrinsics: CameraIntrinsics,
        blur_px: float,
        pose: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        self._body, self._intrinsics = body, intrinsics
        # Only the neighbourhood is blurred: a body is a fiftieth of the picture.
        part, corner = crop_around(first, body.pixels, MARGIN_PX)
        self._wanted = _sample(_blur(part, blur_px), body.pixels - corner)
        guess = _project(body.points_m @ pose[0].T + pose[1], intrinsics)
        part, self._corner = crop_around(frame, guess, MARGIN_PX)
        self._now = _blur(part, blur_px)
        self._slopes = [
            cv2.Scharr(self._now, cv2.CV_32F, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1))
        ]

    def compare(
        self, rotation: NDArray[np.float64], position_m: NDArray[np.float64]
    ) -> _Comparison | None:
        """Look where the body would be; None if too little of it is in the picture."""
        arms = self._body.points_m @ rotation.T
        points = arms + position_m
        at = _project(points, self._intrinsics) - self._corner
        height, width = self._now.shape[:2]
        is_inside = ((at >= 0) & (at <= (width - 1, height - 1))).all(axis=-1) & (points[:, 2] > 0)
        rays = points / np.linalg.norm(points, axis=-1, keepdims=True)
        facing = -((self._body.normals @ rotation.T) * rays).sum(axis=-1)
        is_visible = is_inside & (facing > MIN_FACING)
        if is_visible.sum() < MIN_VISIBLE:
            return None
        seen = _sample(self._now, at)
        # The light on a turning surface changes: brightness and contrast are free.
        gains, biases = _match(self._wanted[is_visible], seen[is_visible])
        residual = self._wanted - (gains * seen + biases)
        # Tukey's weights: a hand over the body counts nothing, not little.
        away = np.linalg.norm(residual, axis=-1)
        limit = 4.0 * (float(np.median(away[is_visible])) + 1.0)
        ratio = np.minimum(away / limit, 1.0)
        weights = np.where(is_visible, (1 - ratio**2) ** 2, 0.0)
        # Mean of Tukey's loss over what faces the camera, at a fixed limit, so that it compares.
        fixed = np.minimum(away[is_visible] / FIXED_LIMIT, 1.0)
        cost = float((1 - (1 - fixed**2) ** 3).mean())
        likeness = _correlation(self._wanted, seen, weights)
        return _Comparison(arms, points, at, gains, residual, weights, cost, likeness)

    def step(self, now: _Comparison, damping: float) -> NDArray[np.float64]:
        """One damped Gauss-Newton step: a turn and a shift in the camera's frame."""
        along_x, along_y = (now.gains * _sample(slope, now.at) for slope in self._slopes)
        x, y, z = now.points_m.T[..., None]
        by_x = along_x * self._intrinsics.fx / z
        by_y = along_y * self._intrinsics.fy / z
        by_z = -(by_x * x + by_y * y) / z
        by_shift = np.stack([by_x, by_y, by_z], axis=-1)
        by_turn = np.cross(now.arms_m[:, None], by_shift)
        jacobian = np.concatenate([by_turn, by_shift], axis=-1).reshape(-1, 6)
        weighted = jacobian * np.repeat(now.weights, now.residual_NC.shape[1])[:, None]
        normal = weighted.T @ jacobian
        normal += damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(6)
        return np.linalg.solve(normal, weighted.T @ now.residual_NC.ravel())


def _project(points: NDArray[np.float64], intrinsics: CameraIntrinsics) -> NDArray[np.float64]:
    z = np.maximum(points[:, 2], 1e-6)
    return np.stack(
        [
            intrinsics.fx * points[:, 0] / z + intrinsics.cx,
            intrinsics.fy * points[:, 1] / z + intrinsics.cy,
        ],
        axis=1,
    )


def _blur(frame: NDArray[np.uint8], blur_px: float) -> NDArray[np.float32]:
    return cv2.GaussianBlur(frame.astype(np.float32), (0, 0), blur_px)


def _sample(picture: NDArray[np.float32], at: NDArray[np.floating]) -> NDArray[np.float32]:
    at = np.ascontiguousarray(at, dtype=np.float32)
    return cv2.remap(
        picture, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )[0]


def _match(
    wanted: NDArray[np.float32], seen: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain and bias per channel from medians, which half a hand does not shift by much."""
    middle_wanted, middle_seen = np.median(wanted, axis=0), np.median(seen, axis=0)
    spread_wanted = np.median(np.abs(wanted - middle_wanted), axis=0)
    spread_seen = np.median(np.abs(seen - middle_seen), axis=0)
    # Where a channel is nearly uniform its contrast says nothing.
    gains = np.clip((spread_wanted + MIN_SPREAD) / (spread_seen + MIN_SPREAD), 0.5, 2.0)
    return gains, middle_wanted - gains * middle_seen


def _correlation(
    first: NDArray[np.float32], second: NDArray[np.float32], weights: NDArray[np.float64]
) -> float:
    """Correlation over all channels, of the pixels that count."""
    is_used = weights > 0
    if is_used.sum() < MIN_VISIBLE:
        return -1.0
    first, second = (values[is_used] - values[is_used].mean(axis=0) for values in (first, second))
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / scale) if scale > 0 else -1.0
