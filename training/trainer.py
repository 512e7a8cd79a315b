"""The training loop: resumable, deterministic in (seed, step), careful with its checkpoints."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import torch
from torch import nn
from tqdm import tqdm

from tavid_core.errors import CanceledError, ConfigError, NonFiniteError
from training.checkpoints import Checkpoints
from training.engine import Engine, split_batch
from training.loop_config import LoopConfig
from training.optimizers import build_optimizer
from training.sharding import copy_whole, gather, scatter_optimizer
from training.stop_signal import StopSignal
from training.training_log import TrainingLog

__all__ = ["LoopResult", "StepReport", "TrainingLoop", "apply_weights", "run_loop"]

LossFunction = Callable[[int, torch.Generator], Mapping[str, torch.Tensor]]
BatchLoss = Callable[[int, Sequence[int]], Mapping[str, torch.Tensor]]


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What a loop says after a step.

    Args:
        step: Steps done.
        figures: Losses and the norm of the gradient.
        weights: Averaged, by "module.parameter" name.
        should_stop: Whether a signal has asked any process to stop by now; all processes have to
            ask, and are told the same.
    """

    step: int
    figures: Mapping[str, float]
    weights: Mapping[str, torch.Tensor]
    should_stop: Callable[[], bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopResult:
    """What a loop ends with.

    Args:
        weights: Averaged, by "module.parameter" name.
        first_step: Steps that were done before, by the run that was resumed.
        num_steps: Steps done in all.
        figures: Of the last step: losses and the norm of the gradient.
        seconds: What this call took.
    """

    weights: Mapping[str, torch.Tensor]
    first_step: int
    num_steps: int
    figures: Mapping[str, float]
    seconds: float


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


class TrainingLoop:
    """Trains the parameters that require a gradient, from the newest good checkpoint on.

    Args:
        config: The schedule.
        folder: Where checkpoints and `log.jsonl` go.
        modules: What to train, by name; restored in place.
        title: Of the progress bar.
        engine: The process's place among others; None = one process, where the modules are.
        batch_size: Samples of a step, over all processes.
        micro_batch_size: Samples at a time; None = the whole share of the process.

    Raises:
        ConfigError: If the batch cannot be divided evenly.
    """

    def __init__(
        self,
        config: LoopConfig,
        folder: Path,
        modules: Mapping[str, nn.Module],
        *,
        title: str,
        engine: Engine | None = None,
        batch_size: int = 1,
        micro_batch_size: int | None = None,
    ) -> None:
        self._config, self._title, self._batch_size = config, title, batch_size
        self._parameters, self._buffers = _trainable(modules), _buffers(modules)
        device = next(iter(self._parameters.values())).device
        self._engine = engine or Engine.start(device)
        self._micro_batches = split_batch(
            batch_size, self._engine.num_processes, self._engine.process_index, micro_batch_size
        )
        self._optimizer = build_optimizer(
            config.optimizer, self._parameters, config.learning_rate, config.weight_decay
        )
        # Without an average the weights themselves, in no memory of their own.
        self._average = {
            name: p.detach().clone() if config.ema_decay else p.detach()
            for name, p in self._parameters.items()
        }
        self._checkpoints = Checkpoints(folder)
        self._log = TrainingLog(folder)
        self._stop = StopSignal()
        self._saved_step: int | None = None

    def run(
        self, loss_of: BatchLoss, after_save: Callable[[StepReport], None] | None = None
    ) -> LoopResult:
        """Train until the last step.

        Args:
            loss_of: Maps (step, indices into the global batch) to named losses; "loss" is
                minimised. All its randomness must be a function of these.
            after_save: Told of every step, after its checkpoint if it has one, and first of the
                step that a resumed run begins at.

        Returns:
            The averaged weights and the last figures.

        Raises:
            NonFiniteError: If loss or gradient are not finite; the last checkpoint stays.
            StorageError: If a checkpoint or the log cannot be written; the last checkpoint stays.
            CanceledError: If SIGTERM or Ctrl-C asked to stop; a checkpoint was saved.
            ConfigError: If the checkpoint is of a run that trains other parameters.
        """
        config, engine = self._config, self._engine
        first = self._restore()
        started, step, figures = time.monotonic(), first, {}
        if engine.is_main:
            self._log.begin(first)
        with self._bar(first) as bar, self._stop:
            if first:
                # What a signal cut short after the checkpoint.
                self._report(first, self._log.last(), after_save)
            while step < config.num_steps:
                begun = time.monotonic()
                figures = self.train_step(step, loss_of)
                if figures is None:
                    self._end_early(step)
                seconds = time.monotonic() - started
                is_late = bool(config.max_minutes) and seconds > 60 * config.max_minutes
                ends = engine.mean({"stop": self._stop.is_set(), "late": is_late})
                step += 1
                self._tell(bar, step, figures, self._batch_size / (time.monotonic() - begun))
                if step % config.save_every == 0 or step == config.num_steps or any(ends.values()):
                    self._save(step)
                if ends["stop"]:
                    self._end_early(step)
                self._report(step, figures, after_save)
                if ends["late"]:
                    break
        return LoopResult(
            weights=gather(self._average),
            first_step=first,
            num_steps=step,
            figures=figures or self._log.last(),
            seconds=time.monotonic() - started,
        )

    def train_step(self, step: int, loss_of: BatchLoss) -> dict[str, float] | None:
        """Do one optimiser step, and nothing on the disk.

        A signal is obeyed before the next micro-batch: a step of a large model takes a minute.

        Args:
            step: Of the run, from 0.
            loss_of: As for `run`.

        Returns:
            Losses and the norm of the gradient; None if a signal asked to stop, and then the
            weights are as before.

        Raises:
            NonFiniteError: If loss or gradient are not finite; the weights are as before.
        """
        engine, config, count = self._engine, self._config, len(self._micro_batches)
        self._optimizer.zero_grad()
        totals: dict[str, float] = {}
        for number, indices in enumerate(self._micro_batches, start=1):
            # All processes must leave at the same place, or the others would wait for ever.
            if engine.mean({"stop": self._stop.is_set()})["stop"]:
                self._optimizer.zero_grad()
                return None
            with engine.accumulate(is_last=number == count):
                losses = loss_of(step, indices)
                engine.backward(losses["loss"] / count if count > 1 else losses["loss"])
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / count
        totals = engine.mean(totals)
        if not math.isfinite(totals["loss"]):
            raise NonFiniteError(
                f"loss must be finite, got {totals['loss']} at step {step}. Lower the learning "
                "rate and resume from the last checkpoint."
            )
        norm = engine.clip_gradients(list(self._parameters.values()), config.max_grad_norm)
        if not math.isfinite(norm):
            # A step along it would make every weight NaN, and checkpoints of that.
            raise NonFiniteError(
                f"gradient must be finite, got a norm of {norm} at step {step}. Lower the learning "
                "rate and resume from the last checkpoint."
            )
        self._optimizer.set_learning_rate(config.rate(step))
        self._optimizer.step()
        if config.ema_decay:
            # A short memory at first, or the random start would linger in the average.
            decay = min(config.ema_decay, (1 + step) / (10 + step))
            for name, parameter in self._parameters.items():
                self._average[name].lerp_(parameter.detach(), 1 - decay)
        return {**totals, "grad_norm": norm}

    def _bar(self, first: int) -> tqdm:
        return tqdm(
            total=self._config.num_steps,
            initial=first,
            desc=self._title,
            unit="step",
            disable=not self._engine.is_main,
        )

    def _tell(
        self, bar: tqdm, step: int, figures: Mapping[str, float], samples_per_sec: float
    ) -> None:
        if not self._engine.is_main:
            return
        self._log.write({"step": step - 1, **figures})
        memory_bytes = self._engine.peak_memory_bytes()
        shown = {name: f"{value:.4f}" for name, value in figures.items()}
        shown |= {"samples/s": f"{samples_per_sec:.3g}", "peak": f"{memory_bytes / 2**30:.1f} GiB"}
        bar.set_postfix(shown, refresh=False)
        bar.update()
        rates = {"samples_per_sec": samples_per_sec, "peak_memory_gib": memory_bytes / 2**30}
        self._engine.track({**figures, **rates, "learning_rate": self._config.rate(step - 1)}, step)

    def _report(
        self,
        step: int,
        figures: Mapping[str, float],
        after_save: Callable[[StepReport], None] | None,
    ) -> None:
        if after_save is None:
            return

        def should_stop() -> bool:
            # All processes must leave at the same place here too.
            return bool(self._engine.mean({"stop": self._stop.is_set()})["stop"])

        after_save(StepReport(step, figures, self._average, should_stop))
        if should_stop():
            self._end_early(step)

    def _end_early(self, step: int) -> NoReturn:
        if step != self._saved_step:
            self._save(step)
        raise CanceledError(
            f"training must go on to step {self._config.num_steps}, got a signal at step {step}. "
            "It is saved; run the same command again to go on."
        )

    def _save(self, step: int) -> None:
        tensors = {f"last.{name}": value for name, value in self._parameters.items()}
        if self._config.ema_decay:
            tensors |= {f"average.{name}": value for name, value in self._average.items()}
        tensors |= {f"buffer.{name}": value for name, value in self._buffers.items()}
        whole, state = gather(tensors), gather(self._optimizer.state_dict())
        if self._engine.is_main:
            self._checkpoints.save(step, whole, state)
        self._engine.wait()
        self._saved_step = step

    def _restore(self) -> int:
        newest = self._checkpoints.newest()
        if newest is None:
            return 0
        tensors = newest.tensors
        held = {name.removeprefix("last.") for name in tensors if name.startswith("last.")}
        if held != self._parameters.keys():
            others = sorted(held ^ self._parameters.keys())
            raise ConfigError(
                f"checkpoint must hold what this run trains, got one that differs in {others[0]} "
                f"and {len(others) - 1} more. Name another run folder, or delete its checkpoints."
            )
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                copy_whole(parameter, tensors[f"last.{name}"])
                if self._config.ema_decay:
                    copy_whole(self._average[name], tensors[f"average.{name}"])
            for name, buffer in self._buffers.items():
                copy_whole(buffer, tensors[f"buffer.{name}"])
        self._optimizer.load_state_dict(
            scatter_optimizer(newest.optimizer, self._optimizer.optimizers)
        )
        self._saved_step = newest.step
        return newest.step


def run_loop(
    config: LoopConfig,
    folder: Path,
    modules: Mapping[str, nn.Module],
    loss_of: LossFunction,
    *,
    title: str,
) -> dict[str, torch.Tensor]:
    """Train in one process, from the newest good checkpoint on.

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
        StorageError: If a checkpoint cannot be written; the last one stays.
        CanceledError: If a signal asked to stop; a checkpoint was saved.
        ConfigError: If several processes were started, or the checkpoint is of a run that trains
            other parameters.
    """

    def batch_loss(step: int, _: Sequence[int]) -> Mapping[str, torch.Tensor]:
        return loss_of(step, torch.Generator().manual_seed(config.seed * 1_000_003 + step))

    return TrainingLoop(config, folder, modules, title=title).run(batch_loss).weights


def apply_weights(modules: Mapping[str, nn.Module], weights: Mapping[str, torch.Tensor]) -> None:
    """Copy averaged weights into the modules.

    Args:
        modules: By the names that `run_loop` was given.
        weights: What `run_loop` returned.
    """
    parameters = _trainable(modules)
    with torch.no_grad():
        for name, tensor in weights.items():
            copy_whole(parameters[name], tensor)
