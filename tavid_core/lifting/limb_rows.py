"""What speaks for and against a 3D motion of the body's points, as rows of a least-squares problem.

The unknowns are the points themselves, (frame, point, axis) one after the other, then one length
per kind of bone, then the person's size relative to a height of 1.70 m.

Shape suffixes: T frames, K points.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.anatomy import (
    MAX_ACCELERATION_M_S2,
    Bone,
    bones_between,
    part_of,
)
from tavid_core.lifting.least_squares import Rows
from tavid_core.lifting.limb_priors import TORSO_PARTS, return_rows, upright_rows

__all__ = [
    "IN_FRONT_M",
    "SIZE_SPREAD",
    "Anchor",
    "LimbEvidence",
    "LimbUnknowns",
    "facing",
    "make_rows",
]

# Adults' heights, as a share.
SIZE_SPREAD = 0.06
# Without any measured depth the size is not observable, and smoothness alone would shrink it.
FIXED_SIZE_SPREAD = 0.004
ANYWHERE_M = 3.0
# How far in front of the torso hands and elbows of a person are, and within what.
IN_FRONT_M = {"elbow": 0.05, "hand": 0.25, "knee": 0.05}
POSTURE_M = 0.5
ALONE_M = 0.1
# How far a torso turns or bends within a clip of some seconds, as depth between its points.
TURN_M = 0.05
DRIFT_FRAMES = 3.0
# Root-relative points of a network that saw one picture.
RELATIVE_SIGMA_M = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anchor:
    """A place where a point is known to be, such as a hand at the object that it touches.

    Args:
        name: Of the point.
        frame: When.
        position_m: float64 (3,), metres, optical frame.
        sigma_m: Standard deviation along x, y, z, float64 (3,), metres.
    """

    name: str
    frame: int
    position_m: NDArray[np.float64]
    sigma_m: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimbEvidence:
    """Everything that was seen of a body.

    Args:
        names: Of the points, length K.
        rays: Column and row on the plane z = 1, (x / z, y / z), float64 (T, K, 2); NaN where not
            seen.
        sigma_rays: Standard deviation of `rays`, float64 (T, K).
        first_depth_m: Depth of each joint in frame 0, float64 (K,), metres; NaN where unknown.
        first_sigma_m: Its standard deviation, float64 (K,), metres.
        relative_m: Points relative to the body's middle as a network guesses them, in axes
            parallel to the camera's, float64 (T, K, 3), metres; None if it gives none.
        anchors: Places that are known.
        usual_depth_m: Where the body is if nothing at all says so, metres.
        fps: Frames per second.
    """

    names: tuple[str, ...]
    rays: NDArray[np.float64]
    sigma_rays: NDArray[np.float64]
    first_depth_m: NDArray[np.float64]
    first_sigma_m: NDArray[np.float64]
    relative_m: NDArray[np.float64] | None = None
    anchors: tuple[Anchor, ...] = ()
    usual_depth_m: float = 1.5
    fps: float = 8.0

    @property
    def num_frames(self) -> int:
        """Frames T."""
        return len(self.rays)

    @property
    def has_depth(self) -> bool:
        """Whether any depth was measured."""
        return bool(np.isfinite(self.first_depth_m).any())


class LimbUnknowns:
    """Where each unknown stands in the vector of all.

    Args:
        evidence: Says how many frames and points there are.
    """

    def __init__(self, evidence: LimbEvidence) -> None:
        self.bones: tuple[Bone, ...] = bones_between(evidence.names)
        # First index, second index, bone.
        self.bone_ends = tuple(
            (evidence.names.index(bone.start), evidence.names.index(bone.end), bone)
            for bone in self.bones
        )
        self.kinds = tuple(dict.fromkeys(bone.kind for bone in self.bones))
        shape = (evidence.num_frames, len(evidence.names), 3)
        self.points = np.arange(int(np.prod(shape))).reshape(shape)
        self.lengths = self.points.size + np.arange(len(self.kinds))
        self.size = self.points.size + len(self.kinds)
        self.num_values = self.size + 1

    def pack(
        self, points_m: NDArray[np.float64], lengths_m: NDArray[np.float64], size: float
    ) -> NDArray[np.float64]:
        """Put the unknowns into one vector.

        Args:
            points_m: float64 (T, K, 3).
            lengths_m: One per kind of bone.
            size: Relative to 1.70 m.

        Returns:
            float64 (N,).
        """
        return np.concatenate([points_m.ravel(), lengths_m, [size]])


def facing(evidence: LimbEvidence) -> float:
    """Say which side of the person the camera sees.

    Args:
        evidence: Where the shoulders are in the picture.

    Returns:
        1 for a person who faces the camera or of whom nothing is known, -1 for one who turns the
        back to it.
    """
    names = evidence.names
    if not {"left_shoulder", "right_shoulder"} <= set(names):
        return 1.0
    left, right = names.index("left_shoulder"), names.index("right_shoulder")
    order = evidence.rays[:, left, 0] - evidence.rays[:, right, 0]
    known = order[np.isfinite(order)]
    return -1.0 if len(known) and np.median(known) < 0 else 1.0


def make_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, values: NDArray[np.float64]
) -> list[Rows]:
    """Evaluate everything at one guess.

    Args:
        evidence: What was seen.
        unknowns: The order of the unknowns.
        values: The guess, float64 (N,).

    Returns:
        The rows.
    """
    points = values[unknowns.points]
    rows = [
        _pixel_rows(evidence, unknowns, points),
        _first_depth_rows(evidence, unknowns, points),
        _posture_rows(evidence, unknowns, points),
        *_length_rows(evidence, unknowns, values),
        *_bone_rows(unknowns, values),
        *_smooth_rows(evidence, unknowns, points),
        *_torso_rows(evidence, unknowns, points),
        *upright_rows(evidence, unknowns, points),
        return_rows(evidence, unknowns, points),
        *_anchor_rows(evidence, unknowns, points),
    ]
    if evidence.relative_m is not None:
        rows.append(_relative_rows(evidence, unknowns, values))
    return [row for row in rows if len(row.residual)]


def _pixel_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> Rows:
    """A point lies on its ray; written times z, which makes it linear."""
    t, k = np.nonzero(np.isfinite(evidence.rays).all(-1) & np.isfinite(evidence.sigma_rays))
    z = points[t, k, 2]
    sigma_m = evidence.sigma_rays[t, k] * np.maximum(np.abs(z), 0.1)
    variables, jacobian, residual = [], [], []
    for axis in (0, 1):
        ray = evidence.rays[t, k, axis]
        variables.append(unknowns.points[t, k][:, [axis, 2]])
        jacobian.append(np.stack([np.ones_like(ray), -ray], axis=1) / sigma_m[:, None])
        residual.append((points[t, k, axis] - ray * z) / sigma_m)
    return Rows(np.concatenate(variables), np.concatenate(jacobian), np.concatenate(residual), True)


def _first_depth_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> Rows:
    known = np.flatnonzero(np.isfinite(evidence.first_depth_m))
    sigma_m = evidence.first_sigma_m[known]
    residual = (points[0, known, 2] - evidence.first_depth_m[known]) / sigma_m
    return Rows(unknowns.points[0, known, 2:], 1.0 / sigma_m[:, None], residual, True)


def _posture_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> Rows:
    """Hands work in front of a body; too weak to matter where anything better is known."""
    torso = [k for k, name in enumerate(evidence.names) if part_of(name) in TORSO_PARTS]
    # A point without a body stays as far as it was: smoothness alone would pull it nearer.
    first_m = evidence.first_depth_m
    usual_m = np.where(np.isfinite(first_m), first_m, evidence.usual_depth_m)
    is_anchored = np.isin(evidence.names, [anchor.name for anchor in evidence.anchors])
    spread_m = np.full(len(evidence.names), POSTURE_M)
    if not torso:
        spread_m = np.where(is_anchored, ANYWHERE_M, ALONE_M)
    if torso:
        ahead_m = np.array([IN_FRONT_M.get(part_of(name), 0.0) for name in evidence.names])
        usual_m = np.median(points[:, torso, 2]) - facing(evidence) * ahead_m
    residual = ((points[..., 2] - usual_m) / spread_m).ravel()
    pull = np.broadcast_to(1 / spread_m, points.shape[:2]).reshape(-1, 1)
    variables = unknowns.points[..., 2].reshape(-1, 1)
    # Where nothing was seen, the sides are free too.
    across = unknowns.points[..., :2].reshape(-1, 1)
    loose = points[..., :2].ravel() / ANYWHERE_M
    return Rows(
        np.concatenate([variables, across]),
        np.concatenate([pull, np.full(across.shape, 1 / ANYWHERE_M)]),
        np.concatenate([residual, loose]),
    )


def _length_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, values: NDArray[np.float64]
) -> list[Rows]:
    """Lengths go with the person's size, and sizes are those of adults."""
    if not unknowns.kinds:
        return [Rows(np.array([[unknowns.size]]), np.ones((1, 1)), values[[unknowns.size]] - 1.0)]
    first = {bone.kind: bone for bone in reversed(unknowns.bones)}
    typical = np.array([first[kind].length_m for kind in unknowns.kinds])
    sigma_m = typical * np.array([first[kind].spread for kind in unknowns.kinds])
    size_sigma = SIZE_SPREAD if evidence.has_depth else FIXED_SIZE_SPREAD
    if not evidence.has_depth:
        sigma_m = sigma_m * (FIXED_SIZE_SPREAD / SIZE_SPREAD)
    size = values[unknowns.size]
    variables = np.stack([unknowns.lengths, np.full_like(unknowns.lengths, unknowns.size)], axis=1)
    jacobian = np.stack([np.ones_like(typical), -typical], axis=1) / sigma_m[:, None]
    residual = (values[unknowns.lengths] - size * typical) / sigma_m
    size_rows = Rows(
        np.array([[unknowns.size]]),
        np.array([[1.0 / size_sigma]]),
        np.array([(size - 1.0) / size_sigma]),
    )
    return [Rows(variables, jacobian, residual), size_rows]


