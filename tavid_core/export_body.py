"""A plan's fitted body for programs that work with SMPL-X, and for imitation in simulation.

Shape suffixes: T frames, J joints of the tree.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from tavid_core.errors import InputError
from tavid_core.lifting.body_model import BodyModel, load_body_model, pose_joints
from tavid_core.lifting.joint_tree import JOINT_NAMES
from tavid_core.motion import BodyFit, InteractionMotion

__all__ = ["PHYSHOI_FPS", "PHYSHOI_WIDTH", "physhoi_reference", "write_physhoi", "write_smplx"]

STANDIN = "STANDIN"
# Slices of the 55 joints in the order of smplx's own parameters.
_SMPLX_PARTS = {
    "global_orient": slice(0, 1),
    "body_pose": slice(1, 22),
    "jaw_pose": slice(22, 23),
    "leye_pose": slice(23, 24),
    "reye_pose": slice(24, 25),
    "left_hand_pose": slice(25, 40),
    "right_hand_pose": slice(40, 55),
}
_FACE = ("jaw", "left_eye_smplhf", "right_eye_smplhf")
PHYSHOI_FPS = 25.0
PHYSHOI_WIDTH = 331
# A level camera: x forward, y left, z up (REP-103) from the optical frame.
_WORLD_FROM_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def write_smplx(
    motion: InteractionMotion, fps: float, path: Path, body_model: BodyModel | None = None
) -> None:
    """Write the fitted body as smplx's parameters, in the optical frame.

    `transl` is what smplx wants: the pelvis less its place at rest. It is left out where that is
    not known; `pelvis_camera_m` is always there.

    Args:
        motion: With a fitted body.
        fps: Of its frames.
        path: npz to write.
        body_model: Of the fit; not needed for the stand-in, whose pelvis rests in the origin.

    Raises:
        InputError: If no body was fitted.
        OSError: If the file cannot be written.
    """
    fit = _require_fit(motion)
    num_frames = len(fit.residual_px)
    parts = {
        name: fit.joint_rotations[:, part].reshape(num_frames, -1)
        for name, part in _SMPLX_PARTS.items()
    }
    if fit.model == STANDIN:
        parts["transl"] = fit.pelvis_camera_m
    elif body_model is not None:
        rest_m = body_model.rest_pelvis(fit.betas.astype(np.float64))
        parts["transl"] = (fit.pelvis_camera_m - rest_m).astype(np.float32)
    np.savez_compressed(
        path,
        **parts,
        betas=fit.betas,
        pelvis_camera_m=fit.pelvis_camera_m,
        mocap_frame_rate=np.float64(fps),
        gender=np.array("neutral"),
        model=np.array(fit.model),
    )


def write_physhoi(
    motion: InteractionMotion, fps: float, path: Path, body_model: BodyModel | None = None
) -> None:
    """Write a motion as a reference of PhysHOI, a torch file with one tensor.

    Args:
        motion: With a fitted body.
        fps: Of its frames.
        path: .pt to write.
        body_model: Of the fit; None for the stand-in.

    Raises:
        InputError: As of `physhoi_reference`.
        OSError: If the file cannot be written.
    """
    import torch

    torch.save(torch.from_numpy(physhoi_reference(motion, fps, body_model)), path)


def physhoi_reference(
    motion: InteractionMotion, fps: float, body_model: BodyModel | None = None
) -> NDArray[np.float32]:
    """Lay a motion out as PhysHOI reads it: 25 frames per second, z up, metres, axis-angle.

    The camera is taken to be level. Joints are in the order of SMPL-X without jaw and eyes. The
    simulator's ground is z = 0: body and target are shifted together, so that the joint which is
    lowest over the whole clip, of one who stands a foot's, is at 0.

    Args:
        motion: With a fitted body; a target that is lost stays where it was seen last. Every
            contact with the target counts.
        fps: Of its frames.
        body_model: Of the fit; None for the stand-in.

    Returns:
        float32 (T, 331): 0:3 root place, 3:6 root turn, 9:162 turns of 51 joints, 162:318 places
        of 52 joints, 318:321 and 321:324 the target's place and turn, 330 contact; else zeros.

    Raises:
        InputError: If no body was fitted, the model of the fit is not the one given, or the target
            was never seen.

    References:
        wyhuai/PhysHOI, physhoi/env/tasks/physhoi.py (layout only).
    """
    fit = _require_fit(motion)
    model = body_model or load_body_model()
    if model.name != fit.model:
        raise InputError(
            f"body_model must be the one of the fit, {fit.model}, got {model.name}. "
            "Name the file that the plan was made with."
        )
    if not np.isfinite(motion.target.positions_camera_m).all(axis=-1).any():
        raise InputError(
            "target must have a place in some frame, got none. Plan again with a target in sight."
        )
    times_sec = np.arange(0.0, (motion.num_frames - 1) / fps + 1e-9, 1.0 / PHYSHOI_FPS)
    at = _Resampler(np.arange(motion.num_frames) / fps, times_sec)
    turns_TJ3 = np.stack(
        [at.turns(fit.joint_rotations[:, joint]).as_rotvec() for joint in range(len(JOINT_NAMES))],
        axis=1,
    )
    world = Rotation.from_matrix(_WORLD_FROM_CAMERA)
    turns_TJ3[:, 0] = (world * Rotation.from_rotvec(turns_TJ3[:, 0])).as_rotvec()
    root_m = at.places(fit.pelvis_camera_m) @ _WORLD_FROM_CAMERA.T
    joints_m = _places_of_joints(model, fit, turns_TJ3, root_m)
    target_m = at.places(motion.target.positions_camera_m) @ _WORLD_FROM_CAMERA.T
    ground_m = np.array([0.0, 0.0, joints_m[..., 2].min()])
    kept = [joint for joint, name in enumerate(JOINT_NAMES) if name not in _FACE]
    target_turns = world * at.turns(Rotation.from_quat(motion.target_quaternions_xyzw).as_rotvec())
    reference = np.zeros((len(times_sec), PHYSHOI_WIDTH), dtype=np.float32)
    reference[:, 0:3] = root_m - ground_m
    reference[:, 3:6] = turns_TJ3[:, 0]
    reference[:, 9:162] = turns_TJ3[:, kept[1:]].reshape(len(times_sec), -1)
    reference[:, 162:318] = (joints_m[:, kept] - ground_m).reshape(len(times_sec), -1)
    reference[:, 318:321] = target_m - ground_m
    reference[:, 321:324] = target_turns.as_rotvec()
    reference[:, 330] = _contact_at(motion, fps, times_sec)
    return reference


def _places_of_joints(
    model: BodyModel,
    fit: BodyFit,
    turns_TJ3: NDArray[np.float64],
    root_m: NDArray[np.float64],
) -> NDArray[np.float64]:
    matrices = Rotation.from_rotvec(turns_TJ3.reshape(-1, 3)).as_matrix()
    joints_m, _ = pose_joints(
        model.rest_joints(fit.betas.astype(np.float64)),
        matrices.reshape(*turns_TJ3.shape[:2], 3, 3),
        root_m,
    )
    return joints_m


def _require_fit(motion: InteractionMotion) -> BodyFit:
    if motion.body_fit is None:
        raise InputError(
            "plan must hold a fitted body, got points only. Plan with --body-fit joints, and with "
            "a detector and a picture that show both shoulders or both hips; tavid show says why "
            "none was fitted."
        )
    return motion.body_fit


class _Resampler:
    """Values at other times: places on straight lines, turns on the shortest way."""

    def __init__(self, from_sec: NDArray[np.float64], to_sec: NDArray[np.float64]) -> None:
        self._from_sec, self._to_sec = from_sec, np.minimum(to_sec, from_sec[-1])

    def places(self, places_m: NDArray[np.float32]) -> NDArray[np.float64]:
        known = np.isfinite(places_m).all(axis=-1)
        columns = [
            np.interp(self._to_sec, self._from_sec[known], places_m[known, axis])
            for axis in range(3)
        ]
        return np.stack(columns, axis=-1)

    def turns(self, rotvec: NDArray[np.float32]) -> Rotation:
        if len(self._from_sec) == 1:
            return Rotation.from_rotvec(np.repeat(rotvec, len(self._to_sec), axis=0))
        return Slerp(self._from_sec, Rotation.from_rotvec(rotvec))(self._to_sec)


def _contact_at(
    motion: InteractionMotion, fps: float, times_sec: NDArray[np.float64]
) -> NDArray[np.bool_]:
    is_touching = np.zeros(len(times_sec), dtype=bool)
    for contact in (motion.contact, *motion.contacts):
        if contact.touches_target and contact.start_frame is not None:
            start_sec, end_sec = contact.start_frame / fps, contact.end_frame / fps
            is_touching |= (times_sec >= start_sec) & (times_sec <= end_sec)
    return is_touching
