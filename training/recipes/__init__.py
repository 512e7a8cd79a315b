"""Recipes: functions that return a whole, validated configuration; the command line picks one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from training.finetune_config import FinetuneConfig
from training.loop_config import LoopConfig
from training.supervision import SupervisionConfig

__all__ = ["RECIPES", "cogvideox_5b_24gb", "cogvideox_5b_paper", "debug_cpu", "mini"]


def cogvideox_5b_paper() -> FinetuneConfig:
    """Fine-tune CogVideoX-5B-I2V with the paper's numbers.

    Returns:
        The configuration: rank 128, alpha 64, AdamW 1e-4, batch 4, 2,000 steps, lambda 0.1, seven
        of blocks 5 to 23 per step, video-to-text.

    References:
        arXiv 2503.18950, implementation details. The paper says neither warm-up nor averaging;
        the learning rate is constant there. It appends the sentence of the target; here it is
        prepended as in the released code (`sentence_position`). Latents are the means of the
        VAE's distributions, not samples. Four noisy encodings of the conditioning image per clip
        stand for noise drawn in every step.
    """
    return FinetuneConfig(
        loop=LoopConfig(
            num_steps=2000, learning_rate=1e-4, warmup_steps=0, ema_decay=0.0, schedule="constant"
        ),
        num_noisy_images=4,
        gradient_checkpointing=True,
        micro_batch_size=1,
        base_dtype="bfloat16",
    )


def cogvideox_5b_24gb() -> FinetuneConfig:
    """Fine-tune CogVideoX-5B-I2V with less memory: smaller rank, one clip per step.

    Returns:
        The configuration. It takes 18.7 GiB (docs/gpu.md).
    """
    return FinetuneConfig(
        loop=LoopConfig(
            num_steps=8000, learning_rate=5e-5, warmup_steps=0, ema_decay=0.0, schedule="constant"
        ),
        batch_size=1,
        lora_rank=64,
        lora_alpha=32.0,
        num_noisy_images=4,
        gradient_checkpointing=True,
        micro_batch_size=1,
        base_dtype="bfloat16",
    )


def mini() -> FinetuneConfig:
    """Teach the mini base model what a mask means, as the shipped adapter was.

    Returns:
        The configuration: the paper's method at the mini model's size, with a clean conditioning
        image (`num_noisy_images` 0), as the mini base was trained.
    """
    return FinetuneConfig(
        loop=LoopConfig(num_steps=700, learning_rate=1.5e-3, warmup_steps=50, ema_decay=0.99),
        batch_size=8,
        lora_rank=32,
        lora_alpha=32.0,
        supervision=SupervisionConfig(blocks=(1, 2, 3, 4), num_blocks=2),
    )


def debug_cpu() -> FinetuneConfig:
    """Run through everything in a minute; the result is good for nothing.

    Returns:
        The configuration: a handful of steps of the mini recipe.
    """
    return FinetuneConfig(
        loop=LoopConfig(num_steps=4, learning_rate=1e-3, warmup_steps=1, save_every=2),
        batch_size=2,
        lora_rank=4,
        lora_alpha=4.0,
        supervision=SupervisionConfig(blocks=(1, 2), num_blocks=1),
    )


RECIPES: Mapping[str, Callable[[], FinetuneConfig]] = MappingProxyType(
    {
        "cogvideox_5b_paper": cogvideox_5b_paper,
        "cogvideox_5b_24gb": cogvideox_5b_24gb,
        "mini": mini,
        "debug_cpu": debug_cpu,
    }
)
