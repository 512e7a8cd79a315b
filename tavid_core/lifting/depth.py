"""How far things are in frame 0, the only frame that has a measured depth.

Without a depth map distances are assumed, and everything metric says so.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import project
from tavid_core.lifting.support import center_above_support
from tavid_core.types import CameraIntrinsics, PlanRequest

__all__ = [
    "ASSUMED_DISTANCE_M",
    "ASSUMED_SHOULDER_WIDTH_M",
    "SceneDepth",
    "center_depth",
    "measure_scene",
    "sample_depth",
]

# Across a kitchen counter or a table; between a robot's head camera and what it can reach.
ASSUMED_DISTANCE_M = 1.2
# Joint to joint, adults; 0.33 to 0.42 covers nine of ten. Turned shoulders look narrower.
ASSUMED_SHOULDER_WIDTH_M = 0.37
MIN_DISTANCE_M, MAX_DISTANCE_M = 0.2, 10.0
# The surface that a camera sees is nearer than the object's centre: by 0.38 times the square root
# of its area for a ball. Other shapes that are as deep as wide are within 2 cm of it at mug size.
SURFACE_TO_CENTER_SIDES = 0.38
MIN_KNOWN_SHARE = 0.1
MAX_DISAGREEMENT = 0.1
SURROUNDINGS_CONFIDENCE = 0.4
ASSUMED_CONFIDENCE, UNKNOWN_CONFIDENCE = 0.2, 0.1


@dataclasses.dataclass(frozen=True)
class SceneDepth:
    """Where metres come from in this plan.

    Args:
        target_m: Depth of the target's centre, metres.
        source: "sensor", "height_prior" (the size of the actor) or "none" (a usual distance).
        confidence: Of the scale, 0..1.
        reason: What it rests on, for channels of low confidence.
        center_offset_px: From the middle of the mask's pixels to where the centre is seen, column
            and row, caller's pixels: a bottle's pixels are mostly below its middle.
    """

    target_m: float
    source: str
    confidence: float
    reason: str
    center_offset_px: tuple[float, float] = (0.0, 0.0)


def sample_depth(
    depth_m: NDArray[np.float32],
    pixel: NDArray[np.float32],
    radius_px: float,
    within: NDArray[np.bool_] | None = None,
) -> float:
    """Take the median of the known depths around a pixel.

    Args:
        depth_m: float32 (H, W), metres; NaN, infinity or 0 = unknown.
        pixel: Column and row, float (2,); may be NaN.
        radius_px: Half side of the window, pixels.
        within: bool (H, W); where some of the window is marked only that part counts, so that a
            thin hand is not measured on what is behind it. Or None.

    Returns:
        Metres, or NaN where nothing is known.
    """
    if not np.isfinite(pixel).all():
        return math.nan
    height, width = depth_m.shape
    left, top = (max(math.floor(value - radius_px), 0) for value in pixel)
    right, bottom = (max(math.ceil(value + radius_px) + 1, 0) for value in pixel)
    box = np.s_[top : min(bottom, height), left : min(right, width)]
    window = depth_m[box]
    if within is not None and within[box].any():
        window = window[within[box]]
    known = window[np.isfinite(window) & (window > 0)]
    return float(np.median(known)) if known.size else math.nan


def center_depth(
    depth_m: NDArray[np.float32], mask: NDArray[np.bool_], intrinsics: CameraIntrinsics
) -> tuple[float, float]:
    """Measure how far an object's centre is.

    The rim of the mask is left out where the object is large enough, since depth cameras mix
    object and background there.

    Args:
        depth_m: float32 (H, W), metres; NaN, infinity or 0 = unknown.
        mask: The object, bool (H, W).
        intrinsics: Of this image.

    Returns:
        Metres, NaN where less than a tenth of the object has a known depth, and the known share.
    """
    core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    values = depth_m[core if core.any() else mask]
    known = values[np.isfinite(values) & (values > 0)]
    share = known.size / values.size
    if share < MIN_KNOWN_SHARE:
        return math.nan, share
    surface_m = float(np.median(known))
    focal_px = math.sqrt(intrinsics.fx * intrinsics.fy)
    side_m = math.sqrt(float(mask.sum())) * surface_m / focal_px
    return surface_m + SURFACE_TO_CENTER_SIDES * side_m, share


def measure_scene(
    request: PlanRequest, intrinsics: CameraIntrinsics, shoulder_width_px: float
) -> SceneDepth:
    """Find how far the target is, from the best that there is.

    In this order: depth on the target, depth right around it (glass and polished metal give
    none), the actor's shoulders, a fixed distance.

    Args:
        request: With or without depth.
        intrinsics: Of the request's image.
        shoulder_width_px: Distance of the actor's shoulders, caller's pixels; NaN if not seen.

    Returns:
        The target's depth and how far to trust it.
    """
    focal_note, factor = "", 1.0
    if intrinsics.is_assumed:
        angle_deg = 2 * math.degrees(math.atan(intrinsics.width / 2 / intrinsics.fx))
        focal_note, factor = (
            f"; a field of view of {angle_deg:.0f} degrees is assumed, which adds some 15 %",
            0.5,
        )
    elif intrinsics.has_distortion:
        focal_note, factor = "; the image is bent by its lens and not rectified", 0.5
    if request.depth_m is not None:
        target_m, share = center_depth(request.depth_m, request.target_mask, intrinsics)
        if math.isfinite(target_m):
            middle_m = center_above_support(request.depth_m, request.target_mask, intrinsics)
            offset_px = (0.0, 0.0)
            if middle_m is not None and abs(middle_m[2] / target_m - 1) < MAX_DISAGREEMENT:
                target_m = float(middle_m[2])
                offset_px = _offset_px(middle_m, request.target_mask, intrinsics)
            reason = f"depth is known on {share:.0%} of the target{focal_note}"
            confidence = factor * (0.55 + 0.4 * share)
            return SceneDepth(target_m, "sensor", confidence, reason, offset_px)
        target_m = _depth_around(request.depth_m, request.target_mask)
        if math.isfinite(target_m):
            reason = f"no depth on the target, that of its surroundings is taken{focal_note}"
            return SceneDepth(target_m, "sensor", factor * SURROUNDINGS_CONFIDENCE, reason)
    assumed = _assume_distance(shoulder_width_px, intrinsics)
    return dataclasses.replace(
        assumed, confidence=factor * assumed.confidence, reason=f"{assumed.reason}{focal_note}"
    )


def _offset_px(
    center_m: NDArray[np.float64], mask: NDArray[np.bool_], intrinsics: CameraIntrinsics
) -> tuple[float, float]:
    row, column = np.argwhere(mask).mean(axis=0)
    at = project(center_m, intrinsics)
    return float(at[0] - column), float(at[1] - row)


def _depth_around(depth_m: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Median of the known depths in a ring half an object wide."""
    width = max(3, round(math.sqrt(float(mask.sum())) / 2)) // 2 * 2 + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    ring = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask
    values = depth_m[ring]
    known = values[np.isfinite(values) & (values > 0)]
    if known.size < MIN_KNOWN_SHARE * max(values.size, 1):
        return math.nan
    return float(np.median(known))


def _assume_distance(shoulder_width_px: float, intrinsics: CameraIntrinsics) -> SceneDepth:
    if math.isfinite(shoulder_width_px) and shoulder_width_px > 1:
        distance_m = intrinsics.fx * ASSUMED_SHOULDER_WIDTH_M / shoulder_width_px
        if MIN_DISTANCE_M <= distance_m <= MAX_DISTANCE_M:
            reason = (
                f"no depth at the target, so {distance_m:.2f} m is assumed from shoulders "
                f"{ASSUMED_SHOULDER_WIDTH_M} m wide, some 10 % off"
            )
            return SceneDepth(distance_m, "height_prior", ASSUMED_CONFIDENCE, reason)
    reason = f"no depth at the target, so a distance of {ASSUMED_DISTANCE_M} m is assumed"
    return SceneDepth(ASSUMED_DISTANCE_M, "none", UNKNOWN_CONFIDENCE, reason)
