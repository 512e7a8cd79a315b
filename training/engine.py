"""What one process of a run shares with the others: gradients, figures, files, trackers."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import math
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import is_initialized
from accelerate.utils import DistributedType, InitProcessGroupKwargs, parse_flag_from_env
from torch import nn

from tavid_core.errors import ConfigError, MissingExtraError
from training.sharding import gather, set_gradient_sync, shard
from training.storage import storing

__all__ = ["TRACKERS", "Engine", "split_batch"]

# Which extra brings which tracker.
TRACKERS = {"tensorboard": "train", "wandb": "wandb"}
KINDS = (
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.FSDP,
)
# One process computes the latents of all clips while the others wait for it.
PATIENCE = datetime.timedelta(hours=6)


def split_batch(
    batch_size: int, num_processes: int, process_index: int, micro_batch_size: int | None
) -> list[range]:
    """Say which samples of the global batch a process computes, and how many at a time.

    Args:
        batch_size: Samples of a step, over all processes.
        num_processes: Of the run.
        process_index: Which of them.
        micro_batch_size: Samples at a time; None = the whole share of the process.

    Returns:
        Indices into the global batch, one range per forward pass, all of one length.

    Raises:
        ConfigError: If the batch cannot be divided evenly.
    """
    share = batch_size // num_processes
    size = micro_batch_size or share
    if share == 0 or batch_size % num_processes or share % size:
        raise ConfigError(
            f"batch_size must be a multiple of processes x micro_batch_size, got {batch_size} for "
            f"{num_processes} processes and {micro_batch_size or 'no'} micro_batch_size. "
            "Change one of them."
        )
    first = process_index * share
    return [range(start, start + size) for start in range(first, first + share, size)]


def _unsupported(kind: DistributedType) -> ConfigError:
    return ConfigError(
        f"distributed_type must be one of {', '.join(k.value for k in KINDS)}, got {kind.value}. "
        "Run accelerate config again; FSDP spreads the weights."
    )


class Engine:
    """One process of a run, on accelerate: a CPU, a GPU, or one of several.

    How many processes there are, on which machines, and whether weights are sharded is what
    `accelerate launch` and its configuration file say; started without, there is one process.

    Args:
        accelerator: Without mixed precision of its own: the recipe says the precision.
        device: Where the model is.

    Attributes:
        device: Where the model is.
        is_sharded: Whether each process holds a part of the weights only.

    Raises:
        ConfigError: If the processes are to share the model in a way that is not supported.
    """

    def __init__(self, accelerator: Accelerator, device: torch.device) -> None:
        kind = accelerator.distributed_type
        if kind not in KINDS:
            raise _unsupported(kind)
        self._accelerator = accelerator
        self.is_sharded = kind == DistributedType.FSDP or (
            # accelerate knows FSDP on GPUs only.
            kind == DistributedType.MULTI_CPU and parse_flag_from_env("ACCELERATE_USE_FSDP")
        )
        self._models: list[nn.Module] = []
        self.device = device

    @classmethod
    def start(
        cls,
        device: torch.device,
        *,
        trackers: Sequence[str] = (),
        folder: Path | None = None,
    ) -> Engine:
        """Join the other processes, if there are any.

        Args:
            device: Where to train if this is the only process, and whether on CPUs if not.
            trackers: Of `TRACKERS`.
            folder: Where trackers write.

        Returns:
            The engine.

        Raises:
            ConfigError: If a tracker is unknown, or the processes are to share the model in a way
                that is not supported.
            MissingExtraError: If a tracker is not installed.
        """
        for name in trackers:
            if name not in TRACKERS:
                raise ConfigError(
                    f"trackers must be of {', '.join(TRACKERS)}, got {name!r}. Use 'tensorboard'."
                )
            if importlib.util.find_spec(name) is None:
                raise MissingExtraError.of(name, TRACKERS[name])
        if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
            # Refused here, for accelerate asks for the library first.
            raise _unsupported(DistributedType.DEEPSPEED)
        accelerator = Accelerator(
            # A run on a GPU before, in this process, is remembered; alone, that device is not used.
            cpu=device.type == "cpu" and not is_initialized(),
            device_placement=False,
            mixed_precision="no",
            log_with=list(trackers) or None,
            project_dir=folder,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
        is_alone = accelerator.num_processes == 1
        return cls(accelerator, device if is_alone else accelerator.device)

    @property
    def num_processes(self) -> int:
        """Processes of the run."""
        return self._accelerator.num_processes

    @property
    def process_index(self) -> int:
        """Which of them this is."""
        return self._accelerator.process_index

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self._accelerator.is_main_process

    def prepare(self, module: nn.Module) -> nn.Module:
        """Make the forward pass of a module share its gradients.

        Args:
            module: With trained parameters, on the device.

        Returns:
            What to call instead of it.
        """
        if self.is_sharded:
            prepared = shard(module, self.device, self.num_processes)
        else:
            prepared = self._accelerator.prepare_model(module)
        self._models.append(prepared)
        return prepared

    @contextlib.contextmanager
    def accumulate(self, *, is_last: bool) -> Iterator[None]:
        """Keep gradients to this process until the last micro-batch of a step.

        Args:
            is_last: Whether this is the one.

        Yields:
            Nothing.
        """
        with contextlib.ExitStack() as stack:
            for model in self._models:
                if self.is_sharded:
                    set_gradient_sync(model, is_on=is_last)
                elif not is_last:
                    stack.enter_context(self._accelerator.no_sync(model))
            yield

    def backward(self, loss: torch.Tensor) -> None:
        """Compute gradients.

        Args:
            loss: A scalar.
        """
        self._accelerator.backward(loss)

    def clip_gradients(self, parameters: Sequence[nn.Parameter], max_norm: float) -> float:
        """Shorten the gradients to a norm.

        Args:
            parameters: All that are trained.
            max_norm: Largest norm.

        Returns:
            The norm before.
        """
        return float(gather(nn.utils.clip_grad_norm_(parameters, max_norm)))

    def mean(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Average figures over the processes.

        Args:
            figures: The same names in all.

        Returns:
            The means, equal in all.
        """
        if self.num_processes == 1:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device)
        means = self._accelerator.reduce(values, "mean").tolist()
        return dict(zip(figures, means, strict=True))

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process go through a block alone, then the others.

        Yields:
            Nothing.
        """
        with self._accelerator.main_process_first():
            yield

    def wait(self) -> None:
        """Wait for the other processes."""
        self._accelerator.wait_for_everyone()

    def start_trackers(self, name: str, settings: Mapping[str, object]) -> None:
        """Tell the trackers what is run.

        Args:
            name: Of the run.
            settings: Its configuration.

        Raises:
            StorageError: If the disk is full.
        """
        plain = {key: value for key, value in settings.items() if isinstance(value, int | float)}
        plain |= {key: str(value) for key, value in settings.items() if key not in plain}
        with storing("tracker"):
            self._accelerator.init_trackers(name, config=plain)

    def track(self, figures: Mapping[str, float], step: int) -> None:
        """Give figures to the trackers.

        Args:
            figures: By name.
            step: Steps done.

        Raises:
            StorageError: If the disk is full.
        """
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        with storing("tracker"):
            self._accelerator.log(finite, step=step)

    def peak_memory_bytes(self) -> int:
        """Say how much memory this process has used at most: of the GPU, else of the machine."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def close(self) -> None:
        """End the trackers, and leave the other processes.

        Raises:
            StorageError: If the disk is full.
        """
        with storing("tracker"):
            self._accelerator.end_training()
