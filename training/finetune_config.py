"""What a fine-tuning run can be told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from tavid_core.config import PromptConfig
from tavid_core.errors import ConfigError
from training.loop_config import LoopConfig
from training.supervision import SupervisionConfig

__all__ = ["SETTINGS", "FinetuneConfig", "with_settings"]

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One fine-tuning run.

    Args:
        loop: Steps, learning rate, checkpoints, seed.
        batch_size: Clips per step, over all processes.
        lora_rank: Rank of the LoRA on to_q, to_k, to_v, to_out.0.
        lora_alpha: Its scale is alpha / rank.
        supervision: The attention loss.
        image_dropout: How often the conditioning image is zeroed.
        condition_dropout: How often neither text nor masks are shown, as to the unconditional half
            of guidance where the base's card says `guide_by_mask`; the attention loss of such a
            sample is 0.
        num_noisy_images: Encodings of each conditioning image with noise of sigma
            exp(N(-3, 0.5)), of which a step takes one; 0 = the clean image.
        use_mask: False keeps the mask channel at zero, for runs that shall not know the target.
        sloppy_masks: Spoils the mask channel, each sample its own way; the attention loss keeps
            the exact mask,
        sloppy_loss_masks: unless this is set too, and there is no exact mask to learn from.
        prompt: Slot words, their sentence and where it stands.
        gradient_checkpointing: Computes activations again instead of keeping them.
        micro_batch_size: Clips at a time in each process, the others after them; None = the
            process's whole share of the batch.
        precision: "bfloat16" (matrix products; what is trained stays float32), "float32", or
            "auto": bfloat16 where the device is faster with it, or the base is in it.
        base_dtype: Of the frozen weights in memory, "float32" or "bfloat16".
        train_tokens: Whether the rows of added slot tokens in the text encoder's table are
            trained; the text encoder then runs in every step.

    Raises:
        ConfigError: If a field is unusable.
    """

    loop: LoopConfig
    batch_size: int = 4
    lora_rank: int = 128
    lora_alpha: float = 64.0
    supervision: SupervisionConfig = dataclasses.field(default_factory=SupervisionConfig)
    image_dropout: float = 0.05
    condition_dropout: float = 0.0
    num_noisy_images: int = 0
    use_mask: bool = True
    sloppy_masks: bool = False
    sloppy_loss_masks: bool = False
    prompt: PromptConfig = dataclasses.field(default_factory=PromptConfig)
    gradient_checkpointing: bool = False
    micro_batch_size: int | None = None
    precision: str = "auto"
    base_dtype: str = "float32"
    train_tokens: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        is_scaled = math.isfinite(self.lora_alpha) and self.lora_alpha > 0
        if self.batch_size < 1 or self.lora_rank < 1 or not is_scaled:
            raise ConfigError(
                "batch_size, lora_rank and lora_alpha must be positive and finite, got "
                f"{self.batch_size}, {self.lora_rank}, {self.lora_alpha}. Correct the recipe."
            )
        for name, default in (("image_dropout", 0.05), ("condition_dropout", 0)):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} must be in 0..1, got {getattr(self, name)}. The default is {default}."
                )
        if not 0 <= self.num_noisy_images <= 64:
            raise ConfigError(
                f"num_noisy_images must be in 0..64, got {self.num_noisy_images}. Try 4."
            )
        if self.sloppy_loss_masks and not self.sloppy_masks:
            raise ConfigError(
                "sloppy_loss_masks must be false where sloppy_masks is, got true. Set both."
            )
        self._check_engine()

    @property
    def uses_bfloat16(self) -> bool | None:
        """Whether matrix products are in bfloat16; None leaves it to the device."""
        if self.precision == "auto":
            return True if self.base_dtype == "bfloat16" else None
        return self.precision == "bfloat16"

    def _check_engine(self) -> None:
        for name, known in (("precision", ("auto", *DTYPES)), ("base_dtype", DTYPES)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}. "
                    "Use 'float32'."
                )
        if self.base_dtype == "bfloat16" and self.precision == "float32":
            raise ConfigError(
                "precision must be bfloat16 on a base of base_dtype bfloat16, got float32. "
                "Change one of them."
            )
        if self.micro_batch_size is not None and not 1 <= self.micro_batch_size <= self.batch_size:
            raise ConfigError(
                f"micro_batch_size must be in 1..{self.batch_size}, got {self.micro_batch_size}. "
                "Leave it out to take the whole batch at once."
            )
        if self.train_tokens and not self.prompt.added_tokens:
            raise ConfigError(
                "added_tokens must be true where train_tokens is, got false. "
                "Only rows of added slot tokens can be trained."
            )


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


