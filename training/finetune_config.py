"""What a fine-tuning run can be told."""

from __future__ import annotations

import dataclasses
import math

from tavid_core.config import PromptConfig
from tavid_core.errors import ConfigError
from training.trainer import LoopConfig

__all__ = ["FinetuneConfig", "with_settings"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One fine-tuning run.

    Args:
        loop: Steps, learning rate, checkpoints, seed.
        batch_size: Clips per step.
        lora_rank: Rank of the LoRA on to_q, to_k, to_v, to_out.0.
        lora_alpha: Its scale is alpha / rank.
        attention_weight: Lambda of the attention loss; 0 leaves it out.
        attention_blocks: Blocks that may be supervised.
        num_blocks_per_step: How many of them are drawn per step.
        image_dropout: How often the conditioning image is zeroed.
        prompt: Slot words, their sentence and where it stands.
    """

    loop: LoopConfig
    batch_size: int = 4
    lora_rank: int = 128
    lora_alpha: float = 64.0
    attention_weight: float = 0.1
    attention_blocks: tuple[int, ...] = tuple(range(5, 24))
    num_blocks_per_step: int = 7
    image_dropout: float = 0.05
    prompt: PromptConfig = dataclasses.field(default_factory=PromptConfig)

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.batch_size < 1 or self.lora_rank < 1 or self.lora_alpha <= 0:
            raise ConfigError(
                "batch_size, lora_rank and lora_alpha must be positive, got "
                f"{self.batch_size}, {self.lora_rank}, {self.lora_alpha}. Correct the recipe."
            )
        if not (math.isfinite(self.attention_weight) and self.attention_weight >= 0):
            raise ConfigError(
                f"attention_weight must be 0 or more, got {self.attention_weight}. "
                "The paper uses 0.1."
            )
        if not 1 <= self.num_blocks_per_step <= len(self.attention_blocks):
            raise ConfigError(
                f"num_blocks_per_step must be in 1..{len(self.attention_blocks)}, got "
                f"{self.num_blocks_per_step}. The paper draws 7 of 19."
            )


_SETTINGS = {
    "steps": ("loop", "num_steps", int),
    "learning_rate": ("loop", "learning_rate", float),
    "seed": ("loop", "seed", int),
    "max_minutes": ("loop", "max_minutes", float),
    "save_every": ("loop", "save_every", int),
    "batch_size": (None, "batch_size", int),
    "lora_rank": (None, "lora_rank", int),
    "lora_alpha": (None, "lora_alpha", float),
    "attention_weight": (None, "attention_weight", float),
    "num_blocks_per_step": (None, "num_blocks_per_step", int),
    "image_dropout": (None, "image_dropout", float),
}


def with_settings(config: FinetuneConfig, settings: list[str]) -> FinetuneConfig:
    """Change single values of a recipe.

    Args:
        config: What the recipe returned.
        settings: Texts "key=value".

    Returns:
        The changed configuration, validated again.

    Raises:
        ConfigError: If a key is unknown or a value is no number.
    """
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in _SETTINGS:
            raise ConfigError(
                f"--set key must be one of {sorted(_SETTINGS)}, got {key!r}. Correct it."
            )
        group, field, kind = _SETTINGS[key]
        try:
            value = kind(text)
        except ValueError as error:
            raise ConfigError(
                f"--set {key} must be a {kind.__name__}, got {text!r}. Write {key}=NUMBER."
            ) from error
        if group == "loop":
            config = dataclasses.replace(
                config, loop=dataclasses.replace(config.loop, **{field: value})
            )
        else:
            config = dataclasses.replace(config, **{field: value})
    return config
