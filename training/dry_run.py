"""What a run would train, need and cost, worked out without weights: `--dry-run`."""

from __future__ import annotations

import contextlib
import dataclasses
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tavid_core.errors import ConfigError, InputError
from tavid_core.json_fields import read_json_object
from training.adapter_model import LORA_TARGETS, prepare_transformer
from training.companions import count_companions
from training.finetune_config import FinetuneConfig

__all__ = [
    "CARDS",
    "COGVIDEOX_5B_I2V",
    "DryRun",
    "estimate",
    "read_spatial_factor",
    "read_tokenizer",
    "read_transformer_config",
    "sample_flop",
]

# CogVideoX-5B-I2V's own transformer/config.json, for estimates before anything is downloaded.
COGVIDEOX_5B_I2V = types.MappingProxyType(
    {
        "num_attention_heads": 48,
        "attention_head_dim": 64,
        "in_channels": 32,
        "out_channels": 16,
        "time_embed_dim": 512,
        "text_embed_dim": 4096,
        "num_layers": 42,
        "sample_width": 90,
        "sample_height": 60,
        "sample_frames": 49,
        "patch_size": 2,
        "temporal_compression_ratio": 4,
        "max_text_seq_length": 226,
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
    }
)
# Dense bf16 TFLOP/s of the data sheets.
CARDS: Mapping[str, float] = types.MappingProxyType(
    {"rtx4090": 165.0, "a100": 312.0, "l40s": 362.0, "h100": 989.0, "h200": 989.0}
)
# Share of the data sheet's rate that a training step of this kind reaches: on an H200, docs/gpu.md.
_EFFICIENCY = 0.34
_BYTES = types.MappingProxyType({"bfloat16": 2, "float32": 4})
# A trained number, its gradient and two of the optimizer.
_BYTES_PER_TRAINED = types.MappingProxyType({"adamw": 16, "muon": 12, "adamw8bit": 10})
# Tensors as wide as the states that a block keeps while it is computed once more.
_STATES_PER_BLOCK = 34
_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class DryRun:
    """An estimate.

    Args:
        num_parameters: Of the transformer with what is added.
        num_trained: Of these, those that are trained.
        num_video_tokens: Per clip.
        num_text_tokens: Per clip.
        step_tflop: Of one optimiser step over the whole batch.
        num_clips_at_a_time: In one process.
        memory_gib: Largest use of memory; VAE and text encoder are in it where they stay beside
            the transformer, for else their outputs are cached.
        hours: By card.
        lora_targets: Layers of each block that get a LoRA.
        slot_words: Of the mask channels, in their order.
        blocks: That the attention loss may look at; empty without it.
        blocks_per_step: How many of them in a step.
        companions: Names of the models that stay beside the transformer, and their GiB.
    """

    num_parameters: int
    num_trained: int
    num_video_tokens: int
    num_text_tokens: int
    step_tflop: float
    num_clips_at_a_time: int
    memory_gib: float
    hours: Mapping[str, float]
    lora_targets: tuple[str, ...] = ()
    slot_words: tuple[str, ...] = ()
    blocks: tuple[int, ...] = ()
    blocks_per_step: int = 0
    companions: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def describe(self) -> str:
        """Write it for people.

        Returns:
            Lines.
        """
        hours = ", ".join(f"{card} {value:.1f}" for card, value in self.hours.items())
        is_range = self.blocks[-1:] and len(self.blocks) == self.blocks[-1] - self.blocks[0] + 1
        blocks = (
            f"{self.blocks[0]} to {self.blocks[-1]}"
            if is_range
            else ", ".join(str(block) for block in self.blocks)
        )
        beside = ", ".join(f"{name} {gib:.1f} GiB" for name, gib in self.companions.items())
        share = self.num_trained / self.num_parameters
        return "\n".join(
            [
                f"transformer     {self.num_parameters / 1e6:,.1f} M parameters, "
                f"{self.num_trained / 1e6:,.1f} M of them trained ({share:.1%})",
                f"LoRA            {', '.join(self.lora_targets)} of every block",
                f"slots           {', '.join(self.slot_words)}",
                f"attention loss  {self.blocks_per_step} of blocks {blocks} in a step"
                if self.blocks
                else "attention loss  none",
                f"tokens          {self.num_video_tokens:,} video and "
                f"{self.num_text_tokens:,} text",
                f"one step        {self.step_tflop:,.1f} TFLOP",
                f"memory          about {self.memory_gib:.1f} GiB with {self.num_clips_at_a_time} "
                f"clip(s) at a time (estimate; {beside or 'VAE and text encoder put away'})",
                f"hours, one card {hours} (at {_EFFICIENCY:.0%} of the data sheet's rate)",
            ]
        )