# Key of --set: where the value goes, its field, how it is read, and what it looks like.
SETTINGS: dict[str, tuple[str | None, str, Callable[[str], Any], str]] = {
    "steps": ("loop", "num_steps", int, "a whole number"),
    "learning_rate": ("loop", "learning_rate", float, "a number"),
    "warmup_steps": ("loop", "warmup_steps", int, "a whole number"),
    "seed": ("loop", "seed", int, "a whole number"),
    "max_minutes": ("loop", "max_minutes", float, "a number"),
    "save_every": ("loop", "save_every", int, "a whole number"),
    "optimizer": ("loop", "optimizer", str, "a word"),
    "weight_decay": ("loop", "weight_decay", float, "a number"),
    "max_grad_norm": ("loop", "max_grad_norm", float, "a number"),
    "ema_decay": ("loop", "ema_decay", float, "a number"),
    "schedule": ("loop", "schedule", str, "a word"),
    "batch_size": (None, "batch_size", int, "a whole number"),
    "lora_rank": (None, "lora_rank", int, "a whole number"),
    "lora_alpha": (None, "lora_alpha", float, "a number"),
    "image_dropout": (None, "image_dropout", float, "a number"),
    "condition_dropout": (None, "condition_dropout", float, "a number"),
    "num_noisy_images": (None, "num_noisy_images", int, "a whole number"),
    "use_mask": (None, "use_mask", _flag, "true or false"),
    "sloppy_masks": (None, "sloppy_masks", _flag, "true or false"),
    "sloppy_loss_masks": (None, "sloppy_loss_masks", _flag, "true or false"),
    "gradient_checkpointing": (None, "gradient_checkpointing", _flag, "true or false"),
    "micro_batch_size": (None, "micro_batch_size", int, "a whole number"),
    "precision": (None, "precision", str, "a word"),
    "base_dtype": (None, "base_dtype", str, "a word"),
    "train_tokens": (None, "train_tokens", _flag, "true or false"),
    "attention_weight": ("supervision", "weight", float, "a number"),
    "attention_blocks": ("supervision", "blocks", _numbers, "numbers like 5,8,11"),
    "block_choice": ("supervision", "choice", str, "a word"),
    "num_blocks_per_step": ("supervision", "num_blocks", int, "a whole number"),
    "attention_direction": ("supervision", "direction", str, "a word"),
    "map_normalization": ("supervision", "normalization", str, "a word"),
    "slot_words": ("prompt", "slot_words", _words, "words like target,actor"),
    "sentence": ("prompt", "sentence", str, "a sentence"),
    "added_tokens": ("prompt", "added_tokens", _flag, "true or false"),
    "sentence_position": ("prompt", "sentence_position", str, "a word"),
}


def with_settings(config: FinetuneConfig, settings: list[str]) -> FinetuneConfig:
    """Change single values of a recipe.

    Args:
        config: What the recipe returned.
        settings: Texts "key=value". Values of one group are checked together, so that slot words
            and the sentence that names them can be changed in one call.

    Returns:
        The changed configuration, validated again.

    Raises:
        ConfigError: If a key is unknown or a value is unusable.
    """
    changes: dict[str | None, dict[str, Any]] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in SETTINGS:
            raise ConfigError(
                f"--set key must be one of {sorted(SETTINGS)}, got {key!r}. Correct it."
            )
        group, field, read, looks = SETTINGS[key]
        try:
            changes.setdefault(group, {})[field] = read(text)
        except ValueError as error:
            raise ConfigError(
                f"--set {key} must be {looks}, got {text!r}. Write {key}=VALUE."
            ) from error
    own = changes.pop(None, {})
    for group, fields in changes.items():
        own[group] = dataclasses.replace(getattr(config, group), **fields)
    return dataclasses.replace(config, **own)
