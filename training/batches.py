"""Batches drawn from the latent cache, each a function of its generator alone.

Shapes: B batch, F latent frames, C channels, H x W latents, N clips, S mask slots.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from numpy.typing import NDArray

from tavid_core.mask import mask_to_grid
from training.cache import LatentCache

__all__ = ["Batch", "draw_batch", "latent_masks", "masks_to_grids", "rotary_embedding"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """One training batch.

    Args:
        index_B: Which clips, int64.
        latents_BFCHW: Clean latents.
        image_BFCHW: Image latents: the first frame's, then zeros; all zeros where dropped.
    """

    index_B: torch.Tensor
    latents_BFCHW: torch.Tensor
    image_BFCHW: torch.Tensor


def draw_batch(
    cache: LatentCache,
    size: int,
    generator: torch.Generator,
    *,
    image_dropout: float = 0.05,
    device: torch.device | None = None,
) -> Batch:
    """Draw clips with replacement.

    Args:
        cache: All clips.
        size: Samples of the batch.
        generator: Source of all randomness.
        image_dropout: How often the image latents are zeroed.
        device: Where the latents go; None leaves them with the cache.

    Returns:
        The batch; its indices stay on the CPU.
    """
    index_B = torch.randint(len(cache), (size,), generator=generator)
    latents = cache.latents_NFCHW[index_B]
    image = torch.zeros_like(latents)
    keep_B = torch.rand(size, generator=generator) >= image_dropout
    image[:, 0] = _draw_images(cache, index_B, generator) * keep_B.view(-1, 1, 1, 1)
    return Batch(index_B=index_B, latents_BFCHW=latents.to(device), image_BFCHW=image.to(device))


def _draw_images(
    cache: LatentCache, index_B: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    num_images = cache.images_NKCHW.shape[1]
    if num_images == 1:
        return cache.images_NKCHW[index_B, 0]
    number_B = torch.randint(num_images, index_B.shape, generator=generator)
    return cache.images_NKCHW[index_B, number_B]


def latent_masks(cache: LatentCache, latent_hw: tuple[int, int]) -> torch.Tensor:
    """Shrink all masks to a grid.

    Args:
        cache: All clips.
        latent_hw: Rows and columns of the grid.

    Returns:
        0 or 1, float32 (N, S, H, W).
    """
    # One clip after the other: together, at the size of pictures, they are larger than the rest.
    grids = [
        masks_to_grids(masks_SHW[None].numpy().astype(bool), latent_hw)
        for masks_SHW in cache.masks_NSHW
    ]
    return torch.cat(grids)


def masks_to_grids(masks_NSHW: NDArray[np.bool_], grid_hw: tuple[int, int]) -> torch.Tensor:
    """Shrink the masks of several clips to a grid.

    Args:
        masks_NSHW: At the size of the pictures.
        grid_hw: Rows and columns of the grid.

    Returns:
        0 or 1, float32 (N, S, *grid_hw).
    """
    grids = [[mask_to_grid(mask, grid_hw) for mask in slots] for slots in masks_NSHW]
    return torch.from_numpy(np.array(grids))


def rotary_embedding(
    transformer: CogVideoXTransformer3DModel, num_latent_frames: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the rotary positions that the pipeline uses at the model's own size.

    Args:
        transformer: The model.
        num_latent_frames: F.

    Returns:
        Cosines and sines, on the model's device.
    """
    config = transformer.config
    grid = (config.sample_height // config.patch_size, config.sample_width // config.patch_size)
    return get_3d_rotary_pos_embed(
        embed_dim=config.attention_head_dim,
        crops_coords=((0, 0), grid),
        grid_size=grid,
        temporal_size=num_latent_frames,
        device=transformer.device,
    )
