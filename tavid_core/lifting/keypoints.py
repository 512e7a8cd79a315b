"""Body keypoints in the pixels of a rollout, and what any detector of them must look like."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, check_shape

__all__ = [
    "BODY_NAMES",
    "FURTHER_NAMES",
    "GRIPPER",
    "HAND_NAMES",
    "KEYPOINT_NAMES",
    "KeypointDetector",
    "Keypoints",
]

# Left and right are the actor's own sides, not the picture's.
KEYPOINT_NAMES = (
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_hand",
    "right_hand",
)
HAND_NAMES = ("left_hand", "right_hand")
# The tip of an arm that has no body, see `tavid_core.lifting.arm`.
GRIPPER = "gripper"
# What a detector may see beyond these; a "hand" is the middle of the palm.
FURTHER_NAMES = tuple(
    f"{side}_{part}"
    for part in (
        "hip",
        "knee",
        "ankle",
        "wrist",
        "index_knuckle",
        "pinky_knuckle",
        "index_tip",
        "thumb_tip",
    )
    for side in ("left", "right")
)
BODY_NAMES = tuple(name for name in KEYPOINT_NAMES if name not in HAND_NAMES)


@dataclasses.dataclass(frozen=True)
class Keypoints:
    """Named points of the actor in every frame.

    Args:
        names: One per point, each at most once; `KEYPOINT_NAMES` or a part of them.
        pixels: Column and row in rollout pixels, float32 (T, K, 2); NaN where not seen.
        confidence: float32 (T, K), 0..1.
        relative_m: The same points in metres relative to some point of the body, in axes parallel
            to the camera's, float32 (T, K, 3), as a network guesses them from one picture; NaN
            where it does not. None from a detector that sees the picture only.
        notes: What was found to be wrong with them, one phrase each.
        others: Further people in the same frames, each without `others`.
        is_crowded: Whether points of further people are seen that the detector cannot take apart,
            so that some of these may be theirs.

    Raises:
        InputError: If a name is there twice, or a confidence is outside 0..1.
        ShapeError: If the arrays do not fit the names.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.float32]
    confidence: NDArray[np.float32]
    relative_m: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    others: tuple[Keypoints, ...] = ()
    is_crowded: bool = False

    def __post_init__(self) -> None:
        """Check names, shapes and range."""
        if len(set(self.names)) != len(self.names):
            raise InputError(f"names must be unique, got {self.names}. Name every keypoint once.")
        expected = (len(self.pixels), len(self.names))
        advice = "Give one row per frame and one column per name."
        check_shape("pixels", self.pixels.shape, (*expected, 2), advice)
        check_shape("confidence", self.confidence.shape, expected, advice)
        if self.relative_m is not None:
            check_shape("relative_m", self.relative_m.shape, (*expected, 3), advice)
        # Written so that NaN fails too.
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise InputError(
                f"confidence must be in 0..1, got {self.confidence.min()} to "
                f"{self.confidence.max()}. Squash the detector's scores."
            )
        for other in self.others:
            check_shape("others", (other.num_frames,), expected[:1], advice)

    @property
    def num_frames(self) -> int:
        """Frames that were looked at."""
        return len(self.pixels)

    def relative_of(self, names: tuple[str, ...]) -> NDArray[np.float64] | None:
        """Give the guessed relative places of some points.

        Args:
            names: Of points that the detector knows.

        Returns:
            float64 (T, K, 3), metres, or None if there are none.
        """
        if self.relative_m is None or not names:
            return None
        return self.relative_m[:, [self.names.index(name) for name in names]].astype(np.float64)

    def without(self, is_lost: NDArray[np.bool_]) -> Keypoints:
        """Declare frames unseen.

        Args:
            is_lost: bool (T,).

        Returns:
            The keypoints, with confidence 0 in these frames.
        """
        confidence = np.where(is_lost[:, None], 0, self.confidence).astype(np.float32)
        others = tuple(other.without(is_lost) for other in self.others)
        return dataclasses.replace(self, confidence=confidence, others=others)

    def track(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give one point over all frames.

        Args:
            name: Of the point; a name the detector does not know is a point never seen.

        Returns:
            Pixels float32 (T, 2), NaN where not seen, and confidence float32 (T,), 0 there.
        """
        if name not in self.names:
            lost = np.full((self.num_frames, 2), np.nan, dtype=np.float32)
            return lost, np.zeros(self.num_frames, dtype=np.float32)
        index = self.names.index(name)
        pixels = self.pixels[:, index].astype(np.float32)
        is_seen = np.isfinite(pixels).all(axis=-1)
        confidence = np.where(is_seen, self.confidence[:, index], 0).astype(np.float32)
        return pixels, confidence


class KeypointDetector(Protocol):
    """Anything that finds the actor's points in the frames of a rollout."""

    def __call__(self, frames: NDArray[np.uint8]) -> Keypoints:
        """Find the points.

        Args:
            frames: RGB, uint8 (T, h, w, 3).

        Returns:
            One row per frame, in the pixels of `frames`.
        """
        ...
