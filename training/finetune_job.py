"""Where a fine-tuning run reads and writes, and what comes out of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from tavid_core.errors import ConfigError
from training.clip_check import check_limit
from training.run_folder import RESUME_MODES

__all__ = ["FinetuneJob", "FinetuneResult"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """Where a run reads and writes.

    Args:
        base: Diffusers folder of the base model.
        clips: Clip folder with masks.
        out: Adapter folder to write; checkpoints and logs go beside it, into `<out>_run`.
        cache_file: Where latents are cached; None = beside the adapter.
        start_from: Adapter folder to go on with, or None to begin at zero.
        limit: Use only the first clips.
        skip_bad: Go on without clips that cannot be used.
        device: Where to train, unless several processes were launched.
        resume: "auto", "require" or "never", see `claim_run_folder`.
        trackers: Of `training.engine.TRACKERS`.
        validation_clips: Clip folder to imagine rollouts of, or None.
        validate_every: Steps between validations.
        num_validations: Clips of a validation.
        validation_steps: Denoising steps of their rollouts; None = what the model wants.

    Raises:
        ConfigError: If a value is unusable.
    """

    base: Path
    clips: Path
    out: Path
    cache_file: Path | None = None
    start_from: Path | None = None
    limit: int | None = None
    skip_bad: bool = False
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    resume: str = "auto"
    trackers: tuple[str, ...] = ("tensorboard",)
    validation_clips: Path | None = None
    validate_every: int = 500
    num_validations: int = 4
    validation_steps: int | None = None

    def __post_init__(self) -> None:
        """Check ranges and names."""
        if self.resume not in RESUME_MODES:
            raise ConfigError(
                f"resume must be one of {', '.join(RESUME_MODES)}, got {self.resume!r}. Use 'auto'."
            )
        check_limit("limit", self.limit)
        if self.validate_every < 1 or self.num_validations < 1:
            raise ConfigError(
                "validate_every and num_validations must be at least 1, got "
                f"{self.validate_every} and {self.num_validations}. Leave validation_clips out to "
                "have no validation."
            )
        if self.validation_steps is not None and self.validation_steps < 1:
            raise ConfigError(
                f"validation_steps must be at least 1, got {self.validation_steps}. Leave it out "
                "to take the model's."
            )

    @property
    def run_folder(self) -> Path:
        """Where checkpoints and logs go."""
        return self.out.with_name(self.out.name + "_run")

    @property
    def latents_file(self) -> Path:
        """Where latents are cached."""
        return self.cache_file or self.out.with_name(self.out.name + "_latents.safetensors")

    @property
    def texts_file(self) -> Path:
        """Where encoded captions are cached."""
        return self.out.with_name(self.out.name + "_texts.safetensors")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """What came out of a run.

    Args:
        adapter: Folder of the adapter.
        num_steps: Optimiser steps done in all.
        first_step: How many of them an earlier run had done.
        figures: Losses and gradient norm of the last step.
        validation: Rates of the last validation (see `Tally.summary`); empty without one.
        num_clips: Clips that were trained on.
        num_problems: Problems of clips that were left out.
        seconds: What this call took, without caches.
        peak_memory_bytes: Of this process: of the GPU, else of the machine.
        num_processes: That shared each batch.
        process_index: Which of them this is; all else is the same in every process, but for
            seconds and memory.

    Raises:
        ConfigError: If a number is impossible.
    """

    adapter: Path
    num_steps: int
    first_step: int
    figures: Mapping[str, float]
    validation: Mapping[str, object]
    num_clips: int
    num_problems: int
    seconds: float
    peak_memory_bytes: int
    num_processes: int = 1
    process_index: int = 0

    def __post_init__(self) -> None:
        """Check what a run cannot end with."""
        if not 0 <= self.first_step <= self.num_steps or self.num_clips < 1:
            raise ConfigError(
                f"num_steps must be at least first_step and num_clips 1, got {self.num_steps}, "
                f"{self.first_step} and {self.num_clips}. The run folder is damaged."
            )
        if not all(math.isfinite(value) for value in self.figures.values()):
            raise ConfigError(
                f"figures must be finite, got {dict(self.figures)}. The run folder is damaged."
            )

    def to_json(self) -> dict[str, object]:
        """Give it as JSON values.

        Returns:
            The fields; "steps" is the number of steps, as before.
        """
        return {
            "adapter": str(self.adapter),
            "steps": self.num_steps,
            "resumed_from": self.first_step,
            **{name: round(value, 6) for name, value in self.figures.items()},
            "validation": dict(self.validation),
            "num_clips": self.num_clips,
            "num_problems": self.num_problems,
            "seconds": round(self.seconds, 2),
            "num_processes": self.num_processes,
            "peak_memory_gib": round(self.peak_memory_bytes / 2**30, 3),
        }
