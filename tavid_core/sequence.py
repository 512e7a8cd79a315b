"""Several interactions one after the other: the last frame of one is the first of the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import ErrorCode, InputError, TavidError
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.target import track_target
from tavid_core.motion import InteractionMotion
from tavid_core.motion_chain import chain_motions
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest, Rollout

__all__ = ["SequenceBrokenError", "SequencePlan", "SequenceStep", "plan_sequence"]

# A target that is seen less surely at the end of a step is not handed to the next one.
MIN_TARGET_CONFIDENCE = 0.3
# Colours of one place differ by less between frames in which nothing happens there.
CHANGED_LEVELS = 20
CHANGED_MARGIN_PX = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceStep:
    """One interaction of a sequence.

    Args:
        prompt: What should happen.
        target_mask: The object, bool (H, W), as the first image of the whole sequence shows it.
        seed: Of the noise.
    """

    prompt: str
    target_mask: NDArray[np.bool_]
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequencePlan:
    """The plans of a sequence, and one motion for all of it.

    Args:
        plans: One per step. The request of each holds the image it began with.
        motion: All steps in the camera's frame, one after the other; the shared frame between two
            steps is there once. Its target is that of the step which is under way.
        fps: Of the motion's frames.
        first_frames: In which frame of the motion each step begins.
    """

    plans: tuple[InteractionPlan, ...]
    motion: InteractionMotion
    fps: float
    first_frames: tuple[int, ...]


class SequenceBrokenError(TavidError):
    """A step cannot begin; those before it are done.

    Attributes:
        plans: The plans of the steps that are done.
    """

    code = ErrorCode.INVALID_INPUT

    def __init__(self, message: str, plans: tuple[InteractionPlan, ...]) -> None:
        super().__init__(message)
        self.plans = plans


class Planner(Protocol):
    """What a sequence needs of a planner; see `tavid_core.planner.InteractionPlanner`."""

    def plan(
        self,
        request: PlanRequest,
        on_progress: Callable[[PlanProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> InteractionPlan:
        """Answer a request."""


def plan_sequence(
    planner: Planner,
    request: PlanRequest,
    steps: Sequence[SequenceStep],
    *,
    on_progress: Callable[[int, PlanProgress], None] | None = None,
    on_plan: Callable[[int, InteractionPlan], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> SequencePlan:
    """Plan one interaction after the other.

    Where a step changed nothing, the next one begins with the camera's own pixels and depth; what
    it changed is taken from its last frame, and has no depth. The targets of later steps are
    followed through the steps before them.

    Args:
        planner: Makes each plan.
        request: The first step; its actor mask is not carried to later ones.
        steps: The steps after it; each mask is for the first image.
        on_progress: Called with the step's number, from 0, and its progress.
        on_plan: Called with the step's number and its plan, as soon as it is there.
        should_stop: As for `InteractionPlanner.plan`.

    Returns:
        The plans and their motion.

    Raises:
        CanceledError: If `should_stop` said so.
        InputError: If a request is unusable; asked before the first step for every mask.
        SequenceBrokenError: If the target of a later step is lost; carries the plans before it.
    """
    requests = [request, *(_request_of(request, step) for step in steps)]
    waiting = {index: later.target_mask for index, later in enumerate(requests) if index}
    plans: list[InteractionPlan] = []
    for index, step_request in enumerate(requests):
        current = step_request
        if plans:
            scene = _scene_after(plans[-1])
            waiting = _follow(waiting, plans, index)
            current = dataclasses.replace(step_request, target_mask=waiting.pop(index), **scene)
        tell = on_progress and _teller(on_progress, index)
        plans.append(planner.plan(current, tell, should_stop))
        if on_plan is not None:
            on_plan(index, plans[-1])
    motion, first_frames = chain_motions([plan.motion for plan in plans])
    return SequencePlan(
        plans=tuple(plans),
        motion=motion,
        fps=plans[0].rollout.fps,
        first_frames=first_frames,
    )


def _request_of(request: PlanRequest, step: SequenceStep) -> PlanRequest:
    # An actor mask is for the first image only: the actor moves.
    return dataclasses.replace(
        request,
        prompt=step.prompt,
        target_mask=step.target_mask,
        seed=step.seed,
        actor_mask=None,
    )


def _teller(
    on_progress: Callable[[int, PlanProgress], None], index: int
) -> Callable[[PlanProgress], None]:
    return lambda progress: on_progress(index, progress)


def _scene_after(plan: InteractionPlan) -> dict[str, NDArray[np.generic] | None]:
    """Image and depth when a plan has been carried out."""
    request = plan.request
    image, depth_m = request.image.copy(), request.depth_m
    top, left, rows, columns = _fit(plan).window
    window = np.s_[top : top + rows, left : left + columns]
    first, last = (_enlarge(frame, rows, columns) for frame in plan.rollout.frames[[0, -1]])
    difference = np.abs(last.astype(np.int16) - first.astype(np.int16)).max(axis=-1)
    margin = 2 * max(CHANGED_MARGIN_PX, round(rows / plan.rollout.frames.shape[1])) + 1
    changed = cv2.dilate((difference > CHANGED_LEVELS).astype(np.uint8), np.ones((margin, margin)))
    weight = cv2.GaussianBlur(changed.astype(np.float32), (margin, margin), 0)[..., None]
    image[window] = (image[window] * (1 - weight) + last * weight).round().astype(np.uint8)
    if depth_m is not None:
        depth_m = depth_m.copy()
        depth_m[window][weight[..., 0] > 0] = np.nan
    return {"image": image, "depth_m": depth_m}


def _follow(
    waiting: dict[int, NDArray[np.bool_]], plans: Sequence[InteractionPlan], index: int
) -> dict[int, NDArray[np.bool_]]:
    """Move the masks of later steps to where their objects are after the last plan."""
    plan = plans[-1]
    moved = {}
    for later, mask in waiting.items():
        shifted = _shift_with_target(plan.rollout, mask, _fit(plan))
        if shifted is None and later == index:
            raise SequenceBrokenError(
                f"the target of step {index + 1} must be in sight when step {index} ends, got it "
                "hidden or moved out of the picture. Choose another order, or plan the step on a "
                "new image.",
                tuple(plans),
            )
        # Hidden for now, it may be in sight again before its turn.
        moved[later] = mask if shifted is None else shifted
    return moved


def _shift_with_target(
    rollout: Rollout, mask: NDArray[np.bool_], fit: FrameFit
) -> NDArray[np.bool_] | None:
    """Move a mask along with its object; None if the object is lost at the end."""
    try:
        track = track_target(rollout.frames, fit.fit_mask(mask))
    except InputError:
        # Outside the window that the model sees, nothing moves.
        return mask
    if track.confidence[-1] < MIN_TARGET_CONFIDENCE:
        return None
    if not track.has_moved[-1]:
        return mask
    way = (track.pixels[-1] - track.pixels[0]) * np.array(fit.scale_xy)
    shift = np.float32([[1, 0, round(float(way[0]))], [0, 1, round(float(way[1]))]])
    moved = cv2.warpAffine(mask.astype(np.uint8), shift, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    return moved > 0 if moved.any() else None


def _fit(plan: InteractionPlan) -> FrameFit:
    return FrameFit(plan.request.image.shape[:2], plan.rollout.frames.shape[1:3])


def _enlarge(frame: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    return cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_CUBIC)
