"""The lifted 3D motion: tracks of points, contacts, segments, a fitted body; numpy only.

Frames and units: metres, seconds, radians; quaternions xyzw; the camera frame is the optical
frame (x right, y down, z forward). Pixels are (column, row) of the caller's image. T counts
frames of the rollout; frame 0 is the conditioning image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, check_shape

__all__ = [
    "ACTOR_KINDS",
    "CHANNELS",
    "SEGMENT_NAMES",
    "BodyFit",
    "Contact",
    "InteractionMotion",
    "MotionSegment",
    "PointTrack",
]

CHANNELS = ("actor", "hands", "target", "rotation", "contact", "scale")
SEGMENT_NAMES = ("approach", "grasp", "transport", "retreat")
ACTOR_KINDS = ("person", "arm", "none")
NUM_BODY_JOINTS = 55


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointTrack:
    """One named point over the frames of a rollout.

    Args:
        name: "left_hand", "right_hand", "left_elbow", ..., "target".
        pixels: Column and row in the caller's image, float32 (T, 2); NaN where lost.
        positions_camera_m: float32 (T, 3), metres, optical frame; NaN where lost.
        confidence: float32 (T,), 0..1.
        quaternions_xyzw: Orientation in the optical frame, float32 (T, 4), a row of NaN where
            unknown; None for a point without one.
    """

    name: str
    pixels: NDArray[np.float32]
    positions_camera_m: NDArray[np.float32]
    confidence: NDArray[np.float32]
    quaternions_xyzw: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same frames."""
        num_frames = len(self.confidence)
        advice = f"Give track '{self.name}' one row per frame."
        check_shape("pixels", self.pixels.shape, (num_frames, 2), advice)
        check_shape("positions_camera_m", self.positions_camera_m.shape, (num_frames, 3), advice)
        if self.quaternions_xyzw is not None:
            check_shape("quaternions_xyzw", self.quaternions_xyzw.shape, (num_frames, 4), advice)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contact:
    """Who touches what, when and where.

    Args:
        hand: Name of the touching track ("left_hand", "right_hand"), or None if none touches.
        start_frame: First frame of contact, or None.
        end_frame: Last frame of contact, or None.
        point_camera_m: Where, float32 (3,), metres, optical frame, or None.
        point_target_m: The same point as the target sees it, float32 (3,), metres, or None. Its
            frame has its origin in the target's centre and, in frame 0, the camera's axes.
        touches_target: Whether the target was touched.
        touches_other: Whether something else was touched instead, a look-alike for example.
        confidence: 0..1.
    """

    hand: str | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    point_camera_m: NDArray[np.float32] | None = None
    point_target_m: NDArray[np.float32] | None = None
    touches_target: bool = False
    touches_other: bool = False
    confidence: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionSegment:
    """A part of the motion that a robot would carry out as one.

    Args:
        name: One of `SEGMENT_NAMES`.
        hand: Name of the acting track.
        start_frame: First frame.
        end_frame: Last frame, not before the first.

    Raises:
        InputError: If the name is unknown or the frames are no interval.
    """

    name: str
    hand: str
    start_frame: int
    end_frame: int

    def __post_init__(self) -> None:
        """Refuse unknown names and empty intervals."""
        if self.name not in SEGMENT_NAMES:
            raise InputError(
                f"segment name must be one of {', '.join(SEGMENT_NAMES)}, got {self.name[:40]!r}. "
                "Use one of these."
            )
        if not 0 <= self.start_frame <= self.end_frame:
            raise InputError(
                f"segment '{self.name}' must have 0 <= start_frame <= end_frame, got "
                f"{self.start_frame} and {self.end_frame}. Swap them."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BodyFit:
    """A body model fitted to the actor: the joint tree of SMPL-X, whatever model fills it.

    Args:
        model: "STANDIN" for the one of this package, else the name of the file's model. Shape
            numbers of one model mean nothing to another.
        joint_rotations: Axis-angle of the root and of every joint relative to its parent, float32
            (T, 55, 3), radians; the root's is relative to the optical frame.
        betas: Shape, float32 (10,).
        pelvis_camera_m: The root joint, float32 (T, 3), metres, optical frame.
        residual_px: Mean distance of projected joints from the keypoints, float32 (T,), caller's
            pixels; NaN where nothing was seen.
    """

    model: str
    joint_rotations: NDArray[np.float32]
    betas: NDArray[np.float32]
    pelvis_camera_m: NDArray[np.float32]
    residual_px: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same frames."""
        num_frames = len(self.residual_px)
        advice = "Give the body fit one row per frame."
        joints = (num_frames, NUM_BODY_JOINTS, 3)
        check_shape("joint_rotations", self.joint_rotations.shape, joints, advice)
        check_shape("betas", self.betas.shape, (10,), "Give ten shape numbers.")
        check_shape("pelvis_camera_m", self.pelvis_camera_m.shape, (num_frames, 3), advice)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionMotion:
    """The lifted 3D motion: hands, body points and the target, each with its own confidence.

    Args:
        hands: Tracks named "left_hand" and "right_hand", or "gripper" for an arm; empty when no
            actor was found. A hand's own frame: docs/actor.md.
        body: Further body points (head, shoulders, elbows).
        target: Track of the target's centre.
        target_quaternions_xyzw: Orientation of the target relative to frame 0, float32 (T, 4).
        target_dof: 6 with a measured rotation, 3 with position only (rotation held).
        contact: The contact that counts: with the target if there is one.
        scale_source: Where metres come from: "sensor", "height_prior", "none".
        confidence: Per channel, 0..1; see `CHANNELS`.
        reasons: Per channel of low confidence, why.
        contacts: Every contact of every hand, in time order.
        apertures_m: Opening between thumb and fingers by hand, float32 (T,), metres; NaN where
            unknown.
        segments: Parts of the motion, in time order per hand.
        body_fit: A fitted body model, or None.
        actor_kind: One of `ACTOR_KINDS`.
    """

    hands: tuple[PointTrack, ...]
    body: tuple[PointTrack, ...]
    target: PointTrack
    target_quaternions_xyzw: NDArray[np.float32]
    target_dof: int
    contact: Contact
    scale_source: str
    confidence: Mapping[str, float]
    reasons: Mapping[str, str]
    contacts: tuple[Contact, ...] = ()
    apertures_m: Mapping[str, NDArray[np.float32]] = dataclasses.field(default_factory=dict)
    segments: tuple[MotionSegment, ...] = ()
    body_fit: BodyFit | None = None
    actor_kind: str = "person"

    @property
    def num_frames(self) -> int:
        """Frames of the motion, equal to those of the rollout."""
        return len(self.target.confidence)

    @property
    def has_actor(self) -> bool:
        """Whether a hand was found, so that there is a motion to follow."""
        return len(self.hands) > 0