def _bone_rows(unknowns: LimbUnknowns, values: NDArray[np.float64]) -> list[Rows]:
    rows = []
    for start, end, bone in unknowns.bone_ends:
        length = unknowns.lengths[unknowns.kinds.index(bone.kind)]
        first, second = unknowns.points[:, start], unknowns.points[:, end]
        between = values[second] - values[first]
        distance = np.maximum(np.linalg.norm(between, axis=-1), 1e-6)
        direction = between / distance[:, None]
        jacobian = np.concatenate([-direction, direction, -np.ones((len(direction), 1))], axis=1)
        variables = np.concatenate([first, second, np.full((len(first), 1), length)], axis=1)
        residual = (distance - values[length]) / bone.give_m
        rows.append(Rows(variables, jacobian / bone.give_m, residual))
    return rows


def _smooth_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> list[Rows]:
    if evidence.num_frames < 3:
        return []
    per_frame = np.array([MAX_ACCELERATION_M_S2[part_of(name)] for name in evidence.names])
    sigma_m = np.broadcast_to(
        (per_frame / evidence.fps**2)[None, :, None], points[2:].shape
    ).reshape(-1, 1)
    bend = (points[2:] - 2 * points[1:-1] + points[:-2]).reshape(-1, 1)
    index = unknowns.points
    # Depth that nothing speaks for stays, it does not run on.
    drift = (points[1:, :, 2] - points[:-1, :, 2]).reshape(-1)
    drift_m = np.broadcast_to(
        DRIFT_FRAMES * per_frame / evidence.fps**2, points[1:, :, 2].shape
    ).reshape(-1)
    between = np.stack([index[:-1, :, 2], index[1:, :, 2]], axis=-1).reshape(-1, 2)
    still = Rows(between, np.array([[-1.0, 1.0]]) / drift_m[:, None], drift / drift_m, True)
    variables = np.stack([index[:-2], index[1:-1], index[2:]], axis=-1).reshape(-1, 3)
    return [
        Rows(
            variables,
            np.array([[1.0, -2.0, 1.0]]) / sigma_m,
            (bend / sigma_m)[:, 0],
            is_robust=True,
        ),
        still,
    ]


