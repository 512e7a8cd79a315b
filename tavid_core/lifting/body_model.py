"""A body with the joint tree of SMPL-X: the shipped stand-in, or the licensed file of a user.

Rest pose: T-pose, origin in the pelvis, x to the body's left, y up, z to its front, metres.

Shape suffixes: T frames, J joints, V vertices, S shape numbers.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import ConfigError, WeightsError
from tavid_core.lifting.joint_tree import JOINT_NAMES, PARENTS

__all__ = ["STANDIN", "BodyModel", "load_body_model", "pose_joints"]

STANDIN_PATH = Path(__file__).parent.parent / "assets" / "standin_body.safetensors"
STANDIN = "STANDIN"
SMPLX = "SMPLX"
NUM_SHAPES = 10
SMPLX_URL = "https://smpl-x.is.tue.mpg.de"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BodyModel:
    """Where the joints are at rest, and how they move with the shape.

    Args:
        name: "STANDIN" or "SMPLX". Shape numbers of one mean nothing to the other.
        joints_m: float64 (J, 3), metres, pelvis in the origin.
        joint_steps_m: Change with each shape number, float64 (S, J, 3), metres.
        path: The file it was read from.
        pelvis_m: Where the file itself puts the pelvis at rest, float64 (3,), metres.
        pelvis_steps_m: Change of that with each shape number, float64 (S, 3), metres.
    """

    name: str
    joints_m: NDArray[np.float64]
    joint_steps_m: NDArray[np.float64]
    path: Path
    pelvis_m: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(3))
    pelvis_steps_m: NDArray[np.float64] = dataclasses.field(
        default_factory=lambda: np.zeros((NUM_SHAPES, 3))
    )

    def rest_joints(self, betas: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the joints of one shape at rest.

        Args:
            betas: Shape numbers, float (S,).

        Returns:
            float64 (J, 3), metres.
        """
        return self.joints_m + np.tensordot(betas, self.joint_steps_m, axes=1)

    def rest_pelvis(self, betas: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the pelvis of one shape at rest in the file's own frame.

        Args:
            betas: Shape numbers, float (S,).

        Returns:
            float64 (3,), metres; what smplx calls `transl` is the pelvis less this.
        """
        return self.pelvis_m + betas @ self.pelvis_steps_m


def load_body_model(path: str | Path | None = None) -> BodyModel:
    """Read a body.

    Args:
        path: None for the shipped stand-in, or a SMPL-X file such as SMPLX_NEUTRAL.npz, which its
            authors give to whoever registers (`SMPLX_URL`); its licence forbids commercial use.

    Returns:
        The body.

    Raises:
        ConfigError: If the file is no npz.
        WeightsError: If it is missing, damaged or of another kind.
    """
    if path is None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(STANDIN_PATH)
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{STANDIN_PATH.name} must hold the stand-in body, got: {error}. "
                "Install tavid again."
            ) from error
        return BodyModel(
            name=STANDIN,
            joints_m=arrays["joints_m"].astype(np.float64),
            joint_steps_m=arrays["joint_steps_m"].astype(np.float64),
            path=STANDIN_PATH,
        )
    path = Path(path)
    if path.suffix != ".npz":
        # A .pkl runs code when it is read.
        raise ConfigError(
            f"body model must be a .npz file, got {path.name!r}. "
            f"Get SMPLX_NEUTRAL.npz from {SMPLX_URL}."
        )
    return _read_smplx(path)


def _read_smplx(path: Path) -> BodyModel:
    try:
        with np.load(path, allow_pickle=False) as file:
            template = np.asarray(file["v_template"], np.float64)
            steps = np.asarray(file["shapedirs"], np.float64)[..., :NUM_SHAPES]
            regressor = np.asarray(file["J_regressor"], np.float64)
            joints = regressor @ template
            joint_steps = np.einsum("jv,vas->sja", regressor, steps)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise WeightsError(
            f"{path.name} must be a SMPL-X model, got: {str(error).splitlines()[0]}. "
            f"Get SMPLX_NEUTRAL.npz from {SMPLX_URL}."
        ) from error
    if joints.shape != (len(JOINT_NAMES), 3) or joint_steps.shape != (NUM_SHAPES, *joints.shape):
        raise WeightsError(
            f"{path.name} must have {len(JOINT_NAMES)} joints and {NUM_SHAPES} shapes, got "
            f"{joints.shape} and {joint_steps.shape}. SMPL and SMPL-H files do not fit."
        )
    return BodyModel(
        name=SMPLX,
        joints_m=joints - joints[0],
        joint_steps_m=joint_steps - joint_steps[:, :1],
        path=path,
        pelvis_m=joints[0],
        pelvis_steps_m=joint_steps[:, 0],
    )


def pose_joints(
    rest_m: NDArray[np.float64], turns: NDArray[np.float64], pelvis_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bend a body.

    Args:
        rest_m: Joints at rest, float64 (J, 3), metres.
        turns: Of the root, and of every joint relative to its parent, float64 (T, J, 3, 3).
        pelvis_m: Places of the root, float64 (T, 3), metres.

    Returns:
        Joints, float64 (T, J, 3), metres, and their orientations, float64 (T, J, 3, 3), in the
        frame of `pelvis_m`.
    """
    places = np.empty((len(turns), len(PARENTS), 3))
    frames = np.empty_like(turns)
    places[:, 0], frames[:, 0] = pelvis_m, turns[:, 0]
    for joint, parent in enumerate(PARENTS[1:], start=1):
        bone = rest_m[joint] - rest_m[parent]
        places[:, joint] = places[:, parent] + frames[:, parent] @ bone
        frames[:, joint] = frames[:, parent] @ turns[:, joint]
    return places, frames
