"""Fit a body with the joint tree of SMPL-X to points of an actor, on joints only.

The points come from `limb_lift` with an expected error each, so that measured depth, the touch and
the picture have had their say; the fit adds what bodies can do: a pose near rest, one shape, smooth
joints. Rotations are optimised in six numbers each, which have no jump.

Shape suffixes: T frames, J joints of the tree, P observed points, S shape numbers.

References:
    Pavlakos et al., Expressive Body Capture: 3D Hands, Face, and Body from a Single Image, 2019.
    Zhou et al., On the Continuity of Rotation Representations in Neural Networks, 2019.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from tavid_core.camera import project
from tavid_core.errors import InputError
from tavid_core.lifting.body_model import NUM_SHAPES, BodyModel, pose_joints
from tavid_core.lifting.joint_tree import JOINT_NAMES, PARENTS
from tavid_core.lifting.limb_lift import LimbMotion
from tavid_core.types import BodyFit, CameraIntrinsics

__all__ = ["fit_body", "observed_points"]

MAX_STEPS = 80
# Relative decrease of the energy that counts as none.
FLAT = 1e-4
LIMBS = (
    ("shoulder", "elbow", "elbow"),
    ("elbow", "wrist", "hand"),
    ("hip", "knee", "knee"),
    ("knee", "ankle", "ankle"),
)
# Weights of the priors against squared standard deviations of the points.
POSE_WEIGHT, SPINE_WEIGHT, SHAPE_WEIGHT, SMOOTH_SIGMA_M = 0.3, 4.0, 1.0, 0.03
SPINE = ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar")
MIN_SIGMA_M = 0.005
# Facing the camera, upright: the body's axes against the optical frame's.
FACING_CAMERA = np.diag([1.0, -1.0, -1.0])
AWAY_FROM_CAMERA = np.diag([-1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class BodyPoint:
    """A point that moves with a joint.

    Args:
        joint: Index in the tree.
        toward: Index of the joint in whose direction it lies.
        share: Of the way there.
        offset_m: Added to it at rest, (x, y, z), metres.
    """

    joint: int
    toward: int
    share: float = 0.0
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


def observed_points(names: tuple[str, ...]) -> dict[str, BodyPoint]:
    """Say where keypoints lie on the body.

    Args:
        names: Of keypoints.

    Returns:
        Those that the tree has a place for.
    """
    points = {}
    for name in names:
        side = name.split("_")[0]
        if name == "head":
            head = JOINT_NAMES.index("head")
            points[name] = BodyPoint(head, head, offset_m=(0.0, 0.09, 0.02))
        elif name.endswith("_hand"):
            wrist = JOINT_NAMES.index(f"{side}_wrist")
            points[name] = BodyPoint(wrist, JOINT_NAMES.index(f"{side}_middle1"), 0.6)
        elif name in JOINT_NAMES:
            joint = JOINT_NAMES.index(name)
            points[name] = BodyPoint(joint, joint)
    return points


def fit_body(motion: LimbMotion, model: BodyModel, intrinsics: CameraIntrinsics) -> BodyFit:
    """Fit one body to all frames.

    Args:
        motion: Points of the actor in metres, with their expected errors.
        model: The body.
        intrinsics: Of the caller's image, for the residual.

    Returns:
        The fit. Joints that no point speaks for are as at rest.

    Raises:
        InputError: If neither both shoulders nor both hips are among the points.
    """
    problem = _Problem(motion, model)
    # Threads cost more than they bring on arrays this small, tenfold where cores are shared.
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        unknowns = problem.solve()
    finally:
        torch.set_num_threads(num_threads)
    turns, pelvis_m, betas = problem.unpack(unknowns)
    places_m, frames = pose_joints(model.rest_joints(betas), turns, pelvis_m)
    fitted_m = problem.points_of(places_m, frames, model.rest_joints(betas))
    off_px = np.linalg.norm(
        project(fitted_m, intrinsics) - project(problem.wanted_m, intrinsics), axis=-1
    )
    flat = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec()
    return BodyFit(
        model=model.name,
        joint_rotations=flat.reshape(*turns.shape[:2], 3).astype(np.float32),
        betas=betas.astype(np.float32),
        pelvis_camera_m=pelvis_m.astype(np.float32),
        residual_px=off_px.mean(axis=-1).astype(np.float32),
    )


class _Problem:
    """The points, the body, and the sum that is minimised."""

    def __init__(self, motion: LimbMotion, model: BodyModel) -> None:
        self._model = model
        points = observed_points(motion.names)
        self.points, self.names = tuple(points.values()), tuple(points)
        tracks = [motion.point(name) for name in points]
        self.wanted_m = np.stack([places for places, _ in tracks], axis=1)
        sigma_m = np.stack([sigma for _, sigma in tracks], axis=1)
        self._num_frames = len(self.wanted_m)
        # Joints on the way from the root to a point; all others stay at rest.
        moving = {0}
        for point in self.points:
            joint = point.joint
            while joint > 0:
                moving.add(joint)
                joint = PARENTS[joint]
        self._moving = tuple(sorted(moving))
        self._wanted = torch.from_numpy(self.wanted_m).float()
        self._sigma = torch.from_numpy(np.maximum(sigma_m, MIN_SIGMA_M)).float()
        self._rest = torch.from_numpy(model.joints_m).float()
        self._steps = torch.from_numpy(model.joint_steps_m).float()
        weights = [
            SPINE_WEIGHT if JOINT_NAMES[joint] in SPINE else POSE_WEIGHT
            for joint in self._moving[1:]
        ]
        self._pose_weight = torch.tensor(weights)[None, :, None, None]
        self._start_turn, self._start_m = self._first_guess(points)

    def _first_guess(
        self, points: dict[str, BodyPoint]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Upright, facing the way that the order of left and right says."""
        names = list(points)
        for part in ("shoulder", "hip"):
            if {f"left_{part}", f"right_{part}"} <= set(names):
                left, right = (names.index(f"{side}_{part}") for side in ("left", "right"))
                across = np.median(self.wanted_m[:, left] - self.wanted_m[:, right], axis=0)
                turn = FACING_CAMERA if across[0] >= 0 else AWAY_FROM_CAMERA
                middle_m = (self.wanted_m[:, left] + self.wanted_m[:, right]) / 2
                rest_m = self._model.joints_m[JOINT_NAMES.index(f"left_{part}")] * [0, 1, 1]
                return turn, middle_m - turn @ rest_m
        raise InputError(
            f"body points must hold both shoulders or both hips, got {', '.join(names)}. "
            "Turn body_fit off for this detector."
        )

    def _first_turns(self) -> NDArray[np.float64]:
        """Point every limb to where its end was seen; two columns per rotation, (T, J, 6)."""
        frames = np.tile(np.eye(3), (self._num_frames, len(PARENTS), 1, 1))
        local = frames.copy()
        frames[:, 0] = self._start_turn
        places = {name: self.wanted_m[:, index] for index, name in enumerate(self.names)}
        limbs = {
            f"{side}_{start}": (f"{side}_{end}", f"{side}_{seen}")
            for side in ("left", "right")
            for start, end, seen in LIMBS
        }
        for joint in self._moving[1:]:
            parent, name = frames[:, PARENTS[joint]], JOINT_NAMES[joint]
            end, seen = limbs.get(name, ("", ""))
            if name in places and seen in places:
                bone = self._model.joints_m[JOINT_NAMES.index(end)] - self._model.joints_m[joint]
                along = np.einsum("tba,tb->ta", parent, places[seen] - places[name])
                local[:, joint] = _turn_to(bone, along)
            frames[:, joint] = parent @ local[:, joint]
        columns = local[:, list(self._moving)][..., :2]
        return np.swapaxes(columns, -1, -2).reshape(self._num_frames, len(self._moving), 6)

    def solve(self) -> list[torch.Tensor]:
        """Minimise by L-BFGS; the limbs' directions are so near that nothing slower is needed."""
        start = [
            torch.from_numpy(self._start_m).float(),
            torch.from_numpy(self._first_turns()).float(),
            torch.zeros(NUM_SHAPES),
        ]
        sizes, shapes = [part.numel() for part in start], [part.shape for part in start]

        def split(values: NDArray[np.float64]) -> list[torch.Tensor]:
            parts = torch.from_numpy(values).float().split(sizes)
            return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

        def evaluate(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            unknowns = [part.requires_grad_() for part in split(values)]
            energy = self._energy(*unknowns)
            slopes = torch.autograd.grad(energy, unknowns)
            slope = torch.cat([part.reshape(-1) for part in slopes])
            return energy.item(), slope.double().numpy()

        values = torch.cat([part.reshape(-1) for part in start]).double().numpy()
        # Not torch.optim: its first step imports a compiler, which takes seconds.
        found = minimize(
            evaluate,
            values,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_STEPS, "ftol": FLAT, "maxcor": 20},
        )
        return split(found.x)

    def _energy(
        self, pelvis: torch.Tensor, turns: torch.Tensor, betas: torch.Tensor
    ) -> torch.Tensor:
        rotations = _from_six(turns)
        points = self._forward(pelvis, rotations, betas)
        # Not robust: outliers had their chance when the points were lifted.
        data = ((points - self._wanted) / self._sigma[..., None]).square().sum()
        bend = (rotations[:, 1:] - torch.eye(3)).square()
        prior = (
            self._pose_weight * bend
        ).sum() + SHAPE_WEIGHT * self._num_frames * betas.square().sum()
        energy = data + prior
        if self._num_frames > 2:
            jolt = points[2:] - 2 * points[1:-1] + points[:-2]
            twist = rotations[1:] - rotations[:-1]
            energy = energy + (jolt / SMOOTH_SIGMA_M).square().sum() + 2.0 * twist.square().sum()
        return energy / self._num_frames

    def _forward(
        self, pelvis: torch.Tensor, rotations: torch.Tensor, betas: torch.Tensor
    ) -> torch.Tensor:
        rest = self._rest + torch.tensordot(betas, self._steps, dims=1)
        places, frames = (
            {0: pelvis},
            {0: torch.from_numpy(self._start_turn).float() @ rotations[:, 0]},
        )
        for index, joint in enumerate(self._moving[1:], start=1):
            parent = PARENTS[joint]
            places[joint] = places[parent] + frames[parent] @ (rest[joint] - rest[parent])
            frames[joint] = frames[parent] @ rotations[:, index]
        return torch.stack(
            [places[p.joint] + frames[p.joint] @ _local(p, rest) for p in self.points], dim=1
        )

    def unpack(
        self, unknowns: list[torch.Tensor]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Give rotations of all joints, places of the pelvis, and the shape, as numpy."""
        pelvis, turns, betas = (unknown.detach() for unknown in unknowns)
        rotations = _from_six(turns).double().numpy()
        full = np.tile(np.eye(3), (self._num_frames, len(PARENTS), 1, 1))
        full[:, list(self._moving)] = rotations
        full[:, 0] = self._start_turn @ rotations[:, 0]
        return full, pelvis.double().numpy(), betas.double().numpy()

    def points_of(
        self,
        places_m: NDArray[np.float64],
        frames: NDArray[np.float64],
        rest_m: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Give the observed points on the fitted body, float64 (T, P, 3)."""
        rest = torch.from_numpy(rest_m)
        return np.stack(
            [
                places_m[:, p.joint] + frames[:, p.joint] @ _local(p, rest).numpy()
                for p in self.points
            ],
            axis=1,
        )


def _local(point: BodyPoint, rest: torch.Tensor) -> torch.Tensor:
    """A point relative to its joint, at rest."""
    along = rest[point.toward] - rest[point.joint]
    return point.share * along + torch.tensor(point.offset_m, dtype=rest.dtype)


def _turn_to(bone: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest rotation of one direction (3,) onto others (T, 3), float64 (T, 3, 3)."""
    first = bone / np.linalg.norm(bone)
    second = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    axis = np.cross(first, second)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (second @ first)[:, None])
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-9) * angle).as_matrix()


def _from_six(six: torch.Tensor) -> torch.Tensor:
    """Make rotation matrices from two columns each."""
    first = torch.nn.functional.normalize(six[..., :3], dim=-1)
    second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
