"""Goals of the action to plan requests, and plans to results."""

from __future__ import annotations

import dataclasses
import math

from geometry_msgs.msg import Point, PointStamped
from std_msgs.msg import Header
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, InputError
from tavid_core.prompt import clean_prompt
from tavid_core.types import (
    InteractionPlan,
    PlanProgress,
    PlanRequest,
)
from tavid_ros.conversions.cameras import message_from_intrinsics
from tavid_ros.conversions.images import message_from_depth, message_from_image, message_from_mask
from tavid_ros.conversions.motions import trajectory_from_motion
from tavid_ros.conversions.times import (
    duration_from_seconds,
    header_from_stamp,
    seconds_from_duration,
)

__all__ = [
    "GoalNumbers",
    "clean_prompt",
    "feedback_from_progress",
    "fill_result",
    "goal_from_request",
    "make_result",
    "numbers_from_goal",
    "progress_from_feedback",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GoalNumbers:
    """The numbers of a goal after the node's defaults were filled in.

    Args:
        seed: Of the noise.
        num_inference_steps: Denoising steps, None = the model's default.
        guidance_scale: Classifier-free guidance, None = the model's default.
        num_frames: Frames of the rollout, None = the model's default.
        num_candidates: Rollouts to choose from.
    """

    seed: int = 0
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    num_frames: int | None = None
    num_candidates: int = 1


def numbers_from_goal(goal: PlanInteraction.Goal, defaults: GoalNumbers) -> GoalNumbers:
    """Fill the numbers that a goal leaves out (0) with the node's.

    Args:
        goal: As received.
        defaults: The node's.

    Returns:
        The numbers to plan with; `PlanRequest` checks their ranges.

    Raises:
        InputError: If the guidance is not a number.
    """
    if not math.isfinite(goal.guidance_scale):
        raise InputError(
            f"guidance_scale must be in 0..30, got {goal.guidance_scale}. "
            "Try 6, or 0 for the node's default."
        )
    return GoalNumbers(
        seed=goal.seed or defaults.seed,
        num_inference_steps=goal.num_inference_steps or defaults.num_inference_steps,
        guidance_scale=goal.guidance_scale or defaults.guidance_scale,
        num_frames=goal.num_frames or defaults.num_frames,
        num_candidates=goal.num_candidates or defaults.num_candidates,
    )


def goal_from_request(request: PlanRequest, *, return_frames: bool = False) -> PlanInteraction.Goal:
    """Write a request as a goal.

    Args:
        request: The question.
        return_frames: Whether the rollout shall travel in the result.

    Returns:
        The goal. Seed 0 is sent as it is and means the node's default, as one candidate does.
    """
    header = header_from_stamp(request.stamp_ns, request.frame_id)
    goal = PlanInteraction.Goal(
        image=message_from_image(request.image, header),
        target_mask=message_from_mask(request.target_mask, header),
        prompt=request.prompt,
        seed=request.seed,
        num_inference_steps=request.num_inference_steps or 0,
        guidance_scale=float(request.guidance_scale or 0.0),
        num_frames=request.num_frames or 0,
        num_candidates=0 if request.num_candidates == 1 else request.num_candidates,
        return_frames=return_frames,
    )
    if request.actor_mask is not None:
        goal.actor_mask = message_from_mask(request.actor_mask, header)
    if request.depth_m is not None:
        goal.depth = message_from_depth(request.depth_m, header)
    if request.intrinsics is not None:
        goal.camera_info = message_from_intrinsics(request.intrinsics, header)
    return goal


def feedback_from_progress(progress: PlanProgress) -> PlanInteraction.Feedback:
    """Write progress as feedback.

    Args:
        progress: Where the plan is.

    Returns:
        The message; an unknown remaining time is -1 s.
    """
    return PlanInteraction.Feedback(
        stage=progress.stage,
        step=progress.step,
        total_steps=progress.total_steps,
        elapsed=duration_from_seconds(progress.elapsed_sec),
        estimated_remaining=duration_from_seconds(progress.remaining_sec),
    )


def progress_from_feedback(feedback: PlanInteraction.Feedback) -> PlanProgress:
    """Read progress from feedback.

    Args:
        feedback: As received.

    Returns:
        Where the plan is; a negative remaining time is None.
    """
    remaining_sec = seconds_from_duration(feedback.estimated_remaining)
    return PlanProgress(
        stage=feedback.stage,
        step=feedback.step,
        total_steps=feedback.total_steps,
        elapsed_sec=seconds_from_duration(feedback.elapsed),
        remaining_sec=None if remaining_sec < 0 else remaining_sec,
    )


def make_result(
    code: ErrorCode, message: str = "", planning_time_sec: float = 0.0
) -> PlanInteraction.Result:
    """Write an outcome without a plan.

    Args:
        code: What happened.
        message: Why, and what to do about it.
        planning_time_sec: Since the goal was accepted.

    Returns:
        The result.
    """
    return PlanInteraction.Result(
        error_code=int(code),
        error_msg=message,
        planning_time=duration_from_seconds(planning_time_sec),
    )


def fill_result(
    result: PlanInteraction.Result, plan: InteractionPlan, plan_uri: str, *, return_frames: bool
) -> PlanInteraction.Result:
    """Put a plan into a result.

    Args:
        result: Of `make_result`; changed in place.
        plan: The answer.
        plan_uri: Where it was saved, "" = nowhere.
        return_frames: Whether the client asked for the rollout.

    Returns:
        The same result.
    """
    header = header_from_stamp(plan.request.stamp_ns, plan.request.frame_id)
    motion = plan.motion
    result.motion = trajectory_from_motion(motion, plan.rollout.fps, header)
    result.plan_uri = plan_uri
    _fill_contact(result, plan, header)
    _fill_segments(result, plan)
    result.target_dof = int(motion.target_dof)
    result.actor_kind = motion.actor_kind
    result.scale_source = motion.scale_source
    channels = sorted(motion.confidence)
    result.confidence_channels = channels
    result.confidence_values = [_finite(motion.confidence[channel]) for channel in channels]
    result.confidence_reasons = [motion.reasons.get(channel, "") for channel in channels]
    if return_frames:
        result.frames = [message_from_image(frame, header) for frame in plan.rollout.frames]
    return result


def _fill_contact(result: PlanInteraction.Result, plan: InteractionPlan, header: Header) -> None:
    contact, fps = plan.motion.contact, plan.rollout.fps
    result.touches_target = bool(contact.touches_target)
    if not contact.touches_target or contact.start_frame is None:
        return
    result.contact_hand = contact.hand or ""
    result.contact_start = duration_from_seconds(contact.start_frame / fps)
    result.contact_end = duration_from_seconds(contact.end_frame / fps)
    if contact.point_camera_m is not None:
        x, y, z = (float(value) for value in contact.point_camera_m)
        result.contact_point = PointStamped(header=header, point=Point(x=x, y=y, z=z))
    aperture_m = plan.motion.apertures_m.get(result.contact_hand)
    if aperture_m is not None:
        result.hand_aperture = [float(value) for value in aperture_m]


def _fill_segments(result: PlanInteraction.Result, plan: InteractionPlan) -> None:
    segments, fps = plan.motion.segments, plan.rollout.fps
    result.segment_names = [segment.name for segment in segments]
    result.segment_hands = [segment.hand for segment in segments]
    result.segment_starts = [
        duration_from_seconds(segment.start_frame / fps) for segment in segments
    ]
    result.segment_ends = [duration_from_seconds(segment.end_frame / fps) for segment in segments]


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
