"""What the VAE says of clips: latents, conditioning images and masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX

from training.clips import ClipRecord, read_frames, read_slot_masks
from training.device import half_precision
from training.mini import frames_to_tensor

__all__ = ["ClipEncoder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipEncoder:
    """Encodes clips of a folder; the same clips give the same tensors.

    Shapes: N clips, F latent frames, K noisy images, S mask slots, C channels, H x W latents or
    pixels.

    Args:
        folder: Clip folder.
        records: Clips of it.
        vae: In eval mode; encodes on its device, in the type of its weights.
        num_noisy_images: How often each conditioning image is encoded with noise; 0 = once,
            without.
        num_slots: Masks per clip: target, actor, further targets.
        is_half: Whether matrix products are in bfloat16, whose error is far below the noise of
            training.
    """

    folder: Path
    records: Sequence[ClipRecord]
    vae: AutoencoderKLCogVideoX
    num_noisy_images: int
    num_slots: int
    is_half: bool

    @torch.no_grad()
    def __call__(self, indices: range) -> dict[str, torch.Tensor]:
        """Encode some of the clips.

        Args:
            indices: Their places among the records.

        Returns:
            latents_NFCHW and images_NKCHW (float32, scaled means), masks_NSHW (uint8 0/1, pixels).

        Raises:
            InputError: If a clip cannot be read, or has no mask for a slot.
        """
        records = [self.records[index] for index in indices]
        frames = np.stack([read_frames(self.folder, record) for record in records])
        videos_BCTHW = frames_to_tensor(torch.from_numpy(frames))
        return {
            "latents_NFCHW": self._encode(videos_BCTHW),
            "images_NKCHW": self._encode_images(videos_BCTHW[:, :, :1], indices),
            "masks_NSHW": torch.stack([self._read_masks(record) for record in records]),
        }

    def _encode(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        vae = self.vae
        with half_precision(vae.device, enabled=self.is_half):
            mean_BCTHW = vae.encode(video_BCTHW.to(vae.device, vae.dtype)).latent_dist.mean.float()
        return (mean_BCTHW * vae.config.scaling_factor).permute(0, 2, 1, 3, 4).cpu()

    def _encode_images(self, images_BCTHW: torch.Tensor, indices: range) -> torch.Tensor:
        """Encode first frames as they are, or several times with noise of clip and number only."""
        if not self.num_noisy_images:
            return self._encode(images_BCTHW)
        noisy = []
        for image_CTHW, index in zip(images_BCTHW, indices, strict=True):
            for number in range(self.num_noisy_images):
                generator = torch.Generator().manual_seed(index * 64 + number)
                # sigma = exp(N(-3, 0.5)) as CogVideoX-I2V and TAViD are trained (arXiv 2408.06072).
                sigma = torch.exp(-3.0 + 0.5 * torch.randn((), generator=generator))
                noise = torch.randn(image_CTHW[None].shape, generator=generator)
                noisy.append(self._encode(image_CTHW[None] + sigma * noise)[:, 0])
        return torch.cat(noisy).unflatten(0, (len(indices), self.num_noisy_images))

    def _read_masks(self, record: ClipRecord) -> torch.Tensor:
        masks = read_slot_masks(self.folder, record, self.num_slots)
        return torch.from_numpy(np.stack(masks)).to(torch.uint8)
