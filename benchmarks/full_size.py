"""The whole path at the size of CogVideoX-5B-I2V, for real: cache, fine-tune, load, imagine.

    python -m benchmarks.full_size --work DIR --json
    python -m benchmarks.full_size --work DIR --offload --vae-tiling
    python -m benchmarks.full_size --work DIR --tiny --device cpu     # whether it runs at all

Weights are random and the clips are drawn here, so nothing has to be downloaded. The text encoder
has one layer of the real 24: captions are encoded once and cached, so its depth costs a step
nothing. Where it stays beside the others, without `--offload`, the real one takes the GiB of
`text_encoder_left_out_gib` on top. The limit of memory is that of torch's allocator; what the
driver takes for the process, about half a GiB, is not in it, nor in the peaks. Base and clips are
kept in DIR for the next time, what is trained is made anew.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import itertools
import json
import math
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.full_size_model import CAPTION, FULL, TINY, ModelSizes, build_base, write_clips
from benchmarks.summary import Figure, format_table
from tavid_core.errors import ConfigError, TavidError
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanProgress, PlanRequest
from training.cache import load_or_build_cache
from training.clips import read_frames, read_mask, read_records
from training.companions import count_companions
from training.device import pick_device
from training.finetune import finetune
from training.finetune_config import FinetuneConfig
from training.finetune_job import FinetuneJob
from training.recipes import RECIPES

__all__ = ["FullSizeJob", "main", "measure"]

SHORT_OF_MEMORY = 1
_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class FullSizeJob:
    """What to measure.

    Args:
        work: Folder for model, clips and adapter.
        device: Where.
        sizes: Of the model.
        recipe: Of the fine-tuning.
        memory_gib: What the process may take of a GPU; 0 = all of it. A CPU has no limit.
        num_steps: Of the fine-tuning.
        denoising_steps: Of the rollout.
        num_clips: To draw.
        offload: Whether to imagine once more, with each network on the GPU only while it runs.
        vae_tiling: Whether to decode in tiles.

    Raises:
        ConfigError: If a value is unusable.
    """

    work: Path
    device: torch.device
    sizes: ModelSizes = FULL
    recipe: str = "cogvideox_5b_24gb"
    memory_gib: float = 24.0
    num_steps: int = 6
    denoising_steps: int = 4
    num_clips: int = 2
    offload: bool = False
    vae_tiling: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        # Times are told without the first step, which is slower than all others.
        for name, least in (("num_steps", 2), ("denoising_steps", 2), ("num_clips", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} must be at least {least}, got {getattr(self, name)}. Leave it out."
                )
        if not (math.isfinite(self.memory_gib) and self.memory_gib >= 0):
            raise ConfigError(
                f"memory_gib must be finite and 0 or more, got {self.memory_gib}. 0 sets no limit."
            )
        if self.offload and self.device.type != "cuda":
            raise ConfigError("offload must be left out on a CPU, got it. Use --device cuda.")

    @property
    def config(self) -> FinetuneConfig:
        """The recipe with these steps, and one checkpoint at their end."""
        config = RECIPES[self.recipe]()
        loop = dataclasses.replace(config.loop, num_steps=self.num_steps, save_every=self.num_steps)
        return dataclasses.replace(config, loop=loop)

    @property
    def base(self) -> Path:
        """Folder of the base model."""
        return self.work / "base"

    @property
    def finetuning(self) -> FinetuneJob:
        """Where the fine-tuning reads and writes."""
        return FinetuneJob(
            base=self.base,
            clips=self.work / "clips",
            out=self.work / "finetune" / "adapter",
            device=self.device,
            trackers=(),
        )


def encode_clips(job: FullSizeJob) -> dict[str, Figure]:
    """Fill the latent cache as the fine-tuning would, which then finds it: a time of its own.

    Args:
        job: What to measure.

    Returns:
        The figures.
    """
    config, finetuning = job.config, job.finetuning
    dtype = getattr(torch, config.base_dtype)
    vae = AutoencoderKLCogVideoX.from_pretrained(
        job.base / "vae", torch_dtype=dtype, use_safetensors=True, local_files_only=True
    )
    vae = vae.requires_grad_(False).eval().to(job.device)
    started = time.perf_counter()
    load_or_build_cache(
        finetuning.clips,
        vae,
        finetuning.latents_file,
        num_noisy_images=config.num_noisy_images,
        num_slots=config.prompt.num_slots,
        uses_bfloat16=config.uses_bfloat16,
    )
    return {"encode_seconds": time.perf_counter() - started, **_peak("encode", job.device)}


def train_adapter(job: FullSizeJob) -> dict[str, Figure]:
    """Fine-tune.

    Args:
        job: What to measure.

    Returns:
        The figures.
    """
    started = time.perf_counter()
    with _step_times() as times:
        result = finetune(job.config, job.finetuning)
    files = [path for path in result.adapter.rglob("*") if path.is_file()]
    return {
        "finetune_seconds": time.perf_counter() - started,
        "finetune_seconds_per_step": _median_gap(times),
        **_peak("finetune", job.device),
        "last_loss": result.figures["loss"],
        "adapter_mib": sum(path.stat().st_size for path in files) / 2**20,
    }


def imagine(job: FullSizeJob, offload: str) -> dict[str, Figure]:
    """Load the base with the adapter, and imagine one video.

    Args:
        job: What to measure.
        offload: As `InteractionPlanner.from_pretrained` takes it.

    Returns:
        The figures.
    """
    prefix = "imagine" if offload == "none" else f"{offload}_offload_imagine"
    clips = job.finetuning.clips
    record = read_records(clips)[0]
    request = PlanRequest(
        image=read_frames(clips, record)[0],
        target_mask=read_mask(clips, record.mask_file),
        prompt=CAPTION,
        num_inference_steps=job.denoising_steps,
    )
    times: list[float] = []

    def note(progress: PlanProgress) -> None:
        if progress.stage == "denoise" and progress.step:
            times.append(time.perf_counter())
        _tell(f"{prefix}: {progress.stage} {progress.step}/{progress.total_steps}")

    started = time.perf_counter()
    planner = InteractionPlanner.from_pretrained(
        job.base,
        job.finetuning.out,
        device=str(job.device),
        dtype="bfloat16",
        offload=offload,
        vae_tiling=job.vae_tiling,
    )
    loaded = time.perf_counter()
    rollout = planner.imagine(request, on_progress=note)
    step_name = prefix.removesuffix("imagine") + "seconds_per_denoising_step"
    return {
        f"{prefix}_load_seconds": loaded - started,
        f"{prefix}_seconds": time.perf_counter() - loaded,
        step_name: _median_gap(times),
        **_peak(prefix, job.device),
        "num_frames": len(rollout.frames),
    }


def measure(job: FullSizeJob) -> dict[str, Figure | None]:
    """Go the whole path.

    Args:
        job: What to measure.

    Returns:
        The figures, "out_of_memory" among them if parts did not fit; what needs them is left out.

    Raises:
        ConfigError: If the GPU is smaller than the limit, or DIR holds a model of another size.
    """
    is_limited = job.device.type == "cuda" and job.memory_gib > 0
    if is_limited:
        _limit_memory(job.device, job.memory_gib)
    is_gpu = job.device.type == "cuda"
    figures: dict[str, Figure | None] = {
        "device": torch.cuda.get_device_name(job.device) if is_gpu else "cpu",
        "recipe": job.recipe,
        "memory_limit_gib": job.memory_gib if is_limited else None,
        "num_steps": job.num_steps,
        "denoising_steps": job.denoising_steps,
    }
    # A run of before would be gone on with, and its caches would be found.
    shutil.rmtree(job.finetuning.out.parent, ignore_errors=True)
    job.finetuning.out.parent.mkdir(parents=True)
    clips = job.finetuning.clips
    stages: list[tuple[str, Callable[[], dict[str, Figure] | None]]] = [
        ("base", lambda: build_base(job.base, job.sizes, job.device)),
        ("clips", lambda: write_clips(clips, job.num_clips, job.sizes.video_shape)),
        ("encode", lambda: encode_clips(job)),
        ("finetune", lambda: train_adapter(job)),
        ("imagine", lambda: imagine(job, "none")),
    ]
    if job.offload:
        stages.append(("imagine with offload", lambda: imagine(job, "model")))
    for name, run in stages:
        _free(job.device)
        _tell(f"{name} ...", job.device)
        try:
            found = run() or {}
            figures |= found
            # At once: what a later stage fails on must not take these along.
            _tell(f"{name}: {json.dumps(found)}")
        except torch.OutOfMemoryError as error:
            _tell(f"{name}: {str(error).splitlines()[0]}")
            short = figures.get("out_of_memory")
            figures["out_of_memory"] = name if short is None else f"{short}, {name}"
            if "last_loss" not in figures:
                # Without an adapter there is nothing to imagine with.
                break
    if job.sizes is FULL and "last_loss" in figures:
        figures["text_encoder_left_out_gib"] = _left_out_gib(job.base)
    return figures


def _left_out_gib(base: Path) -> float:
    real, built = (
        count_companions(folder, "bfloat16", has_text_encoder=True, has_vae=False)["text encoder"]
        for folder in (None, base)
    )
    return real - built


def _limit_memory(device: torch.device, memory_gib: float) -> None:
    total_gib = torch.cuda.get_device_properties(device).total_memory / _GIB
    if memory_gib > total_gib:
        raise ConfigError(
            f"memory_gib must be at most the {total_gib:.1f} of the device, got {memory_gib}. "
            "0 sets no limit."
        )
    index = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.set_per_process_memory_fraction(memory_gib / total_gib, index)


@contextlib.contextmanager
def _step_times() -> Iterator[list[float]]:
    """Note when each optimiser step ends; reading the losses waits for the GPU in each of them."""
    times: list[float] = []
    hook = register_optimizer_step_post_hook(lambda *_: times.append(time.perf_counter()))
    try:
        yield times
    finally:
        hook.remove()


def _median_gap(times: Sequence[float]) -> float:
    gaps = [after - before for before, after in itertools.pairwise(times)]
    return statistics.median(gaps)


def _peak(prefix: str, device: torch.device) -> dict[str, Figure]:
    if device.type != "cuda":
        return {}
    return {f"{prefix}_peak_gib": torch.cuda.max_memory_allocated(device) / _GIB}


def _free(device: torch.device) -> None:
    # Modules and their hooks know each other, so that only the collector lets go of them.
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _tell(text: str, device: torch.device | None = None) -> None:
    held = ""
    if device is not None and device.type == "cuda":
        held = f" ({torch.cuda.memory_allocated(device) / _GIB:.2f} GiB held)"
    print(f"[{time.perf_counter() - _STARTED:7.1f} s] {text}{held}", file=sys.stderr, flush=True)


_STARTED = time.perf_counter()


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_size",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    full = sorted(name for name in RECIPES if "5b" in name)
    add = parser.add_argument
    add("--work", type=Path, required=True, metavar="DIR", help="where; needs 14 GB")
    add("--json", action="store_true", help="one line of JSON")
    add("--recipe", choices=full, default="cogvideox_5b_24gb", help="[cogvideox_5b_24gb]")
    add("--memory-gib", type=float, default=24.0, metavar="N", help="limit; 0 = none [24]")
    add("--steps", type=int, default=6, metavar="N", help="of the fine-tuning [6]")
    add("--denoising-steps", type=int, default=4, metavar="N", help="of the rollout [4]")
    add("--clips", type=int, default=2, metavar="N", help="to draw [2]")
    add("--device", default="cuda", help="cuda, cuda:N or cpu [cuda]")
    add("--offload", action="store_true", help="imagine once more, with parts of the model away")
    add("--vae-tiling", action="store_true", help="decode in tiles")
    add("--tiny", action="store_true", help="tiny sizes, to see whether it runs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: Command line, without the program's name; None = that of the process.

    Returns:
        0 done, 1 memory was too small for a part, 2 an argument is unusable.
    """
    options = _make_parser().parse_args(arguments)
    try:
        job = FullSizeJob(
            work=options.work,
            device=pick_device(options.device),
            sizes=TINY if options.tiny else FULL,
            recipe=options.recipe,
            memory_gib=options.memory_gib,
            num_steps=options.steps,
            denoising_steps=options.denoising_steps,
            num_clips=options.clips,
            offload=options.offload,
            vae_tiling=options.vae_tiling,
        )
        figures = measure(job)
    except TavidError as error:
        print(f"full_size: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(figures))
    else:
        print(format_table({k: "none" if v is None else v for k, v in figures.items()}, {}))
    return SHORT_OF_MEMORY if "out_of_memory" in figures else 0


if __name__ == "__main__":
    sys.exit(main())
