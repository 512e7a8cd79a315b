"""The embedded model's architecture: CogVideoX's own classes, small enough for two CPU cores.

What differs from CogVideoX-5B-I2V is width, depth and the VAE's spatial factor (4 instead of
8: at 64 x 96 pixels an object is a dozen pixels wide, and 8x would leave it a single latent).
"""

from __future__ import annotations

import dataclasses

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDPMScheduler,
    CogVideoXTransformer3DModel,
)
from transformers import T5Config, T5EncoderModel

__all__ = [
    "MiniConfig",
    "build_scheduler",
    "build_text_encoder",
    "build_transformer",
    "build_vae",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MiniConfig:
    """Sizes of the mini model.

    Args:
        height: Frame height, pixels; likewise width.
        num_frames: Frames of a rollout, 8n+1.
        fps: Frames per second.
        latent_channels: Channels of the VAE's latent.
        vae_channels: Widths of the VAE's levels; three levels give 4x in space.
        num_heads: Attention heads of the transformer.
        head_dim: Width of a head.
        num_layers: Transformer blocks.
        text_dim: Width of the text encoder.
        text_layers: Layers of the text encoder.
        max_text_tokens: Prompt length in tokens, padding included.
    """

    height: int = 64
    width: int = 96
    num_frames: int = 17
    fps: float = 8.0
    latent_channels: int = 16
    vae_channels: tuple[int, ...] = (16, 32, 32)
    num_heads: int = 3
    head_dim: int = 64
    num_layers: int = 6
    text_dim: int = 64
    text_layers: int = 2
    max_text_tokens: int = 32

    @property
    def spatial_factor(self) -> int:
        """How many pixels one latent spans."""
        return 2 ** (len(self.vae_channels) - 1)

    @property
    def num_latent_frames(self) -> int:
        """Latent frames of a rollout (the VAE takes 4 frames to one, the first alone)."""
        return (self.num_frames - 1) // 4 + 1


def build_vae(config: MiniConfig) -> AutoencoderKLCogVideoX:
    """Build the video autoencoder with fresh weights.

    Args:
        config: Sizes.

    Returns:
        The VAE; scaling_factor is 1 until the latents have been measured.
    """
    levels = len(config.vae_channels)
    return AutoencoderKLCogVideoX(
        latent_channels=config.latent_channels,
        block_out_channels=config.vae_channels,
        down_block_types=("CogVideoXDownBlock3D",) * levels,
        up_block_types=("CogVideoXUpBlock3D",) * levels,
        layers_per_block=1,
        norm_num_groups=8,
        temporal_compression_ratio=4,
        sample_height=config.height,
        sample_width=config.width,
        scaling_factor=1.0,
    )


def build_text_encoder(config: MiniConfig, vocab_size: int) -> T5EncoderModel:
    """Build the T5 encoder with fresh weights.

    Args:
        config: Sizes.
        vocab_size: Of the tokenizer.

    Returns:
        The encoder.
    """
    return T5EncoderModel(
        T5Config(
            vocab_size=vocab_size,
            d_model=config.text_dim,
            d_kv=config.text_dim // 4,
            d_ff=2 * config.text_dim,
            num_layers=config.text_layers,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def build_transformer(config: MiniConfig) -> CogVideoXTransformer3DModel:
    """Build the base image-to-video transformer (no mask channel) with fresh weights.

    Args:
        config: Sizes.

    Returns:
        The transformer; rotary and learned positions, as in CogVideoX-5B-I2V.
    """
    return CogVideoXTransformer3DModel(
        num_attention_heads=config.num_heads,
        attention_head_dim=config.head_dim,
        in_channels=2 * config.latent_channels,
        out_channels=config.latent_channels,
        time_embed_dim=128,
        text_embed_dim=config.text_dim,
        num_layers=config.num_layers,
        sample_width=config.width // config.spatial_factor,
        sample_height=config.height // config.spatial_factor,
        sample_frames=config.num_frames,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=config.max_text_tokens,
        use_rotary_positional_embeddings=True,
        use_learned_positional_embeddings=True,
    )


def build_scheduler() -> CogVideoXDPMScheduler:
    """Build the scheduler with CogVideoX-5B-I2V's settings, but for the share of high noise.

    Which hand moves and to which object is spread over thousands of latents, so it shows through
    noise that hides every single one of them: with the 5B schedule the last tenth of the
    timesteps decides all, one or two steps of a rollout. A ninth of the signal-to-noise ratio (a
    third of the amplitude) gives that range half of the timesteps.

    Returns:
        The scheduler: v-prediction, zero terminal SNR, trailing steps.
    """
    return CogVideoXDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=9.0,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def frames_to_tensor(frames_BTHWC: torch.Tensor) -> torch.Tensor:
    """Turn uint8 frames into what the VAE takes.

    Args:
        frames_BTHWC: uint8.

    Returns:
        float32 (B, C, T, H, W) in -1..1.
    """
    return frames_BTHWC.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
