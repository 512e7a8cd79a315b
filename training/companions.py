"""The models beside the transformer, the text encoder and the VAE, and how much memory they take.

They are built without weights, so that an estimate needs no download.
"""

from __future__ import annotations

import types
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from torch import nn
from transformers import T5Config, T5EncoderModel

from tavid_core.errors import InputError

__all__ = ["count_companions"]

# T5 v1.1 XXL, the text encoder of CogVideoX-5B-I2V; its VAE is diffusers' default one.
_T5_XXL = types.MappingProxyType(
    {
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    }
)
_GIB = 2**30


def count_companions(
    base: Path | None, dtype: str, *, has_text_encoder: bool, has_vae: bool
) -> dict[str, float]:
    """Say what the models beside the transformer take.

    Args:
        base: Diffusers folder, of which only configurations are read; None = CogVideoX-5B-I2V.
        dtype: Of their weights, "float32" or "bfloat16".
        has_text_encoder: Whether the text encoder stays there.
        has_vae: Whether the VAE does.

    Returns:
        Name to GiB of weights.

    Raises:
        InputError: If a configuration cannot be read.
    """
    wanted = {"text encoder": (has_text_encoder, _text_encoder), "VAE": (has_vae, _vae)}
    num_bytes = torch.finfo(getattr(torch, dtype)).bits // 8
    return {
        name: sum(p.numel() for p in build(base).parameters()) * num_bytes / _GIB
        for name, (is_there, build) in wanted.items()
        if is_there
    }


def _text_encoder(base: Path | None) -> nn.Module:
    try:
        if base is None:
            config = T5Config(**_T5_XXL)
        else:
            config = T5Config.from_pretrained(base / "text_encoder", local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unreadable("text_encoder", error) from error
    with torch.device("meta"):
        return T5EncoderModel(config)


def _vae(base: Path | None) -> nn.Module:
    try:
        fields = {} if base is None else AutoencoderKLCogVideoX.load_config(base / "vae")
    except (OSError, ValueError) as error:
        raise _unreadable("vae", error) from error
    with torch.device("meta"):
        return AutoencoderKLCogVideoX.from_config(fields)


def _unreadable(folder: str, error: Exception) -> InputError:
    return InputError(f"base must hold {folder}/config.json, got {error}. Name a diffusers folder.")
