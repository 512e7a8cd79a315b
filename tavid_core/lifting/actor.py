"""The actor in metres: what was seen of the body, turned into tracks with a confidence each.

Shape suffixes: T frames, K points.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import project, unproject
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.anatomy import SKIN_TO_JOINT_M, part_of
from tavid_core.lifting.body import MIN_POINT_CONFIDENCE, close_gaps
from tavid_core.lifting.contact import ContactInterval
from tavid_core.lifting.depth import SceneDepth, sample_depth
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.limb_lift import LimbMotion, lift_limbs
from tavid_core.lifting.limb_rows import IN_FRONT_M, Anchor, LimbEvidence
from tavid_core.types import CameraIntrinsics, PlanRequest, PointTrack

__all__ = ["ActorLifter", "Touch", "lift_body", "position_confidence"]

# Of the picture's width: how far a good detector is off along one axis.
PIXEL_SIGMA_SHARE = 0.004
# Of the image's diagonal: about a palm's half width for a person who fills the picture.
DEPTH_WINDOW_SHARE = 0.008
# Sleeves, hair and the slant of a limb, beyond the usual distance from skin to joint.
FIRST_SIGMA_M = 0.025
# A point measured farther from the target than this was measured on something else.
MAX_TO_TARGET_M = 1.2
# A hand that takes an object and is seen doing so is on its near or its upper side.
GRIP_NEARER_SIDES = 0.25
GRIP_SIGMA_M = 0.03
# Half of the confidence is gone where a point may be this far off.
HALF_CONFIDENCE_M = 0.12
MIN_TARGET_M = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Touch:
    """A hand at the target, from where its distance follows.

    Args:
        hand: Name of the hand.
        frame: First frame of the contact.
        target_m: Centre of the target then, float (3,), metres, optical frame.
        side_m: Square root of the target's area, metres.
        confidence: 0..1.
    """

    hand: str
    frame: int
    target_m: NDArray[np.float64]
    side_m: float
    confidence: float


class ActorLifter:
    """Lift the points of one actor.

    Args:
        request: Image, and where given depth and actor mask, caller's pixels.
        keypoints: Of the actor in the rollout, model pixels.
        fit: How the request's image became the rollout's frame 0.
        intrinsics: Of the request's image.
        fps: Frames per second of the rollout.
    """

    def __init__(
        self,
        request: PlanRequest,
        keypoints: Keypoints,
        fit: FrameFit,
        intrinsics: CameraIntrinsics,
        fps: float,
    ) -> None:
        self._request, self._intrinsics, self._fps = request, intrinsics, fps
        self._names = tuple(
            name
            for name in keypoints.names
            if part_of(name) in SKIN_TO_JOINT_M
            and (keypoints.track(name)[1] >= MIN_POINT_CONFIDENCE).any()
            and not _stands_for_hand(name, keypoints)
        )
        picks = [keypoints.names.index(name) for name in self._names]
        self._confidence = np.nan_to_num(keypoints.confidence[:, picks])
        is_seen = np.isfinite(keypoints.pixels[:, picks]).all(axis=-1)
        self._confidence = np.where(is_seen, self._confidence, 0.0)
        is_sure = self._confidence >= MIN_POINT_CONFIDENCE
        pixels = fit.pixels_to_caller(keypoints.pixels[:, picks])
        self._pixels = np.where(is_sure[..., None], pixels, np.nan)
        self._sigma_px = PIXEL_SIGMA_SHARE * fit.window[3] / np.maximum(self._confidence, 0.1)
        self._relative_m = keypoints.relative_of(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """Points that were seen surely enough in some frame and that the anatomy knows."""
        return self._names

    def lift(self, scene: SceneDepth, touches: Sequence[Touch] = ()) -> LimbMotion | None:
        """Find the motion of all points.

        Args:
            scene: Where metres come from.
            touches: Hands at the target.

        Returns:
            The motion, or None if no point was seen.
        """
        if not self._names:
            return None
        camera = self._intrinsics
        focal = np.array([camera.fx, camera.fy])
        is_measured = self._request.depth_m is not None and scene.source == "sensor"
        first_depth_m = np.full(len(self._names), np.nan)
        if is_measured:
            first_depth_m = self._first_depths(scene.target_m)
        evidence = LimbEvidence(
            names=self._names,
            rays=(self._pixels - [camera.cx, camera.cy]) / focal,
            sigma_rays=self._sigma_px / focal.mean(),
            first_depth_m=first_depth_m,
            first_sigma_m=np.full(len(self._names), FIRST_SIGMA_M),
            relative_m=self._relative_m,
            anchors=tuple(self._anchor(touch) for touch in touches if touch.hand in self._names),
            usual_depth_m=scene.target_m,
            fps=self._fps,
        )
        return lift_limbs(evidence)

    def track(self, name: str, motion: LimbMotion | None) -> PointTrack:
        """Give one point as a track of the plan.

        Args:
            name: Of the point.
            motion: From `lift`.

        Returns:
            The track; NaN where the point was unseen for too long to say where it was.
        """
        if motion is None or name not in self._names:
            return _lost(name, len(self._confidence))
        seen = close_gaps(self._confidence[:, self._names.index(name)])
        positions_m, sigma_m = motion.point(name)
        confidence = seen * position_confidence(sigma_m, motion.misfit)
        positions_m = np.where(seen[:, None] > 0, positions_m, np.nan)
        return PointTrack(
            name=name,
            pixels=project(positions_m, self._intrinsics).astype(np.float32),
            positions_camera_m=positions_m.astype(np.float32),
            confidence=confidence.astype(np.float32),
        )

    def _first_depths(self, target_m: float) -> NDArray[np.float64]:
        """Depth of each joint in frame 0; NaN where it was measured on something else."""
        request = self._request
        window_px = max(1.0, DEPTH_WINDOW_SHARE * math.hypot(*request.image.shape[:2]))
        depths_m = [
            sample_depth(request.depth_m, pixel, window_px, request.actor_mask)
            + SKIN_TO_JOINT_M[part_of(name)]
            for name, pixel in zip(self._names, self._pixels[0], strict=True)
        ]
        depths_m = np.array(depths_m)
        return np.where(np.abs(depths_m - target_m) <= MAX_TO_TARGET_M, depths_m, np.nan)

    def _anchor(self, touch: Touch) -> Anchor:
        """Put the hand on the near side of the target, on its own ray if it is seen."""
        camera = self._intrinsics
        depth_m = float(touch.target_m[2]) - GRIP_NEARER_SIDES * touch.side_m
        pixel = self._pixels[touch.frame, self._names.index(touch.hand)]
        position_m = np.array([*touch.target_m[:2], depth_m], dtype=np.float64)
        if np.isfinite(pixel).all():
            position_m[0] = (pixel[0] - camera.cx) / camera.fx * depth_m
            position_m[1] = (pixel[1] - camera.cy) / camera.fy * depth_m
        # Across the ray the picture knows better, unless the hand is hidden.
        sigma_m = np.array([0.1, 0.1, GRIP_SIGMA_M]) / max(touch.confidence, 0.2)
        return Anchor(name=touch.hand, frame=touch.frame, position_m=position_m, sigma_m=sigma_m)


def _stands_for_hand(name: str, keypoints: Keypoints) -> bool:
    """Whether a wrist's place is all that is known of its hand, so that it would count twice."""
    hand = name.replace("_wrist", "_hand")
    if hand == name:
        return False
    pixels, hand_pixels = keypoints.track(name)[0], keypoints.track(hand)[0]
    return bool(np.array_equal(pixels, hand_pixels, equal_nan=True))


