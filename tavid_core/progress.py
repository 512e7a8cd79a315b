"""How far a plan is, how long it will take, and whether the caller wants to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from tavid_core.errors import CanceledError
from tavid_core.types import PlanProgress

__all__ = ["ProgressReporter"]


class ProgressReporter:
    """Report the stages of one plan and ask, at each of them, whether to go on.

    Args:
        on_progress: Called at the beginning of a stage and after each of its steps, or None.
        should_stop: Asked at the same moments, or None.
        closing_sec: What decoding and lifting took last time, or None if never measured; one
            denoising step is then assumed.
        num_candidates: How often the stages come; their steps are counted through.
        clock: Steady clock, seconds.
    """

    def __init__(
        self,
        on_progress: Callable[[PlanProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        *,
        closing_sec: float | None = None,
        num_candidates: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._closing_sec = closing_sec
        self._clock = clock
        self._began = clock()
        self._stage_began = self._began
        self._denoised: float | None = None
        self._num_candidates = num_candidates
        self._num_done = 0
        self._candidate_began = self._began

    @property
    def elapsed_sec(self) -> float:
        """Since the plan began, seconds."""
        return self._clock() - self._began

    @property
    def closing_sec(self) -> float | None:
        """Since denoising ended, seconds; None before that."""
        return None if self._denoised is None else self._clock() - self._denoised

    def end_candidate(self) -> None:
        """Count on from here: the stages come again for the next candidate."""
        self._num_done += 1
        self._candidate_began = self._clock()
        self._denoised = None

    def report(self, stage: str, step: int, total_steps: int) -> None:
        """Say that `step` of `total_steps` are done, then ask whether to go on.

        Args:
            stage: "condition", "denoise", "decode" or "lift".
            step: Steps done of this candidate; 0 begins the stage.
            total_steps: Steps of the stage of one candidate.

        Raises:
            CanceledError: If the caller wants to stop.
        """
        if step == 0:
            self._stage_began = self._clock()
        if stage == "denoise" and step == total_steps:
            self._denoised = self._clock()
        if self._on_progress is not None:
            self._on_progress(
                PlanProgress(
                    stage=stage,
                    step=self._num_done * total_steps + step,
                    total_steps=self._num_candidates * total_steps,
                    elapsed_sec=self.elapsed_sec,
                    remaining_sec=self._estimate(stage, step, total_steps),
                )
            )
        if self._should_stop is not None and self._should_stop():
            raise CanceledError(
                f"plan must run to its end to give a result, got a stop request in stage '{stage}' "
                f"after step {step} of {total_steps}. Send the goal again."
            )

    def _estimate(self, stage: str, step: int, total_steps: int) -> float | None:
        current_sec = self._estimate_candidate(stage, step, total_steps)
        if self._num_done:
            each_sec = (self._candidate_began - self._began) / self._num_done
            if current_sec is None:
                current_sec = max(0.0, each_sec - (self._clock() - self._candidate_began))
        elif current_sec is None:
            return None
        else:
            each_sec = self.elapsed_sec + current_sec
        return current_sec + (self._num_candidates - self._num_done - 1) * each_sec

    def _estimate_candidate(self, stage: str, step: int, total_steps: int) -> float | None:
        if stage == "denoise" and step > 0:
            step_sec = (self._clock() - self._stage_began) / step
            closing = step_sec if self._closing_sec is None else self._closing_sec
            return step_sec * (total_steps - step) + closing
        if stage in ("decode", "lift") and self._closing_sec is not None:
            return max(0.0, self._closing_sec - (self.closing_sec or 0.0))
        return None
