"""Latents computed once: what the VAE says of every clip, on disk, keyed by what made it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from tqdm import tqdm

from tavid_core.errors import InputError
from training.cache_blocks import CacheBlocks
from training.cache_file import read_cache, stale_cache, write_cache
from training.clips import METADATA_NAME, ClipRecord, read_frames, read_mask, read_records
from training.device import half_precision
from training.mini import frames_to_tensor

__all__ = ["LatentCache", "load_or_build_cache"]

# torch takes the fast convolution of CPUs for small videos only when there are two of them: five
# times as fast for the mini model. On a GPU a second one would cost memory and gain little.
CPU_AT_ONCE = 2


@dataclasses.dataclass(frozen=True)
class LatentCache:
    """All that training needs of a clip folder, in memory.

    Shapes: N clips, F latent frames, K noisy images, S mask slots, C channels, h x w latents,
    H x W pixels.

    Args:
        latents_NFCHW: Scaled means of the videos, float32.
        images_NKCHW: Scaled means of the first frames encoded alone, float32; K is 1 where they
            are clean.
        masks_NSHW: Masks at pixel size, uint8 0/1: of the target, the actor, further targets.
        captions: One per clip.
    """

    latents_NFCHW: torch.Tensor
    images_NKCHW: torch.Tensor
    masks_NSHW: torch.Tensor
    captions: tuple[str, ...]

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.captions)


def _key(
    folder: Path,
    vae: AutoencoderKLCogVideoX,
    records: Sequence[ClipRecord] | None,
    num_noisy_images: int,
    num_slots: int,
) -> str:
    digest = hashlib.sha256((folder / METADATA_NAME).read_bytes())
    # The encoder alone: a decoder trained further leaves every latent as it was.
    for name, tensor in sorted(vae.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    digest.update(str(vae.config.scaling_factor).encode())
    for record in records or ():
        digest.update(record.file_name.encode() + b"\n")
    if num_noisy_images or num_slots > 1:
        digest.update(f"{num_noisy_images} noisy images, {num_slots} slots".encode())
    return digest.hexdigest()


def _hash_files(folder: Path, record: ClipRecord, num_slots: int) -> str:
    digest = hashlib.sha256()
    for name in (record.file_name, *record.mask_names(num_slots)):
        path = folder / (name or "")
        digest.update(path.read_bytes() if path.is_file() else b"missing")
    return digest.hexdigest()[:16]


def _encode(vae: AutoencoderKLCogVideoX, video_BCTHW: torch.Tensor) -> torch.Tensor:
    # bfloat16 is five times faster on CPUs that have it, and its error is far below the noise.
    with half_precision(vae.device):
        mean_BCTHW = vae.encode(video_BCTHW.to(vae.device, vae.dtype)).latent_dist.mean.float()
    return (mean_BCTHW * vae.config.scaling_factor).permute(0, 2, 1, 3, 4).cpu()


def _encode_images(
    vae: AutoencoderKLCogVideoX, image_BCTHW: torch.Tensor, index: int, num_noisy_images: int
) -> torch.Tensor:
    """Encode frame 0 as it is, or several times with noise that depends on clip and number only."""
    if not num_noisy_images:
        return _encode(vae, image_BCTHW)[:, 0]
    noisy = []
    for number in range(num_noisy_images):
        generator = torch.Generator().manual_seed(index * 64 + number)
        # sigma = exp(N(-3, 0.5)) as CogVideoX-I2V and TAViD are trained (arXiv 2408.06072).
        sigma = torch.exp(-3.0 + 0.5 * torch.randn((), generator=generator))
        noise = torch.randn(image_BCTHW.shape, generator=generator)
        noisy.append(_encode(vae, image_BCTHW + sigma * noise)[0, 0])
    return torch.stack(noisy)


def _read_masks(folder: Path, record: ClipRecord, num_slots: int) -> torch.Tensor:
    names = record.mask_names(num_slots)
    if None in names:
        raise InputError(
            f"{record.file_name} must have a mask for each of {num_slots} slots, got {names}. "
            "Train with fewer slots, or add actor_mask_file and extra_mask_files."
        )
    masks = [torch.from_numpy(read_mask(folder, name)) for name in names]
    return torch.stack(masks).to(torch.uint8)


def _encode_clips(
    folder: Path,
    records: Sequence[ClipRecord],
    indices: range,
    vae: AutoencoderKLCogVideoX,
    num_noisy_images: int,
    num_slots: int,
) -> dict[str, torch.Tensor]:
    frames = np.stack([read_frames(folder, records[index]) for index in indices])
    videos = frames_to_tensor(torch.from_numpy(frames))
    images = [
        _encode_images(vae, video[None, :, :1], index, num_noisy_images)
        for index, video in zip(indices, videos, strict=True)
    ]
    masks = [_read_masks(folder, records[index], num_slots) for index in indices]
    return {
        "latents_NFCHW": _encode(vae, videos),
        "images_NKCHW": torch.stack(images),
        "masks_NSHW": torch.stack(masks),
    }


@torch.no_grad()
def load_or_build_cache(
    folder: Path,
    vae: AutoencoderKLCogVideoX,
    path: Path,
    limit: int | None = None,
    *,
    records: Sequence[ClipRecord] | None = None,
    num_noisy_images: int = 0,
    num_slots: int = 1,
) -> LatentCache:
    """Read the cache, or encode the clips and write it; an interrupted call goes on.

    Args:
        folder: Clip folder.
        vae: In eval mode, float32; encodes on its device.
        path: The cache file, safetensors.
        limit: Take only the first clips.
        records: Take these clips only; None = all of the folder.
        num_noisy_images: How often each conditioning image is encoded with noise; 0 = once,
            without.
        num_slots: Masks per clip: target, actor, further targets.

    Returns:
        The cache, on the CPU.

    Raises:
        InputError: If the file was made from other clips, by another VAE or with other settings,
            or a clip has no actor mask where one is needed.
    """
    key = _key(folder, vae, records, num_noisy_images, num_slots)
    records = (read_records(folder) if records is None else records)[:limit]
    captions = tuple(record.text for record in records)
    files = [_hash_files(folder, record, num_slots) for record in records]
    demand = "latent cache must belong to these clips, this VAE and these settings"
    found = read_cache(path, key, demand)
    if found is not None and len(found[0]["latents_NFCHW"]) >= len(records):
        # Files of older versions do not say which videos they were made of.
        if json.loads(found[1].get("files", json.dumps(files)))[: len(files)] != files:
            raise stale_cache(path, demand)
        kept = {name: tensor[: len(records)] for name, tensor in found[0].items()}
        return LatentCache(**kept, captions=captions)
    blocks = CacheBlocks(path, key, files, at_once=CPU_AT_ONCE if vae.device.type == "cpu" else 1)

    def encode(indices: range) -> dict[str, torch.Tensor]:
        return _encode_clips(folder, records, indices, vae, num_noisy_images, num_slots)

    with tqdm(total=len(records), desc="encode", unit="clip") as bar:
        tensors = blocks.compute(encode, bar.update)
    write_cache(path, tensors, {"key": key, "files": json.dumps(files)})
    blocks.remove()
    return LatentCache(**tensors, captions=captions)
