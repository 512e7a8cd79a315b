"""What `benchmarks.full_size` works on: a base of random weights, and clips that are drawn."""

from __future__ import annotations

import dataclasses
import shutil
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDPMScheduler,
    CogVideoXTransformer3DModel,
)
from transformers import AutoTokenizer, T5Config, T5EncoderModel

from benchmarks.training_step import build_module
from tavid_core.errors import ConfigError
from tavid_core.model_folder import ASSETS, check_model_files
from tavid_core.pipeline import TargetAwarePipeline
from training.clips import METADATA_NAME, ClipRecord, write_frames
from training.dry_run import COGVIDEOX_5B_I2V, read_transformer_config
from training.mini import build_scheduler
from training.sources.clip_writer import write_picture

__all__ = ["CAPTION", "FULL", "TINY", "ModelSizes", "build_base", "write_clips"]

CAPTION = "A person lifts the red mug."
FPS = 8.0
# Saving takes the memory of a shard beside the model.
SHARD = "4GB"


@dataclasses.dataclass(frozen=True)
class ModelSizes:
    """Sizes of a base model.

    Args:
        transformer: Arguments of `CogVideoXTransformer3DModel`.
        vae: Arguments of `AutoencoderKLCogVideoX`.
        text_encoder: Arguments of `T5Config`, without the vocabulary.
    """

    transformer: Mapping[str, object]
    vae: Mapping[str, object]
    text_encoder: Mapping[str, object]

    @property
    def video_shape(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a clip."""
        size_hw = (self.vae["sample_height"], self.vae["sample_width"])
        return self.transformer["sample_frames"], *size_hw


FULL = ModelSizes(
    transformer=COGVIDEOX_5B_I2V,
    vae=types.MappingProxyType(
        {
            "down_block_types": ("CogVideoXDownBlock3D",) * 4,
            "up_block_types": ("CogVideoXUpBlock3D",) * 4,
            "block_out_channels": (128, 256, 256, 512),
            "latent_channels": 16,
            "layers_per_block": 3,
            "norm_num_groups": 32,
            "temporal_compression_ratio": 4,
            "sample_height": 480,
            "sample_width": 720,
            "scaling_factor": 0.7,
        }
    ),
    text_encoder=types.MappingProxyType(
        {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 1, "num_heads": 64}
    ),
)
# As deep as the recipes' supervised blocks need, and as narrow as the classes allow.
TINY = ModelSizes(
    transformer=types.MappingProxyType(
        {
            **COGVIDEOX_5B_I2V,
            "num_attention_heads": 1,
            "attention_head_dim": 16,
            "in_channels": 8,
            "out_channels": 4,
            "time_embed_dim": 8,
            "text_embed_dim": 16,
            "num_layers": 24,
            "sample_width": 12,
            "sample_height": 8,
            "sample_frames": 9,
            "max_text_seq_length": 32,
        }
    ),
    vae=types.MappingProxyType(
        {
            **FULL.vae,
            "down_block_types": ("CogVideoXDownBlock3D",) * 3,
            "up_block_types": ("CogVideoXUpBlock3D",) * 3,
            "block_out_channels": (8, 8, 8),
            "latent_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 2,
            "sample_height": 32,
            "sample_width": 48,
        }
    ),
    text_encoder=types.MappingProxyType(
        {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    ),
)


def build_base(base: Path, sizes: ModelSizes, device: torch.device) -> None:
    """Write the base model with random weights in bfloat16, unless it is there.

    Args:
        base: Folder to write.
        sizes: Of the model.
        device: Where it is made.

    Raises:
        ConfigError: If there is a model of another size.
        WeightsError: If the one that is there is damaged.
    """
    # diffusers writes the index last.
    if (base / "model_index.json").exists():
        found = read_transformer_config(base, "")
        differing = sorted(k for k, v in sizes.transformer.items() if found.get(k) != v)
        if differing:
            raise ConfigError(
                f"work must hold a base of the wanted size or none, got another "
                f"{', '.join(differing)} in {base}. Name another folder."
            )
        check_model_files(base)
        return
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "mini" / "tokenizer")
    text_config = T5Config(
        **sizes.text_encoder,
        vocab_size=len(tokenizer),
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
    )
    makers: dict[str, Callable[[], torch.nn.Module]] = {
        "text_encoder": lambda: T5EncoderModel(text_config),
        "vae": lambda: AutoencoderKLCogVideoX(**sizes.vae),
        "transformer": lambda: CogVideoXTransformer3DModel(**sizes.transformer),
    }
    modules = {name: build_module(make, torch.bfloat16, device) for name, make in makers.items()}
    # The mini model's has another share of high noise.
    scheduler = CogVideoXDPMScheduler.from_config(build_scheduler().config, snr_shift_scale=1.0)
    pipeline = TargetAwarePipeline(tokenizer=tokenizer, scheduler=scheduler, **modules)
    pipeline.save_pretrained(base, safe_serialization=True, max_shard_size=SHARD)


def write_clips(folder: Path, num_clips: int, video_shape: tuple[int, int, int]) -> None:
    """Draw clips in which a rectangle moves over noise, unless they are there.

    Args:
        folder: Clip folder.
        num_clips: How many.
        video_shape: Frames, rows and columns.
    """
    num_frames, height, width = video_shape
    size = f"{num_frames}x{height}x{width}"
    records = [
        ClipRecord(
            file_name=f"clips/{size}_{index}.mp4",
            text=CAPTION,
            fps=FPS,
            mask_file=f"masks/{size}_{index}.png",
            source="benchmarks.full_size",
            licence="CC0-1.0",
        )
        for index in range(num_clips)
    ]
    text = "".join(record.to_json() + "\n" for record in records)
    listing = folder / METADATA_NAME
    if listing.exists() and listing.read_text(encoding="utf-8") == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("clips", "masks"):
        (folder / part).mkdir(parents=True)
    for index, record in enumerate(records):
        noise = np.random.default_rng(index).integers(96, 160, (height, width, 3), dtype=np.uint8)
        frames = np.repeat(noise[None], num_frames, axis=0)
        rows = slice(height // 4, height // 2)
        for time_index, frame in enumerate(frames):
            left = width // 8 + time_index * width // (2 * num_frames)
            frame[rows, left : left + width // 4] = (200, 30, 30)
        mask = np.zeros((height, width, 3), dtype=np.uint8)
        mask[rows, width // 8 : width // 8 + width // 4] = 255
        write_frames(folder / record.file_name, frames, FPS)
        write_picture(folder / record.mask_file, mask)
    # Last, so that a folder with a list is whole.
    listing.write_text(text, encoding="utf-8")
