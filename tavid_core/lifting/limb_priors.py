"""What is likely of a body where nothing measures it, as rows of the least-squares problem.

Shape suffixes: T frames, K points.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.anatomy import part_of
from tavid_core.lifting.least_squares import Rows

if TYPE_CHECKING:
    from tavid_core.lifting.limb_rows import LimbEvidence, LimbUnknowns

__all__ = ["TORSO_PARTS", "return_rows", "upright_rows"]

TORSO_PARTS = ("shoulder", "hip", "head")
# Without depth and without a network's guess nothing shows a small turn or bend: depth between left
# and right, and between head, shoulders and hips, in frame 0. The distance is that of the
# shoulders; longer arms than usual would pull the whole body nearer.
FIRST_TURN_M, FIRST_BEND_M, SHOULDERS_DISTANCE_SHARE = 0.03, 0.06, 0.02
# An arm whose elbow and hand look to be where they were in frame 0, within this share of their
# distance, is there again: nobody stretches an arm exactly along the line of sight.
RETURN_SHARE, AWAY_SHARE, RETURN_SIGMA_M = 0.03, 0.1, 0.08


def upright_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> list[Rows]:
    """Say that a torso which nothing measures is upright, faces the camera and is where it looks.

    Args:
        evidence: What was seen.
        unknowns: The order of the unknowns.
        points: The guess, float64 (T, K, 3), metres.

    Returns:
        The rows; none where something measures it.
    """
    if evidence.has_depth or evidence.relative_m is not None:
        return []
    torso = [k for k, name in enumerate(evidence.names) if part_of(name) in TORSO_PARTS]
    depths_m, index, rows = points[0, :, 2], unknowns.points[0, :, 2], []
    for first, second in itertools.pairwise(torso):
        is_pair = part_of(evidence.names[first]) == part_of(evidence.names[second])
        sigma_m = FIRST_TURN_M if is_pair else FIRST_BEND_M
        away_m = depths_m[[second]] - depths_m[first]
        ends = index[[first, second]][None]
        rows.append(Rows(ends, np.array([[-1.0, 1.0]]) / sigma_m, away_m / sigma_m))
    for start, end, bone in unknowns.bone_ends:
        apart = np.linalg.norm(evidence.rays[:, end] - evidence.rays[:, start], axis=-1)
        # A touch at a place that is known says more about the distance.
        if bone.kind != "shoulders" or evidence.anchors or not np.nanmax(apart, initial=0.0) > 0:
            continue
        distance_m = bone.length_m / float(np.nanmedian(apart))
        sigma_m = SHOULDERS_DISTANCE_SHARE * distance_m
        away_m = np.array([(depths_m[start] + depths_m[end]) / 2 - distance_m])
        pull = np.full((1, 2), 0.5 / sigma_m)
        rows.append(Rows(index[[start, end]][None], pull, away_m / sigma_m, is_robust=True))
    return rows


def return_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> Rows:
    """Say that an arm which is back in the picture where it was in frame 0 is as far as it was.

    Without it a hand that goes back after a touch has two places on its ray, and smoothness alone
    may choose the wrong one.

    Args:
        evidence: What was seen.
        unknowns: The order of the unknowns.
        points: The guess, float64 (T, K, 3), metres.

    Returns:
        The rows.
    """
    with np.errstate(invalid="ignore"):
        apart = np.linalg.norm(evidence.rays - evidence.rays[:1], axis=-1)
        is_there = apart < RETURN_SHARE
        # Only what was away can come back: a hand that sets off may go along its ray for a while.
        was_away = np.maximum.accumulate(apart > AWAY_SHARE, axis=0)
    frames, picks = [], []
    for side in ("left", "right"):
        ends = [f"{side}_elbow", f"{side}_hand"]
        if not set(ends) <= set(evidence.names):
            continue
        arm = [evidence.names.index(name) for name in ends]
        is_back = is_there[:, arm].all(axis=1) & was_away[:, arm].any(axis=1)
        for t in np.flatnonzero(is_back):
            frames += [t, t]
            picks += arm
    index = unknowns.points[..., 2]
    away_m = points[frames, picks, 2] - points[0, picks, 2]
    variables = np.stack([index[0, picks], index[frames, picks]], axis=1).reshape(-1, 2)
    jacobian = np.broadcast_to(np.array([[-1.0, 1.0]]) / RETURN_SIGMA_M, variables.shape)
    return Rows(variables, jacobian, away_m / RETURN_SIGMA_M, is_robust=True)
