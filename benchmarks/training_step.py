"""Cost of the attention loss: a fine-tuning step with it and without.

    python -m benchmarks.training_step            # a table
    python -m benchmarks.training_step --json     # one line

On the mini model with its own recipe, on one CPU thread: CPU time in alternated rounds, the ratio
is the median of the rounds' ratios; peak memory is that of a fresh process per way. Where there is
a GPU, the same at the size of CogVideoX-5B-I2V with random weights and the paper's recipe (or
`--recipe cogvideox_5b_24gb`): seconds per step, peak memory, and the share of 790 TFLOP/s.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import torch
from diffusers import CogVideoXTransformer3DModel
from torch import nn
from tqdm import tqdm
from transformers import AutoTokenizer

from benchmarks.memory import peak_above
from benchmarks.summary import Figure, format_table
from tavid_core.model_folder import ASSETS
from training.adapter_model import prepare_transformer
from training.cache import LatentCache
from training.dry_run import COGVIDEOX_5B_I2V, read_transformer_config, sample_flop
from training.finetune_config import FinetuneConfig
from training.finetune_loss import FinetuneLoss
from training.mini import build_scheduler
from training.recipes import RECIPES
from training.texts import FrozenTexts
from training.trainer import TrainingLoop

__all__ = ["build_module", "main", "make_step"]

Module = TypeVar("Module", bound=nn.Module)

LIMITS = {"step_time_ratio": "<= 1.03", "full_step_time_ratio": "<= 1.03"}
# What an H100 or H200 reaches in dense bfloat16 products.
REACHABLE_TFLOPS = 790.0
NUM_CLIPS = 16
CAPTION = "A person lifts the red mug."
WEIGHTS = {"with": 0.1, "without": 0.0}


class TrainingStep:
    """One fine-tuning step after the other, on random clips.

    Args:
        config: Of the run.
        sizes: Arguments of `CogVideoXTransformer3DModel`.
        device: Where.
    """

    def __init__(
        self, config: FinetuneConfig, sizes: dict[str, object], device: torch.device
    ) -> None:
        torch.manual_seed(0)
        transformer = build_module(
            lambda: CogVideoXTransformer3DModel(**sizes), getattr(torch, config.base_dtype), device
        )
        prepare_transformer(transformer, config)
        num_frames = (sizes["sample_frames"] - 1) // sizes["temporal_compression_ratio"] + 1
        grid_hw = (sizes["sample_height"], sizes["sample_width"])
        cache = _random_clips(num_frames, sizes["out_channels"], grid_hw)
        length = sizes["max_text_seq_length"]
        states = torch.randn(length, sizes["text_embed_dim"])
        pipeline = SimpleNamespace(
            transformer=transformer,
            scheduler=build_scheduler(),
            tokenizer=AutoTokenizer.from_pretrained(ASSETS / "mini" / "tokenizer"),
        )
        self._loss = FinetuneLoss(pipeline, cache, config, FrozenTexts({CAPTION: states}))
        self._loop = TrainingLoop(
            config.loop,
            Path(tempfile.gettempdir()),
            {"transformer": transformer},
            title="",
            batch_size=config.batch_size,
            micro_batch_size=config.micro_batch_size,
        )

    def run(self, step: int) -> None:
        """Do a step.

        Args:
            step: From 0; the same step draws the same samples.
        """
        self._loop.train_step(step, self._loss)


def build_module(make: Callable[[], Module], dtype: torch.dtype, device: torch.device) -> Module:
    """Build a module with random weights, in its final precision and place from the start.

    Args:
        make: Builds it.
        dtype: Of its weights.
        device: Where.

    Returns:
        The module.
    """
    before = torch.get_default_dtype()
    # Made in its final precision, for float32 would be twice as large as what fits.
    torch.set_default_dtype(dtype)
    try:
        with device:
            return make()
    finally:
        torch.set_default_dtype(before)


def _random_clips(num_frames: int, num_channels: int, grid_hw: tuple[int, int]) -> LatentCache:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(NUM_CLIPS, num_frames, num_channels, *grid_hw, generator=generator)
    masks = torch.zeros(NUM_CLIPS, 1, *grid_hw, dtype=torch.uint8)
    masks[:, :, grid_hw[0] // 4 : grid_hw[0] // 2, grid_hw[1] // 4 : grid_hw[1] // 2] = 1
    return LatentCache(
        latents_NFCHW=latents,
        images_NKCHW=latents[:, :1],
        masks_NSHW=masks,
        captions=(CAPTION,) * NUM_CLIPS,
    )


def make_step(way: str, recipe: str, device: torch.device) -> TrainingStep:
    """Make the step of a recipe.

    Args:
        way: "with" or "without" the attention loss.
        recipe: "mini" at the shipped model's size, others at CogVideoX-5B-I2V's.
        device: Where.

    Returns:
        The step.
    """
    config = RECIPES[recipe]()
    supervision = dataclasses.replace(config.supervision, weight=WEIGHTS[way])
    sizes = dict(COGVIDEOX_5B_I2V)
    if recipe == "mini":
        sizes = _mini_sizes()
    return TrainingStep(dataclasses.replace(config, supervision=supervision), sizes, device)


def _mini_sizes() -> dict[str, object]:
    wanted = set(COGVIDEOX_5B_I2V)
    found = read_transformer_config(ASSETS / "mini", "mini")
    return {name: value for name, value in found.items() if name in wanted}


def _time(step: TrainingStep, number: int, device: torch.device) -> float:
    """Seconds of a step: of the processor on a CPU, of the clock on a GPU."""
    if device.type == "cpu":
        started = time.process_time()
        step.run(number)
        return time.process_time() - started
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    step.run(number)
    torch.cuda.synchronize(device)
    return time.perf_counter() - started


def time_ways(
    steps: dict[str, TrainingStep], num_rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Time both ways in alternated rounds.

    Args:
        steps: By way.
        num_rounds: Timed rounds; one more goes before.
        device: Where.

    Returns:
        Seconds by way.
    """
    seconds: dict[str, list[float]] = {way: [] for way in steps}
    for number in tqdm(range(num_rounds + 1), "steps", unit="round", disable=None, leave=False):
        # Who goes first changes, so that neither always finds a warm cache.
        for way in list(steps) if number % 2 else list(steps)[::-1]:
            taken = _time(steps[way], number, device)
            if number:
                seconds[way].append(taken)
    return seconds