def read_transformer_config(base: Path | None, recipe: str) -> dict[str, Any]:
    """Find the sizes of a model without its weights.

    Args:
        base: Diffusers folder, of which only transformer/config.json is read; None for recipes
            of CogVideoX-5B-I2V, whose sizes are known.
        recipe: Name of the recipe.

    Returns:
        Arguments of `CogVideoXTransformer3DModel`.

    Raises:
        ConfigError: If there is no folder and the recipe names no known model.
        InputError: If the file cannot be read.
    """
    if base is None:
        if "cogvideox_5b" in recipe:
            return dict(COGVIDEOX_5B_I2V)
        raise ConfigError(f"base must be given for the recipe {recipe!r}, got none. Add --base.")
    path = base / "transformer" / "config.json"
    try:
        fields = read_json_object(path)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"base must hold transformer/config.json, got {str(error).rstrip('.')}. "
            "Name a diffusers folder."
        ) from error
    return {name: value for name, value in fields.items() if not name.startswith("_")}


def read_spatial_factor(base: Path) -> int:
    """Find how many pixels a side of a latent stands for, without weights.

    Args:
        base: Diffusers folder, of which only vae/config.json is read.

    Returns:
        The factor.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        fields = read_json_object(base / "vae" / "config.json")
        return 2 ** (len(fields["block_out_channels"]) - 1)
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise InputError(
            "base must hold vae/config.json with block_out_channels, got "
            f"{str(error).rstrip('.')}. Name a diffusers folder."
        ) from error


def read_tokenizer(base: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model without its weights.

    Args:
        base: Diffusers folder.

    Returns:
        The tokenizer.

    Raises:
        InputError: If there is none, or it cannot be read.
    """
    folder = base / "tokenizer"
    try:
        if not folder.is_dir():
            # The library would take the path for the name of a model on the Hub.
            raise FileNotFoundError("no such folder")
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"base must hold tokenizer/ to check captions, got {folder}: {reason}. Name a whole "
            "diffusers folder, or leave --clips out."
        ) from error


