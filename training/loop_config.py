"""How long and how fast a training loop runs."""

from __future__ import annotations

import dataclasses
import math

from tavid_core.errors import ConfigError
from training.optimizers import check_optimizer

__all__ = ["LoopConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how fast to train.

    Args:
        num_steps: Optimiser steps in all.
        learning_rate: Peak of the schedule, after a linear warm-up.
        warmup_steps: Steps of the warm-up.
        weight_decay: Of AdamW.
        max_grad_norm: Gradients are clipped to this norm.
        ema_decay: Of the averaged weights that are the result; 0 takes the last weights.
        save_every: Steps between checkpoints.
        seed: All randomness is a function of it and the step.
        optimizer: See `build_optimizer`.
        max_minutes: Stop (resumably) after this time, or None; the schedule is not shortened.
        schedule: After the warm-up: "cosine" to a tenth, or "constant".

    Raises:
        ConfigError: If a value is unusable.
    """

    num_steps: int
    learning_rate: float
    warmup_steps: int = 50
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.99
    save_every: int = 100
    seed: int = 0
    optimizer: str = "adamw"
    max_minutes: float | None = None
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.num_steps < 1 or self.save_every < 1:
            raise ConfigError(
                f"num_steps and save_every must be at least 1, got {self.num_steps} and "
                f"{self.save_every}. Correct the recipe."
            )
        for name in ("learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"{name} must be positive and finite, got {value}. Correct the recipe."
                )
        for name in ("warmup_steps", "weight_decay", "seed", "max_minutes"):
            value = getattr(self, name) or 0
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(
                    f"{name} must be finite and 0 or more, got {value}. Correct the recipe."
                )
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(
                f"ema_decay must be in [0, 1), got {self.ema_decay}. 0 takes the last weights."
            )
        if self.schedule not in ("cosine", "constant"):
            raise ConfigError(
                f"schedule must be cosine or constant, got {self.schedule!r}. Use 'cosine'."
            )
        check_optimizer(self.optimizer)

    def rate(self, step: int) -> float:
        """Give the learning rate of a step."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.schedule == "constant":
            return self.learning_rate * warm
        done = step / self.num_steps
        return self.learning_rate * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))