def _ratio(seconds: dict[str, list[float]]) -> float:
    pairs = zip(seconds["with"], seconds["without"], strict=True)
    return statistics.median(one / other for one, other in pairs)


def measure_mini(num_rounds: int) -> dict[str, Figure]:
    """Measure on the mini model and the CPU.

    Args:
        num_rounds: Timed rounds.

    Returns:
        The figures.
    """
    torch.set_num_threads(1)
    device = torch.device("cpu")
    peaks = {way: _peak_bytes(way) for way in WEIGHTS}
    steps = {way: make_step(way, "mini", device) for way in WEIGHTS}
    seconds = time_ways(steps, num_rounds, device)
    return {
        "step_time_ratio": _ratio(seconds),
        "peak_memory_ratio": peaks["with"] / peaks["without"],
        "step_seconds_with": statistics.median(seconds["with"]),
        "step_seconds_without": statistics.median(seconds["without"]),
        "peak_mib_with": round(peaks["with"] / 2**20, 1),
        "peak_mib_without": round(peaks["without"] / 2**20, 1),
        "num_rounds": num_rounds,
    }


def _peak_bytes(way: str) -> int:
    words = [sys.executable, "-m", "benchmarks.training_step", "--measure-peak", way]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def _measure_peak(way: str) -> int:
    """Bytes that steps need on top of the model; for a fresh process."""
    torch.set_num_threads(1)
    step = make_step(way, "mini", torch.device("cpu"))
    return peak_above(lambda: [step.run(number) for number in range(2)])


def measure_full(recipe: str, num_rounds: int) -> dict[str, Figure]:
    """Measure at full size on a GPU, each way alone, for the memory holds only one.

    Args:
        recipe: Of CogVideoX-5B-I2V.
        num_rounds: Timed rounds.

    Returns:
        The figures, or why there are none.
    """
    if not torch.cuda.is_available():
        return {"full_size": "skipped: no CUDA device"}
    device = torch.device("cuda")
    seconds, peaks = {}, {}
    for way in WEIGHTS:
        step = make_step(way, recipe, device)
        torch.cuda.reset_peak_memory_stats(device)
        seconds |= time_ways({way: step}, num_rounds, device)
        peaks[way] = torch.cuda.max_memory_allocated(device)
        del step
        torch.cuda.empty_cache()
    step_seconds = statistics.median(seconds["with"])
    config = RECIPES[recipe]()
    with torch.device("meta"):
        transformer = CogVideoXTransformer3DModel(**COGVIDEOX_5B_I2V)
        prepare_transformer(transformer, config)
    num_frames = (COGVIDEOX_5B_I2V["sample_frames"] - 1) // 4 + 1
    flop = config.batch_size * sample_flop(transformer, config, num_frames)
    return {
        "full_size": torch.cuda.get_device_name(device),
        "full_recipe": recipe,
        "full_step_seconds": step_seconds,
        "full_step_time_ratio": step_seconds / statistics.median(seconds["without"]),
        "full_peak_gib": peaks["with"] / 2**30,
        "full_peak_memory_ratio": peaks["with"] / peaks["without"],
        "full_share_of_790_tflops": flop / step_seconds / (REACHABLE_TFLOPS * 1e12),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: Command line, without the program's name; None = that of the process.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    full = sorted(name for name in RECIPES if "5b" in name)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="timed rounds [15]")
    parser.add_argument("--full-rounds", type=int, default=5, metavar="N", help="on the GPU [5]")
    parser.add_argument(
        "--recipe", choices=full, default="cogvideox_5b_paper", help="[cogvideox_5b_paper]"
    )
    parser.add_argument("--measure-peak", choices=sorted(WEIGHTS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure_peak:
        print(_measure_peak(options.measure_peak))
        return 0
    figures = measure_mini(options.rounds) | measure_full(options.recipe, options.full_rounds)
    limits = {name: limit for name, limit in LIMITS.items() if name in figures}
    print(json.dumps(figures) if options.json else format_table(figures, limits))
    return 0


if __name__ == "__main__":
    sys.exit(main())
