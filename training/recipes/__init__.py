"""Recipes: functions that return a whole, validated configuration; the command line picks one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from training.finetune_config import FinetuneConfig
from training.trainer import LoopConfig

__all__ = ["RECIPES", "debug_cpu", "mini"]


def mini() -> FinetuneConfig:
    """Teach the mini base model what a mask means, as the shipped adapter was.

    Returns:
        The configuration: the paper's method at the mini model's size.
    """
    return FinetuneConfig(
        loop=LoopConfig(num_steps=700, learning_rate=1.5e-3, warmup_steps=50, ema_decay=0.99),
        batch_size=8,
        lora_rank=32,
        lora_alpha=32.0,
        attention_blocks=(1, 2, 3, 4),
        num_blocks_per_step=2,
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
        attention_blocks=(1, 2),
        num_blocks_per_step=1,
    )


RECIPES: Mapping[str, Callable[[], FinetuneConfig]] = MappingProxyType(
    {"mini": mini, "debug_cpu": debug_cpu}
)