def _torso_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> list[Rows]:
    """A torso's points keep their order in depth: small turns do not show in a picture."""
    torso = [k for k, name in enumerate(evidence.names) if part_of(name) in TORSO_PARTS]
    rows = []
    for first, second in itertools.pairwise(torso):
        index = unknowns.points[:, [first, second], 2]
        now = points[:, second, 2] - points[:, first, 2]
        num_later = evidence.num_frames - 1
        variables = np.concatenate([index[1:], np.repeat(index[:1], num_later, axis=0)], axis=1)
        jacobian = np.tile([-1.0, 1.0, 1.0, -1.0], (num_later, 1)) / TURN_M
        rows.append(Rows(variables, jacobian, (now[1:] - now[0]) / TURN_M))
    return rows


def _anchor_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, points: NDArray[np.float64]
) -> list[Rows]:
    rows = []
    for anchor in evidence.anchors:
        k = evidence.names.index(anchor.name)
        residual = (points[anchor.frame, k] - anchor.position_m) / anchor.sigma_m
        variables = unknowns.points[anchor.frame, k][:, None]
        rows.append(Rows(variables, 1.0 / anchor.sigma_m[:, None], residual, True))
    return rows


def _relative_rows(
    evidence: LimbEvidence, unknowns: LimbUnknowns, values: NDArray[np.float64]
) -> Rows:
    """Depth between each point and the first torso point, as a network guesses it."""
    root = next(k for k, name in enumerate(evidence.names) if part_of(name) in TORSO_PARTS)
    guess = evidence.relative_m[..., 2] - evidence.relative_m[:, root, None, 2]
    is_known = np.isfinite(guess) & (np.arange(guess.shape[1]) != root)
    t, k = np.nonzero(is_known)
    z = values[unknowns.points[..., 2]]
    residual = z[t, k] - z[t, root] - values[unknowns.size] * guess[t, k]
    variables = np.stack(
        [
            unknowns.points[t, k, 2],
            unknowns.points[t, root, 2],
            np.full(len(t), unknowns.size),
        ],
        axis=1,
    )
    jacobian = np.stack([np.ones(len(t)), -np.ones(len(t)), -guess[t, k]], axis=1)
    return Rows(variables, jacobian / RELATIVE_SIGMA_M, residual / RELATIVE_SIGMA_M, True)
