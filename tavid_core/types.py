"""What goes into a plan and what comes out: frozen, numpy only, validated once.

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
from tavid_core.motion import BodyFit, Contact, InteractionMotion, MotionSegment, PointTrack

__all__ = [
    "BodyFit",
    "CameraIntrinsics",
    "Contact",
    "InteractionMotion",
    "InteractionPlan",
    "MotionSegment",
    "PlanProgress",
    "PlanRequest",
    "PointTrack",
    "Rollout",
]

MAX_IMAGE_SIDE_PX = 4096
MAX_CANDIDATES = 16
MAX_PROMPT_CHARACTERS = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraIntrinsics:
    """Pinhole intrinsics of an undistorted image.

    Args:
        fx: Focal length along the columns, pixels.
        fy: Focal length along the rows, pixels.
        cx: Principal point, column, pixels.
        cy: Principal point, row, pixels.
        width: Image width the numbers are for, pixels.
        height: Image height the numbers are for, pixels.
        is_assumed: True when nobody measured them (a stated field of view was used).
        has_distortion: True when a lens bends the image and nobody undid it, so that positions are
            off towards the edges.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    is_assumed: bool = False
    has_distortion: bool = False

    def __post_init__(self) -> None:
        """Refuse singular or non-finite intrinsics."""
        values = np.array([self.fx, self.fy, self.cx, self.cy], dtype=np.float64)
        if not np.isfinite(values).all() or self.fx <= 0 or self.fy <= 0:
            raise InputError(
                "camera_info must have finite values and positive focal lengths, got "
                f"fx={self.fx}, fy={self.fy}, cx={self.cx}, cy={self.cy}. "
                "Calibrate the camera, or send none."
            )
        if self.width <= 0 or self.height <= 0:
            raise InputError(
                f"camera_info must have a positive size, got {self.width}x{self.height}. "
                "Fill width and height."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """One question to the planner; checked here and nowhere else.

    Args:
        image: RGB, uint8 (H, W, 3).
        target_mask: The object to interact with, bool (H, W); neither empty nor all ones.
        prompt: What should happen, 1 to 1024 characters.
        actor_mask: Where the actor is, bool (H, W), or None.
        depth_m: Depth along the optical axis, float32 (H, W), metres; NaN or 0 = unknown. Or None.
        intrinsics: For the image as it is, or None (a field of view is then assumed).
        seed: Of the noise; the same request and seed give the same plan. 0 to 2**63 - 1.
        num_inference_steps: Denoising steps, or None for the model's default.
        guidance_scale: Classifier-free guidance, or None for the model's default.
        num_frames: Frames of the rollout (8n+1), or None for the model's default.
        num_candidates: Rollouts to imagine, with the seeds seed, seed + 1, ...; the best one is
            the plan. 1 to 16.
        stamp_ns: When the image was taken, nanoseconds.
        frame_id: Optical frame of the camera.
        extra_masks: Further targets, each bool (H, W), for adapters with more than two mask slots.

    Raises:
        InputError: If any of it is unusable; the message names the field.
    """

    image: NDArray[np.uint8]
    target_mask: NDArray[np.bool_]
    prompt: str
    actor_mask: NDArray[np.bool_] | None = None
    depth_m: NDArray[np.float32] | None = None
    intrinsics: CameraIntrinsics | None = None
    seed: int = 0
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    num_frames: int | None = None
    num_candidates: int = 1
    stamp_ns: int = 0
    frame_id: str = "camera_optical_frame"
    extra_masks: tuple[NDArray[np.bool_], ...] = ()

    def __post_init__(self) -> None:
        """Check every field; see the class docstring for the rules."""
        check_shape("image", self.image.shape, (None, None, 3), "Send an RGB image.")
        if self.image.dtype != np.uint8:
            raise InputError(f"image must be uint8, got {self.image.dtype}. Scale it to 0..255.")
        height, width = self.image.shape[:2]
        if not (min(height, width) >= 16 and max(height, width) <= MAX_IMAGE_SIDE_PX):
            raise InputError(
                f"image must have sides of 16 to {MAX_IMAGE_SIDE_PX} pixels, got {width}x{height}. "
                "Resize it."
            )
        self._check_mask("target_mask", self.target_mask, (height, width))
        if self.actor_mask is not None:
            self._check_mask("actor_mask", self.actor_mask, (height, width))
        for number, mask in enumerate(self.extra_masks):
            self._check_mask(f"extra_masks[{number}]", mask, (height, width))
        if self.depth_m is not None:
            check_shape(
                "depth_m", self.depth_m.shape, (height, width), "Register the depth to the image."
            )
        if self.intrinsics is not None and (
            (self.intrinsics.height, self.intrinsics.width) != (height, width)
        ):
            raise InputError(
                f"camera_info must be for the image's size {width}x{height}, got "
                f"{self.intrinsics.width}x{self.intrinsics.height}. Scale it with the image "
                "(tavid_core.camera.scale_intrinsics)."
            )
        self._check_scalars()

    @staticmethod
    def _check_mask(name: str, mask: NDArray[np.bool_], size: tuple[int, int]) -> None:
        check_shape(name, mask.shape, size, "Use tavid_core.mask.fit_mask to resize it.")
        if mask.dtype != np.bool_:
            raise InputError(
                f"{name} must be bool, got {mask.dtype}. Use tavid_core.mask.binarize_mask."
            )
        if not mask.any():
            raise InputError(
                f"{name} must mark at least one pixel, got none. Select the object again."
            )
        if mask.all():
            raise InputError(
                f"{name} must leave some pixels unmarked, got all marked. Is it inverted?"
            )

    def _check_scalars(self) -> None:
        prompt = self.prompt.strip()
        if not 1 <= len(prompt) <= MAX_PROMPT_CHARACTERS:
            raise InputError(
                f"prompt must have 1 to {MAX_PROMPT_CHARACTERS} characters, got {len(prompt)}. "
                "Say in one sentence what should happen."
            )
        if not 1 <= self.num_candidates <= MAX_CANDIDATES:
            raise InputError(
                f"num_candidates must be in 1..{MAX_CANDIDATES}, got {self.num_candidates}. Try 4."
            )
        if not 0 <= self.seed <= 2**63 - self.num_candidates:
            raise InputError(f"seed must be in 0..2**63-1, got {self.seed}. Use a small number.")
        steps = self.num_inference_steps
        if steps is not None and not 1 <= steps <= 1000:
            raise InputError(f"num_inference_steps must be in 1..1000, got {steps}. Try 20.")
        guidance = self.guidance_scale
        if guidance is not None and not (np.isfinite(guidance) and 0.0 <= guidance <= 30.0):
            raise InputError(f"guidance_scale must be in 0..30, got {guidance}. Try 6.")
        frames = self.num_frames
        if frames is not None and (frames < 9 or frames % 8 != 1):
            raise InputError(f"num_frames must be 8n+1 with n >= 1, got {frames}. Try 17 or 49.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
    """The imagined video, in the pixels of the model.

    Args:
        frames: RGB, uint8 (T, h, w, 3); frame 0 shows the conditioning image.
        fps: Frames per second.
        attention_map: Where [TGT] looked in frame 0, float32 (h, w), min-max to 0..1, or None.
    """

    frames: NDArray[np.uint8]
    fps: float
    attention_map: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check shapes and rate."""
        check_shape("frames", self.frames.shape, (None, None, None, 3), "Stack RGB frames.")
        if self.frames.dtype != np.uint8 or len(self.frames) == 0:
            raise InputError(
                f"frames must be uint8 and not empty, got {self.frames.dtype} {self.frames.shape}. "
                "Decode the video again."
            )
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"fps must be positive, got {self.fps}. CogVideoX uses 8.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanProgress:
    """How far a plan is.

    Args:
        stage: "condition", "denoise", "decode" or "lift".
        step: Steps done in this stage, 0..total_steps.
        total_steps: Steps of this stage.
        elapsed_sec: Since the plan began, steady clock.
        remaining_sec: Estimate of what is left of the plan, or None while unknown.
    """

    stage: str
    step: int
    total_steps: int
    elapsed_sec: float
    remaining_sec: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionPlan:
    """Everything the planner says about one request.

    Args:
        request: The question, with the image and the mask as sent.
        rollout: The imagined video.
        motion: The lifted 3D motion.
        provenance: Model and adapter hashes, seed, settings, versions; JSON values only.
        planning_time_sec: From request to plan, steady clock.
    """

    request: PlanRequest
    rollout: Rollout
    motion: InteractionMotion
    provenance: Mapping[str, object]
    planning_time_sec: float
