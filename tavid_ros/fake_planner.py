"""A planner without a model: answers at once, moves a hand to the target, fails on demand.

It is what `backend: fake` runs, to try the nodes where no weights are, and what the tests of the
worker and the node run on. The prompt may name a fault and its stage, as in "crash at denoise":
oom, nan, error, crash, hang or no_actor, at condition, denoise, decode or lift. It may name how
long a step takes too, as in "steps of 2 ms".
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_field_of_view, unproject
from tavid_core.candidates import Candidate
from tavid_core.errors import CanceledError, NonFiniteError, WeightsError
from tavid_core.types import (
    Contact,
    InteractionMotion,
    InteractionPlan,
    PlanProgress,
    PlanRequest,
    PointTrack,
    Rollout,
)

__all__ = ["FakePlanner"]

_FAULT = re.compile(r"\b(oom|nan|error|crash|hang|no_actor) at (condition|denoise|decode|lift)\b")
_STEP = re.compile(r"\bsteps of (\d{1,5}) ms\b")
_FPS = 8.0
_SLOW_LOAD_SEC = 2.0
_DEPTH_M = 1.0
_LONGER_SIDE_PX = 96


class FakePlanner:
    """Answer like `tavid_core.planner.InteractionPlanner`, without imagining anything.

    Args:
        step_sec: How long each step takes of a request whose prompt does not say.
        num_steps: Denoising steps of a request that names none.
    """

    def __init__(self, *, step_sec: float = 0.05, num_steps: int = 8) -> None:
        self._step_sec = step_sec
        self._num_steps = num_steps

    @classmethod
    def from_pretrained(cls, model: str) -> FakePlanner:
        """Pretend to load a model.

        Args:
            model: Any name but "missing"; "slow" takes two seconds.

        Returns:
            The planner.

        Raises:
            WeightsError: For "missing".
        """
        if model == "missing":
            raise WeightsError("model must be there, got 'missing'. This is pretended.")
        if model == "slow":
            time.sleep(_SLOW_LOAD_SEC)
        return cls()

    def plan(
        self,
        request: PlanRequest,
        on_progress: Callable[[PlanProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> InteractionPlan:
        """Pretend to plan.

        Args:
            request: The question; its prompt may name a fault.
            on_progress: Called before and after every step.
            should_stop: Asked before every step.

        Returns:
            Frames with a dot that goes to the target, and the motion of that dot.

        Raises:
            CanceledError: If `should_stop` said so.
            NonFiniteError: If the prompt asks for it.
            MemoryError: If the prompt asks for it.
            RuntimeError: If the prompt asks for it.
        """
        start = time.monotonic()
        fault = _FAULT.search(request.prompt)
        for number in range(request.num_candidates):
            self._try_candidate(request, number, start, on_progress, should_stop)
        has_actor = fault is None or fault[1] != "no_actor"
        return _make_plan(request, has_actor, time.monotonic() - start)

    def _try_candidate(
        self,
        request: PlanRequest,
        number: int,
        start_sec: float,
        on_progress: Callable[[PlanProgress], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        """Go through the stages once; steps are counted through all candidates."""
        fault, step_text = _FAULT.search(request.prompt), _STEP.search(request.prompt)
        step_sec = self._step_sec if step_text is None else int(step_text[1]) / 1000
        num_steps = request.num_inference_steps or self._num_steps
        for stage, total in (("condition", 1), ("denoise", num_steps), ("decode", 1), ("lift", 1)):
            for step in range(total + 1):
                if should_stop is not None and should_stop():
                    raise CanceledError(f"plan must not go on, got a cancel at {stage}. Ask again.")
                if on_progress is not None:
                    on_progress(
                        PlanProgress(
                            stage=stage,
                            step=number * total + step,
                            total_steps=request.num_candidates * total,
                            elapsed_sec=time.monotonic() - start_sec,
                        )
                    )
                if fault is not None and fault[2] == stage and step == (total + 1) // 2:
                    _fail(fault[1])
                if step < total:
                    time.sleep(step_sec)


def _fail(fault: str) -> None:
    if fault == "oom":
        raise MemoryError("pretended")
    if fault == "nan":
        raise NonFiniteError("latents must be finite, got NaN. This is pretended.")
    if fault == "error":
        raise RuntimeError("pretended")
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        while True:
            time.sleep(3600.0)


def _make_plan(request: PlanRequest, has_actor: bool, planning_time_sec: float) -> InteractionPlan:
    num_frames = request.num_frames or 17
    height, width = request.image.shape[:2]
    rows, columns = np.nonzero(request.target_mask)
    target_px = np.array([columns.mean(), rows.mean()])
    start_px = np.array([width / 2.0, height - 1.0])
    share = np.linspace(0.0, 1.0, num_frames)[:, None]
    hand_px = (start_px * (1 - share) + target_px * share).astype(np.float32)
    hand = _make_track("right_hand", hand_px, request)
    target = _make_track("target", np.tile(target_px, (num_frames, 1)).astype(np.float32), request)
    contact = Contact(
        hand="right_hand",
        start_frame=num_frames - 1,
        end_frame=num_frames - 1,
        point_camera_m=target.positions_camera_m[-1],
        touches_target=True,
        confidence=1.0,
    )
    certainty = 1.0 if has_actor else 0.0
    motion = InteractionMotion(
        hands=(hand,) if has_actor else (),
        body=(),
        target=target,
        target_quaternions_xyzw=np.tile(np.float32([0, 0, 0, 1]), (num_frames, 1)),
        target_dof=3,
        contact=contact if has_actor else Contact(),
        scale_source="none",
        confidence={"actor": certainty, "hands": certainty, "target": 1.0, "scale": 0.0},
        reasons={"scale": "the fake planner puts everything at 1 m"},
    )
    rollout = Rollout(frames=_draw_frames(request.image, hand_px), fps=_FPS)
    # All candidates of a fake are alike, and the first of equals is the plan.
    seeds = range(request.seed, request.seed + request.num_candidates)
    candidates = [Candidate(seed=s, rollout=rollout, motion=motion).to_json() for s in seeds]
    return InteractionPlan(
        request=request,
        rollout=rollout,
        motion=motion,
        provenance={"model": "fake", "seed": request.seed, "candidates": candidates},
        planning_time_sec=planning_time_sec,
    )


def _make_track(name: str, pixels: NDArray[np.float32], request: PlanRequest) -> PointTrack:
    height, width = request.image.shape[:2]
    intrinsics = request.intrinsics or intrinsics_from_field_of_view(width, height)
    positions = unproject(pixels, np.full(len(pixels), _DEPTH_M), intrinsics)
    return PointTrack(
        name=name,
        pixels=pixels,
        positions_camera_m=positions.astype(np.float32),
        confidence=np.ones(len(pixels), np.float32),
    )


def _draw_frames(image: NDArray[np.uint8], hand_px: NDArray[np.float32]) -> NDArray[np.uint8]:
    scale = min(1.0, _LONGER_SIDE_PX / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frames = np.repeat(small[None], len(hand_px), axis=0)
    for frame, (column, row) in zip(frames, hand_px * scale, strict=True):
        cv2.circle(frame, (round(float(column)), round(float(row))), 4, (240, 140, 30), -1)
    return frames