def estimate(
    config: FinetuneConfig,
    transformer_config: Mapping[str, Any],
    base: Path | None = None,
    *,
    validates: bool = False,
) -> DryRun:
    """Work out what a run trains, needs and costs.

    Args:
        config: Of the run.
        transformer_config: Of `read_transformer_config`.
        base: Diffusers folder whose VAE and text encoder are counted; None = CogVideoX-5B-I2V's.
        validates: Whether rollouts are imagined in between.

    Returns:
        The estimate.

    Raises:
        ConfigError: If the run does not fit the model.
    """
    with torch.device("meta"):
        transformer = CogVideoXTransformer3DModel(**transformer_config)
        prepare_transformer(transformer, config)
    parameters = list(transformer.parameters())
    num_trained = sum(p.numel() for p in parameters if p.requires_grad)
    num_parameters = sum(p.numel() for p in parameters)
    sizes = transformer.config
    frames = (sizes.sample_frames - 1) // sizes.temporal_compression_ratio + 1
    grid = (sizes.sample_height // sizes.patch_size, sizes.sample_width // sizes.patch_size)
    num_video = frames * grid[0] * grid[1]
    num_text = sizes.max_text_seq_length
    step_flop = config.batch_size * sample_flop(transformer, config, frames)
    if config.train_tokens:
        num_trained += config.prompt.num_slots * sizes.text_embed_dim
    memory = _count_bytes(config, sizes, num_parameters, num_trained, num_video + num_text)
    companions = count_companions(
        base,
        config.base_dtype,
        has_text_encoder=config.train_tokens or validates,
        has_vae=validates,
    )
    blocks, blocks_per_step = _supervised_blocks(config, sizes.num_layers)
    seconds = {card: step_flop / (rate * 1e12 * _EFFICIENCY) for card, rate in CARDS.items()}
    return DryRun(
        num_parameters=num_parameters,
        num_trained=num_trained,
        num_video_tokens=num_video,
        num_text_tokens=num_text,
        step_tflop=step_flop / 1e12,
        num_clips_at_a_time=config.micro_batch_size or config.batch_size,
        memory_gib=memory / _GIB + sum(companions.values()),
        hours={card: config.loop.num_steps * value / 3600 for card, value in seconds.items()},
        lora_targets=LORA_TARGETS,
        slot_words=config.prompt.slot_words,
        blocks=blocks,
        blocks_per_step=blocks_per_step,
        companions=companions,
    )


def _count_bytes(
    config: FinetuneConfig, sizes: Any, num_parameters: int, num_trained: int, num_tokens: int
) -> float:
    num_clips = config.micro_batch_size or config.batch_size
    num_states = num_clips * num_tokens * sizes.num_attention_heads * sizes.attention_head_dim
    num_kept = 1 if config.gradient_checkpointing else _STATES_PER_BLOCK
    # Without fast bfloat16 a CPU keeps states in float32.
    state_bytes = _BYTES["float32" if config.precision == "float32" else "bfloat16"]
    average_bytes = _BYTES["float32"] if config.loop.ema_decay else 0
    return (
        (num_parameters - num_trained) * _BYTES[config.base_dtype]
        + num_trained * (_BYTES_PER_TRAINED[config.loop.optimizer] + average_bytes)
        + num_states * state_bytes * (num_kept * sizes.num_layers + _STATES_PER_BLOCK)
    )


def _supervised_blocks(config: FinetuneConfig, num_blocks: int) -> tuple[tuple[int, ...], int]:
    if config.supervision.weight == 0:
        return (), 0
    blocks = config.supervision.candidates(num_blocks)
    is_drawn = config.supervision.choice == "random"
    return blocks, config.supervision.num_blocks if is_drawn else len(blocks)


def sample_flop(
    transformer: CogVideoXTransformer3DModel, config: FinetuneConfig, num_latent_frames: int
) -> float:
    """Count the FLOP of one clip, forward and backward.

    Args:
        transformer: Prepared by `prepare_transformer`, on the meta device.
        config: Of the run.
        num_latent_frames: F.

    Returns:
        The FLOP, without those of the attention loss.
    """
    sizes = transformer.config
    num_keys = sizes.max_text_seq_length + (
        num_latent_frames
        * (sizes.sample_height // sizes.patch_size)
        * (sizes.sample_width // sizes.patch_size)
    )
    width = sizes.num_attention_heads * sizes.attention_head_dim
    attention = 4.0 * sizes.num_layers * num_keys**2 * width
    total = float(_count_forward(transformer, num_latent_frames, num_keys))
    linear = max(0.0, total - attention)
    # Frozen weights need no gradient of their own: forward and the gradient of the input, and
    # with checkpointing the forward once more. Attention's backward is 2.5 times its forward.
    again = 1.0 if config.gradient_checkpointing else 0.0
    return linear * (2.0 + again) + attention * (3.5 + again)


def _count_forward(
    transformer: CogVideoXTransformer3DModel, num_latent_frames: int, num_keys: int
) -> int:
    sizes = transformer.config
    shape = (1, num_latent_frames, sizes.in_channels, sizes.sample_height, sizes.sample_width)
    num_video = num_keys - sizes.max_text_seq_length
    rotary = tuple(torch.empty(num_video, sizes.attention_head_dim, device="meta") for _ in "cs")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, _first_block_only(transformer):
        transformer(
            hidden_states=torch.empty(shape, device="meta"),
            encoder_hidden_states=torch.empty(
                1, sizes.max_text_seq_length, sizes.text_embed_dim, device="meta"
            ),
            timestep=torch.empty(1, device="meta"),
            image_rotary_emb=rotary if sizes.use_rotary_positional_embeddings else None,
            return_dict=False,
        )
    block = f"{type(transformer).__name__}.transformer_blocks.0"
    of_block = sum(counter.get_flop_counts()[block].values())
    return counter.get_total_flops() + (sizes.num_layers - 1) * of_block


@contextlib.contextmanager
def _first_block_only(transformer: CogVideoXTransformer3DModel) -> Iterator[None]:
    """Leave out all blocks but one: they are equal, and counting 42 takes seconds."""
    blocks = transformer.transformer_blocks
    transformer.transformer_blocks = blocks[:1]
    try:
        yield
    finally:
        transformer.transformer_blocks = blocks
