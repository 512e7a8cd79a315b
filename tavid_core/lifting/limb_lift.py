"""Lift points of a body from the picture to metres by the lengths of its limbs.

A limb of known length and one known end leaves two places for the other end on its ray. Depth in
frame 0, smooth motion and the place of a touch say which; solved for all frames at once.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.anatomy import BONES, part_of
from tavid_core.lifting.least_squares import LeastSquaresFit, minimize
from tavid_core.lifting.limb_rows import (
    IN_FRONT_M,
    SIZE_SPREAD,
    LimbEvidence,
    LimbUnknowns,
    facing,
    make_rows,
)

__all__ = ["LimbMotion", "lift_limbs"]

MIN_DEPTH_M = 0.25
USUAL_MARGIN = 3.0
# Metres nearer per metre sideways, for a hand that reaches out.
REACH_PER_WAY = 1.0
# Two first guesses that differ by less come to the same.
BACK_M = 0.08
ARM = ("shoulder", "elbow", "hand")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimbMotion:
    """A body's points in metres.

    Args:
        names: Of the points, length K.
        positions_m: float64 (T, K, 3), metres, optical frame.
        sigma_m: Standard deviation of the distance to the truth if the evidence is what it says,
            float64 (T, K), metres.
        bone_lengths_m: Per kind of bone.
        size: Of the person relative to one of 1.70 m.
        misfit: Root mean square of all residuals in standard deviations; well above 1 where the
            evidence contradicts itself.
        is_converged: Whether the solver came to rest.
    """

    names: tuple[str, ...]
    positions_m: NDArray[np.float64]
    sigma_m: NDArray[np.float64]
    bone_lengths_m: dict[str, float]
    size: float
    misfit: float
    is_converged: bool

    def point(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give one point.

        Args:
            name: Of the point.

        Returns:
            Positions float64 (T, 3) and standard deviations float64 (T,).
        """
        index = self.names.index(name)
        return self.positions_m[:, index], self.sigma_m[:, index]


def lift_limbs(evidence: LimbEvidence) -> LimbMotion:
    """Find the motion that fits all evidence best.

    Args:
        evidence: At least one point that is seen in one frame.

    Returns:
        The motion, in every frame; `sigma_m` says where it is a guess.
    """
    unknowns = LimbUnknowns(evidence)
    typical = {bone.kind: bone.length_m for bone in reversed(BONES)}
    lengths = np.array([typical[kind] for kind in unknowns.kinds])
    fits = [
        minimize(
            lambda values: make_rows(evidence, unknowns, values),
            unknowns.pack(guess, lengths, 1.0),
        )
        for guess in _first_guesses(evidence)
    ]
    # Without depth the first guess, hands in front of the body, knows more than small costs do.
    margin = 0.0 if evidence.has_depth else USUAL_MARGIN
    fit = min(fits, key=lambda fit: fit.cost + (margin if fit is not fits[0] else 0.0))
    variance = fit.variance[unknowns.points].sum(axis=-1) + _doubt(fits, fit, unknowns)
    if not evidence.has_depth:
        distance_m = np.linalg.norm(fit.values[unknowns.points], axis=-1)
        variance = variance + (SIZE_SPREAD * distance_m) ** 2
    num_rows = sum(len(rows.residual) for rows in make_rows(evidence, unknowns, fit.values))
    return LimbMotion(
        names=evidence.names,
        positions_m=fit.values[unknowns.points],
        sigma_m=np.sqrt(variance),
        bone_lengths_m=dict(
            zip(unknowns.kinds, fit.values[unknowns.lengths].tolist(), strict=True)
        ),
        size=float(fit.values[unknowns.size]),
        misfit=float(np.sqrt(2 * fit.cost / num_rows)),
        is_converged=fit.is_converged,
    )


def _doubt(
    fits: list[LeastSquaresFit], best: LeastSquaresFit, unknowns: LimbUnknowns
) -> NDArray[np.float64]:
    """Variance from other motions that fit about as well, such as a limb's mirror image."""
    points_m = best.values[unknowns.points]
    doubt = np.zeros(points_m.shape[:2])
    for other in fits:
        odds = np.exp(np.minimum(best.cost - other.cost, 0.0))
        apart = (other.values[unknowns.points] - points_m) ** 2
        doubt += odds / (1.0 + odds) * apart.sum(axis=-1)
    return doubt


def _first_guesses(evidence: LimbEvidence) -> list[NDArray[np.float64]]:
    """A hand whose touch is not known may come nearer on its way, or stay as far as it was.

    One whose touch is known may go back after it, or stay as far as it was there.
    """
    held = {anchor.name for anchor in evidence.anchors}
    is_free = [part_of(name) == "hand" and name not in held for name in evidence.names]
    none = np.zeros(len(is_free))
    guesses = [_guess(evidence, none)]
    if any(is_free):
        guesses.append(_guess(evidence, np.where(is_free, REACH_PER_WAY, 0.0)))
    stays = _guess(evidence, none, goes_back=False)
    if np.abs(stays - guesses[0]).max() > BACK_M:
        guesses.append(stays)
    return guesses


