"""The training loop: resumable, deterministic in (seed, step), careful with its checkpoints."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from tavid_core.errors import ConfigError, NonFiniteError
from training.optimizers import OptimizerGroup, build_optimizer

__all__ = ["LoopConfig", "run_loop"]

LossFunction = Callable[[int, torch.Generator], Mapping[str, torch.Tensor]]


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
        optimizer: "adamw" or "muon", see `build_optimizer`.
        max_minutes: Stop (resumably) after this time, or None; the schedule is not shortened.
        schedule: After the warm-up: "cosine" to a tenth, or "constant".
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
        if not 0 <= self.ema_decay < 1 or self.learning_rate <= 0:
            raise ConfigError(
                f"ema_decay must be in [0, 1) and learning_rate positive, got {self.ema_decay} "
                f"and {self.learning_rate}. Correct the recipe."
            )
        if self.schedule not in ("cosine", "constant"):
            raise ConfigError(
                f"schedule must be cosine or constant, got {self.schedule!r}. Use 'cosine'."
            )

    def rate(self, step: int) -> float:
        """Give the learning rate of a step."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.schedule == "constant":
            return self.learning_rate * warm
        done = step / self.num_steps
        return self.learning_rate * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def _trainable(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{name}.{key}": parameter
        for name, module in modules.items()
        for key, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def _buffers(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Give running statistics, which are state as much as weights are."""
    return {
        f"{name}.{key}": buffer
        for name, module in modules.items()
        for key, buffer in module.named_buffers()
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Checkpoints:
    """Keep the two newest checkpoints; a manifest with hashes, written last, marks a good one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self, step: int, tensors: Mapping[str, torch.Tensor], optimizer: OptimizerGroup
    ) -> None:
        final = self.folder / f"step_{step:07d}"
        part = self.folder / f".step_{step:07d}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            part / "weights.safetensors",
        )
        torch.save(optimizer.state_dict(), part / "optimizer.pt")
        files = {p.name: _sha256(p) for p in sorted(part.iterdir())}
        (part / "manifest.json").write_text(json.dumps({"step": step, "sha256": files}))
        shutil.rmtree(final, ignore_errors=True)
        part.replace(final)
        for old in sorted(self.folder.glob("step_*"))[:-2]:
            shutil.rmtree(old)

    def newest(self) -> Path | None:
        for folder in sorted(self.folder.glob("step_*"), reverse=True):
            try:
                manifest = json.loads((folder / "manifest.json").read_text())
                if all(_sha256(folder / n) == h for n, h in manifest["sha256"].items()):
                    return folder
            except (OSError, ValueError, KeyError):
                pass
            tqdm.write(f"checkpoint {folder.name} is damaged, falling back to the one before")
        return None


def run_loop(
    config: LoopConfig,
    folder: Path,
    modules: Mapping[str, nn.Module],
    loss_of: LossFunction,
    *,
    title: str,
) -> dict[str, torch.Tensor]:
    """Train the parameters that require a gradient, from the newest good checkpoint on.

    Args:
        config: The schedule.
        folder: Where checkpoints and `log.jsonl` go.
        modules: What to train, by name; restored in place.
        loss_of: Maps (step, generator) to named losses; "loss" is minimised. It must draw all
            randomness from the generator (of the CPU), which is seeded by (seed, step).
        title: Of the progress bar.

    Returns:
        The averaged weights by "module.parameter" name.

    Raises:
        NonFiniteError: If the loss is not finite; the last checkpoint stays.
    """
    parameters, buffers = _trainable(modules), _buffers(modules)
    optimizer = build_optimizer(
        config.optimizer, parameters, config.learning_rate, config.weight_decay
    )
    average = {name: p.detach().clone() for name, p in parameters.items()}
    checkpoints = _Checkpoints(folder)
    first = _restore(checkpoints, parameters, buffers, average, optimizer)
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tqdm(total=config.num_steps, initial=first, desc=title, unit="step") as bar,
        (folder / "log.jsonl").open("a", encoding="utf-8") as log,
    ):
        for step in range(first, config.num_steps):
            losses = _train_step(config, step, parameters, optimizer, loss_of)
            # A short memory at first, or the random start would linger in the average.
            decay = min(config.ema_decay, (1 + step) / (10 + step)) if config.ema_decay else 0.0
            for name, parameter in parameters.items():
                average[name].lerp_(parameter.detach(), 1 - decay)
            log.write(json.dumps({"step": step, **losses}) + "\n")
            bar.set_postfix({k: f"{v:.4f}" for k, v in losses.items()}, refresh=False)
            bar.update()
            late = config.max_minutes and time.monotonic() - started > 60 * config.max_minutes
            if (step + 1) % config.save_every == 0 or step + 1 == config.num_steps or late:
                log.flush()
                pairs = {f"last.{k}": v for k, v in parameters.items()}
                pairs |= {f"average.{k}": v for k, v in average.items()}
                pairs |= {f"buffer.{k}": v for k, v in buffers.items()}
                checkpoints.save(step + 1, pairs, optimizer)
            if late:
                break
    return average


def _restore(
    checkpoints: _Checkpoints,
    parameters: Mapping[str, nn.Parameter],
    buffers: Mapping[str, torch.Tensor],
    average: dict[str, torch.Tensor],
    optimizer: OptimizerGroup,
) -> int:
    newest = checkpoints.newest()
    if newest is None:
        return 0
    tensors = load_file(newest / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"last.{name}"])
            average[name].copy_(tensors[f"average.{name}"])
        for name, buffer in buffers.items():
            buffer.copy_(tensors[f"buffer.{name}"])
    optimizer.load_state_dict(
        torch.load(newest / "optimizer.pt", map_location="cpu", weights_only=True)
    )
    return int(json.loads((newest / "manifest.json").read_text())["step"])


def _train_step(
    config: LoopConfig,
    step: int,
    parameters: Mapping[str, nn.Parameter],
    optimizer: OptimizerGroup,
    loss_of: LossFunction,
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    losses = loss_of(step, generator)
    loss = losses["loss"]
    if not torch.isfinite(loss):
        raise NonFiniteError(
            f"loss must be finite, got {loss.item()} at step {step}. Lower the learning rate and "
            "resume from the last checkpoint."
        )
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(parameters.values(), config.max_grad_norm)
    optimizer.set_learning_rate(config.rate(step))
    optimizer.step()
    return {**{k: float(v.detach()) for k, v in losses.items()}, "grad_norm": float(norm)}


def apply_weights(modules: Mapping[str, nn.Module], weights: Mapping[str, torch.Tensor]) -> None:
    """Copy averaged weights into the modules.

    Args:
        modules: By the names that `run_loop` was given.
        weights: What `run_loop` returned.
    """
    parameters = _trainable(modules)
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)
