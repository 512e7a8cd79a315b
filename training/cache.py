"""Latents computed once: what the VAE says of every clip, on disk, keyed by what made it."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from tavid_core.errors import InputError
from training.clips import METADATA_NAME, read_frames, read_mask, read_records
from training.device import half_precision
from training.mini import frames_to_tensor

__all__ = ["LatentCache", "load_or_build_cache"]


@dataclasses.dataclass(frozen=True)
class LatentCache:
    """All that training needs of a clip folder, in memory.

    Shapes: N clips, F latent frames, C channels, h x w latents, H x W pixels.

    Args:
        latents_NFCHW: Scaled means of the videos, float32.
        images_NCHW: Scaled means of the first frames encoded alone, float32.
        masks_NHW: Target masks at pixel size, uint8 0/1.
        captions: One per clip.
    """

    latents_NFCHW: torch.Tensor
    images_NCHW: torch.Tensor
    masks_NHW: torch.Tensor
    captions: tuple[str, ...]

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.captions)


def _key(folder: Path, vae: AutoencoderKLCogVideoX) -> str:
    digest = hashlib.sha256((folder / METADATA_NAME).read_bytes())
    # The encoder alone: a decoder trained further leaves every latent as it was.
    for name, tensor in sorted(vae.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    digest.update(str(vae.config.scaling_factor).encode())
    return digest.hexdigest()


def _encode(vae: AutoencoderKLCogVideoX, video_BCTHW: torch.Tensor) -> torch.Tensor:
    # bfloat16 is five times faster on CPUs that have it, and its error is far below the noise.
    with half_precision(vae.device):
        mean_BCTHW = vae.encode(video_BCTHW.to(vae.device)).latent_dist.mean.float()
    return (mean_BCTHW * vae.config.scaling_factor).permute(0, 2, 1, 3, 4).cpu()


@torch.no_grad()
def load_or_build_cache(
    folder: Path, vae: AutoencoderKLCogVideoX, path: Path, limit: int | None = None
) -> LatentCache:
    """Read the cache, or encode the clips and write it.

    Args:
        folder: Clip folder.
        vae: In eval mode, float32; encodes on its device.
        path: The cache file, safetensors.
        limit: Take only the first clips.

    Returns:
        The cache, on the CPU.

    Raises:
        InputError: If the file was made from other clips or by another VAE.
    """
    records = read_records(folder)[:limit]
    captions = tuple(record.text for record in records)
    key = _key(folder, vae)
    if path.is_file():
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        if metadata.get("key") != key:
            raise InputError(
                f"latent cache must belong to these clips and this VAE, got {path.name} of "
                "others. Delete it or name another file."
            )
        tensors = load_file(path)
        if len(tensors["latents_NFCHW"]) >= len(records):
            kept = {name: tensor[: len(records)] for name, tensor in tensors.items()}
            return LatentCache(**kept, captions=captions)
    latents, images, masks = [], [], []
    for record in tqdm(records, desc="encode", unit="clip"):
        video = frames_to_tensor(torch.from_numpy(read_frames(folder, record)[None]))
        latents.append(_encode(vae, video)[0])
        images.append(_encode(vae, video[:, :, :1])[0, 0])
        masks.append(torch.from_numpy(read_mask(folder, record.mask_file)).to(torch.uint8))
    tensors = {
        "latents_NFCHW": torch.stack(latents),
        "images_NCHW": torch.stack(images),
        "masks_NHW": torch.stack(masks),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"key": key})
    return LatentCache(**tensors, captions=captions)
