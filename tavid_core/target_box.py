"""The target as a box: about as large as its mask says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.types import InteractionPlan

__all__ = ["estimate_target_size"]

MIN_SIDE_M = 0.01


def estimate_target_size(plan: InteractionPlan) -> NDArray[np.float64] | None:
    """Estimate the extent of the target from its mask and its distance.

    One view shows width and height only; the depth is taken to be the smaller of the two. It is
    as metric as the plan is: with an assumed scale the size is assumed too.

    Args:
        plan: Any plan.

    Returns:
        Metres along the camera's x, y and z in frame 0, float64 (3,), each at least 0.01; None if
        the target's place is never known.
    """
    positions = plan.motion.target.positions_camera_m
    known = positions[np.isfinite(positions).all(axis=1)]
    if not len(known) or known[0, 2] <= 0:
        return None
    mask = plan.request.target_mask
    camera = plan.request.intrinsics or intrinsics_from_field_of_view(*mask.shape[::-1])
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    distance_m = float(known[0, 2])
    width_m = (columns[-1] - columns[0] + 1) * distance_m / camera.fx
    height_m = (rows[-1] - rows[0] + 1) * distance_m / camera.fy
    return np.maximum([width_m, height_m, min(width_m, height_m)], MIN_SIDE_M)
