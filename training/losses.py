"""The training objectives: x0 from v-prediction, weighted; and frames against frames.

Shapes: B batch, F latent frames, T frames, N all frames of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from diffusers import CogVideoXDPMScheduler
from torch.nn import functional

__all__ = ["MOTION_THRESHOLD", "diffusion_loss", "frame_loss", "noisy_latents"]

MOTION_THRESHOLD = 0.15
# A square somewhat larger than the objects of the mini world.
CONTRAST_SIDE_PX = 15
CONTRAST_THRESHOLD = 0.25
SQUARE_WEIGHT = 2.0


def noisy_latents(
    scheduler: CogVideoXDPMScheduler,
    latents_BFCHW: torch.Tensor,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw timesteps and add noise.

    Args:
        scheduler: Of the model.
        latents_BFCHW: Clean, scaled latents.
        generator: Of the CPU; all randomness comes from it.

    Returns:
        Noisy latents (B, F, C, H, W) and timesteps int64 (B,).
    """
    count = scheduler.config.num_train_timesteps
    timesteps_B = torch.randint(count, (len(latents_BFCHW),), generator=generator)
    noise = torch.randn(latents_BFCHW.shape, generator=generator)
    timesteps_B, noise = timesteps_B.to(latents_BFCHW.device), noise.to(latents_BFCHW.device)
    return scheduler.add_noise(latents_BFCHW, noise, timesteps_B), timesteps_B


def diffusion_loss(
    scheduler: CogVideoXDPMScheduler,
    prediction_BFCHW: torch.Tensor,
    noisy_BFCHW: torch.Tensor,
    latents_BFCHW: torch.Tensor,
    timesteps_B: torch.Tensor,
) -> torch.Tensor:
    """Compare the predicted clean latents with the true ones.

    The weight 1 / (1 - alpha_bar) makes it the plain v loss; it is written as the authors do
    because the weight of the last timestep is what people get wrong.

    Args:
        scheduler: Of the model; v-prediction.
        prediction_BFCHW: The transformer's output.
        noisy_BFCHW: Its input.
        latents_BFCHW: The truth.
        timesteps_B: int64.

    Returns:
        A scalar.

    References:
        TAViD (arXiv 2503.18950), training objective; CogVideoX, x0 loss from v-prediction.
    """
    clean_BFCHW = scheduler.get_velocity(prediction_BFCHW, noisy_BFCHW, timesteps_B)
    alphas_cumprod = scheduler.alphas_cumprod.to(timesteps_B.device)
    weight_B = 1.0 / (1.0 - alphas_cumprod[timesteps_B])
    error_B = (clean_BFCHW - latents_BFCHW).square().flatten(1).mean(1)
    return (weight_B * error_B).mean()


def frame_loss(
    output_BCTHW: torch.Tensor, truth_BCTHW: torch.Tensor, *, edge_weight: float = 0.0
) -> torch.Tensor:
    """Compare decoded frames with the true ones, small and moving things more than others.

    Small moving things carry the meaning and would be drowned by the walls. An absolute error
    alone forgives them a wrong colour: it is rare, and most pixels around are right. Its square,
    which a yellow that became orange cannot hide from, is counted with it.

    Args:
        output_BCTHW: Decoded frames, -1..1.
        truth_BCTHW: True frames, -1..1.
        edge_weight: Weight of the differences between neighbouring pixels, which keeps edges
            sharp; 0 leaves them out.

    Returns:
        A scalar, a weighted mean of absolute and squared errors.
    """
    motion_B1THW = (truth_BCTHW - truth_BCTHW[:, :, :1]).abs().amax(dim=1, keepdim=True)
    weight_B1THW = 1.0 + 4.0 * (motion_B1THW > MOTION_THRESHOLD)
    weight_B1THW = weight_B1THW + 4.0 * (_contrast(truth_BCTHW) > CONTRAST_THRESHOLD)
    error = output_BCTHW - truth_BCTHW
    loss = _weighted_mean(error.abs() + SQUARE_WEIGHT * error.square(), weight_B1THW)
    if edge_weight:
        for axis in (-2, -1):
            inner = weight_B1THW.narrow(axis, 1, weight_B1THW.shape[axis] - 1)
            loss = loss + edge_weight * _weighted_mean(error.diff(dim=axis).abs(), inner)
    return loss


def _contrast(frames_BCTHW: torch.Tensor) -> torch.Tensor:
    """Say how far each pixel is from the mean of what is around it, (B, 1, T, H, W)."""
    frames_NCHW = frames_BCTHW.transpose(1, 2).flatten(0, 1)
    around_NCHW = functional.avg_pool2d(
        frames_NCHW, CONTRAST_SIDE_PX, 1, CONTRAST_SIDE_PX // 2, count_include_pad=False
    )
    contrast_NHW = (frames_NCHW - around_NCHW).abs().amax(dim=1)
    return contrast_NHW.unflatten(0, (len(frames_BCTHW), -1))[:, None]


def _weighted_mean(error_BCTHW: torch.Tensor, weight_B1THW: torch.Tensor) -> torch.Tensor:
    num_channels = error_BCTHW.shape[1]
    return (error_BCTHW * weight_B1THW).sum() / (weight_B1THW.sum() * num_channels)