def _guess(
    evidence: LimbEvidence, nearing: NDArray[np.float64], *, goes_back: bool = True
) -> NDArray[np.float64]:
    """Every point on its ray at the depth it had in frame 0, hands on their way to a touch."""
    depth_m = np.where(
        np.isfinite(evidence.first_depth_m), evidence.first_depth_m, _assumed_depths(evidence)
    )
    depths_m = np.repeat(depth_m[None], evidence.num_frames, axis=0)
    rays = _filled(evidence.rays)
    for anchor in evidence.anchors:
        k = evidence.names.index(anchor.name)
        share = _share_of_way(rays[:, k], anchor.frame, goes_back=goes_back)
        depths_m[:, k] += share * (anchor.position_m[2] - depth_m[k])
    way = np.linalg.norm(rays - rays[:1], axis=-1) * depth_m
    depths_m = np.maximum(depths_m - nearing * way, MIN_DEPTH_M)
    points_m = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1) * depths_m[..., None]
    for start, middle, end in _chains(evidence.names):
        points_m[:, middle] = _bend_joint(points_m, rays, start, middle, end, evidence.names)
    return points_m


def _share_of_way(rays: NDArray[np.float64], frame: int, *, goes_back: bool) -> NDArray[np.float64]:
    """Share of the way to a touch, 0..1: after it less again, the nearer to where it came from."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(rays, axis=0), axis=-1))])
    share = np.minimum(way / max(way[frame], 1e-9), 1.0)
    if goes_back:
        away = np.linalg.norm(rays - rays[0], axis=-1)
        back = np.minimum(away / max(away[frame], 1e-9), 1.0)
        share[frame:] = back[frame:]
    return share


def _chains(names: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """Shoulder, elbow and hand of each arm that is there."""
    chains = [[f"{side}_{part}" for part in ARM] for side in ("left", "right")]
    return [tuple(map(names.index, chain)) for chain in chains if set(chain) <= set(names)]


def _bend_joint(
    points_m: NDArray[np.float64],
    rays: NDArray[np.float64],
    start: int,
    middle: int,
    end: int,
    names: tuple[str, ...],
) -> NDArray[np.float64]:
    """Put an elbow on its ray where both its bones are as long as they should be."""
    lengths = {(bone.start, bone.end): bone.length_m for bone in BONES}
    first_m = lengths[names[start], names[middle]]
    second_m = lengths[names[middle], names[end]]
    offsets_m = np.linspace(-0.45, 0.45, 61)
    depths_m = np.maximum(points_m[:, start, 2, None] + offsets_m, MIN_DEPTH_M)
    directions = np.concatenate([rays[:, middle], np.ones((len(rays), 1))], axis=-1)
    places_m = depths_m[..., None] * directions[:, None]
    wrong = (np.linalg.norm(places_m - points_m[:, None, start], axis=-1) - first_m) ** 2
    wrong += (np.linalg.norm(places_m - points_m[:, None, end], axis=-1) - second_m) ** 2
    # Little speaks for where it was before, unless two places fit alike.
    wrong += 0.02 * (depths_m - points_m[:1, middle, 2, None]) ** 2
    return places_m[np.arange(len(rays)), wrong.argmin(axis=1)]


def _assumed_depths(evidence: LimbEvidence) -> NDArray[np.float64]:
    """Depths from what is known of the others, or from the size of the torso in the picture."""
    torso_m = _torso_depth(evidence)
    faces = facing(evidence)
    ahead = np.array([IN_FRONT_M.get(part_of(name), 0.0) for name in evidence.names])
    return np.maximum(torso_m - faces * ahead, MIN_DEPTH_M)


def _torso_depth(evidence: LimbEvidence) -> float:
    known = evidence.first_depth_m[np.isfinite(evidence.first_depth_m)]
    if len(known):
        return float(np.median(known))
    guesses = []
    for bone in LimbUnknowns(evidence).bones:
        ends = [evidence.names.index(bone.start), evidence.names.index(bone.end)]
        apart = np.linalg.norm(np.diff(evidence.rays[:, ends], axis=1)[:, 0], axis=-1)
        if np.isfinite(apart).any() and np.nanmax(apart) > 0:
            guesses.append(bone.length_m / float(np.nanmax(apart)))
    # A limb that points at the camera looks short and the person far: the nearest guess is best.
    return float(np.clip(min(guesses, default=evidence.usual_depth_m), MIN_DEPTH_M, 10.0))


def _filled(rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Close gaps by straight lines; a point that is never seen is put into the middle."""
    filled = rays.copy()
    frames = np.arange(len(rays))
    for k in range(rays.shape[1]):
        seen = np.flatnonzero(np.isfinite(rays[:, k]).all(axis=-1))
        for axis in (0, 1):
            filled[:, k, axis] = np.interp(frames, seen, rays[seen, k, axis]) if len(seen) else 0.0
    return filled
