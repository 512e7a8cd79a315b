"""Rotation and translation between two frames.

Named `a_from_b`: it takes coordinates in frame b and gives those in frame a, and
`a_from_b @ b_from_c` is `a_from_c`. In TF's words b is the child and a the parent.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from tavid_core.errors import InputError

__all__ = ["RigidTransform"]

_MIN_LENGTH = 1e-3


@dataclasses.dataclass(frozen=True)
class RigidTransform:
    """A pose of one frame in another.

    Args:
        rotation: A single one.
        translation_m: float64 (3,), metres.
    """

    rotation: Rotation
    translation_m: NDArray[np.float64]

    @classmethod
    def identity(cls) -> RigidTransform:
        """Make the transform that changes nothing."""
        return cls(Rotation.identity(), np.zeros(3))

    @classmethod
    def of(cls, quaternion_xyzw: ArrayLike, translation_m: ArrayLike) -> RigidTransform:
        """Check and normalise numbers that somebody sent.

        Args:
            quaternion_xyzw: Four numbers, not all 0.
            translation_m: Three numbers, metres.

        Returns:
            The transform.

        Raises:
            InputError: If a number is not finite, or the quaternion is far from any rotation.
        """
        quaternion = np.asarray(quaternion_xyzw, dtype=np.float64)
        translation_m = np.asarray(translation_m, dtype=np.float64)
        length = float(np.linalg.norm(quaternion))
        is_finite = np.isfinite(translation_m).all() and np.isfinite(length)
        if not is_finite or length < _MIN_LENGTH:
            raise InputError(
                "a transform must have finite numbers and a rotation, got quaternion "
                f"{quaternion.tolist()} and translation {translation_m.tolist()}. "
                "Check who publishes it."
            )
        return cls(Rotation.from_quat(quaternion), translation_m)

    @property
    def quaternion_xyzw(self) -> NDArray[np.float64]:
        """The rotation as a quaternion of length 1, float64 (4,)."""
        return self.rotation.as_quat()

    def __matmul__(self, other: RigidTransform) -> RigidTransform:
        return RigidTransform(self.rotation * other.rotation, self.apply(other.translation_m))

    def apply(self, points_m: ArrayLike) -> NDArray[np.float64]:
        """Turn and move points.

        Args:
            points_m: (3,) or (N, 3), metres.

        Returns:
            float64 of the same shape.
        """
        return self.rotation.apply(points_m) + self.translation_m

    def invert(self) -> RigidTransform:
        """Swap the two frames.

        Returns:
            The other direction.
        """
        turned_back = self.rotation.inv()
        return RigidTransform(turned_back, -turned_back.apply(self.translation_m))

    def interpolate(self, other: RigidTransform, share: float) -> RigidTransform:
        """Go a part of the way to another transform, turning evenly the shorter way.

        Args:
            other: The end of the way.
            share: 0..1.

        Returns:
            The transform there.
        """
        ends = Slerp([0.0, 1.0], Rotation.concatenate([self.rotation, other.rotation]))
        translation_m = (1 - share) * self.translation_m + share * other.translation_m
        return RigidTransform(ends(share), translation_m)