def lift_body(
    actor: ActorLifter,
    interval: ContactInterval,
    target_pixels: NDArray[np.float32],
    side_px: float,
    scene: SceneDepth,
    intrinsics: CameraIntrinsics,
) -> tuple[LimbMotion | None, SceneDepth]:
    """Lift the actor, with the touch at the target where the target's distance is known.

    Where it is not, it is the other way round: the hand that touches says how far the target is.

    Args:
        actor: The points to lift.
        interval: The contact found in the picture.
        target_pixels: Path of the target's centre, caller's pixels, float32 (T, 2).
        side_px: Square root of the target's area in frame 0, caller's pixels.
        scene: Where metres come from.
        intrinsics: Of the request's image.

    Returns:
        The motion, None without any point, and the scene's depth, corrected by the hand.
    """
    frame, focal_px = interval.start_frame, math.sqrt(intrinsics.fx * intrinsics.fy)
    if frame is None or interval.hand not in actor.names:
        motion = actor.lift(scene)
        return motion, scene if scene.source == "sensor" else _before(motion, scene)
    if scene.source == "sensor":
        touch = Touch(
            hand=interval.hand,
            frame=frame,
            target_m=unproject(target_pixels[frame], scene.target_m, intrinsics),
            side_m=side_px * scene.target_m / focal_px,
            confidence=interval.confidence,
        )
        return actor.lift(scene, [touch]), scene
    motion = actor.lift(scene)
    hand_m = float(motion.point(interval.hand)[0][frame, 2])
    target_m = hand_m / (1.0 - GRIP_NEARER_SIDES * side_px / focal_px)
    return motion, dataclasses.replace(
        scene, target_m=target_m, reason=f"{scene.reason}; the target is where the hand touches it"
    )


def _before(motion: LimbMotion | None, scene: SceneDepth) -> SceneDepth:
    """Put a target of unknown distance in front of whoever is about to act on it."""
    torso = [name for name in motion.names if part_of(name) == "shoulder"] if motion else []
    if not torso:
        return scene
    torso_m = float(np.median([motion.point(name)[0][:, 2] for name in torso]))
    return dataclasses.replace(scene, target_m=max(torso_m - IN_FRONT_M["hand"], MIN_TARGET_M))


def position_confidence(sigma_m: NDArray[np.float64], misfit: float) -> NDArray[np.float64]:
    """Turn an expected error into a confidence.

    Args:
        sigma_m: Expected error, metres.
        misfit: Root mean square of the residuals in standard deviations: above 1 the evidence
            contradicts itself, and the error is larger than expected.

    Returns:
        0..1; a half at `HALF_CONFIDENCE_M`.
    """
    return 1.0 / (1.0 + (sigma_m * max(misfit, 1.0) / HALF_CONFIDENCE_M) ** 2)


def _lost(name: str, num_frames: int) -> PointTrack:
    return PointTrack(
        name=name,
        pixels=np.full((num_frames, 2), np.nan, np.float32),
        positions_camera_m=np.full((num_frames, 3), np.nan, np.float32),
        confidence=np.zeros(num_frames, np.float32),
    )
