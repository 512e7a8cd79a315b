"""Latents computed once: what the VAE says of every clip, on disk, keyed by what made it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from diffusers import AutoencoderKLCogVideoX
from tqdm import tqdm

from training.cache_blocks import CacheBlocks
from training.cache_file import read_cache, stale_cache, write_joined
from training.clip_encoder import ClipEncoder
from training.clips import METADATA_NAME, ClipRecord, read_frames, read_records
from training.device import is_half_precision

__all__ = ["LatentCache", "hash_clips", "load_or_build_cache"]

# torch takes the fast convolution of CPUs for small videos only when there are two of them: five
# times as fast for the mini model.
CPU_AT_ONCE = 2
# A GPU waits for the next small video longer than it works at one; a clip of CogVideoX-5B has more
# pixels than this and is encoded alone.
GPU_AT_ONCE_PIXELS = 2**22


@dataclasses.dataclass(frozen=True)
class LatentCache:
    """All that training needs of a clip folder, mapped from its file.

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


def _key(encoder: ClipEncoder, records: Sequence[ClipRecord] | None) -> str:
    vae = encoder.vae
    digest = hashlib.sha256((encoder.folder / METADATA_NAME).read_bytes())
    # The encoder alone: a decoder trained further leaves every latent as it was.
    for name, tensor in sorted(vae.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    digest.update(str(vae.config.scaling_factor).encode())
    for record in records or ():
        digest.update(record.file_name.encode() + b"\n")
    if encoder.num_noisy_images or encoder.num_slots > 1:
        text = f"{encoder.num_noisy_images} noisy images, {encoder.num_slots} slots"
        digest.update(text.encode())
    if encoder.is_half or vae.dtype != torch.float32:
        # Float32 is not named: what was made before the precision was in the key stays valid.
        products = torch.bfloat16 if encoder.is_half else vae.dtype
        digest.update(f"weights {vae.dtype}, products {products}".encode())
    return digest.hexdigest()


def hash_clips(folder: Path, records: Sequence[ClipRecord], num_slots: int) -> list[str]:
    """Hash what clips are made of.

    Args:
        folder: Clip folder.
        records: Clips of it.
        num_slots: Masks per clip that count: target, actor, further targets.

    Returns:
        First digits of a SHA-256 for each, of its video and masks.
    """
    return [_hash_files(folder, record, num_slots) for record in records]


def _hash_files(folder: Path, record: ClipRecord, num_slots: int) -> str:
    digest = hashlib.sha256()
    for name in (record.file_name, *record.mask_names(num_slots)):
        path = folder / (name or "")
        digest.update(path.read_bytes() if path.is_file() else b"missing")
    return digest.hexdigest()[:16]


def load_or_build_cache(
    folder: Path,
    vae: AutoencoderKLCogVideoX,
    path: Path,
    limit: int | None = None,
    *,
    records: Sequence[ClipRecord] | None = None,
    num_noisy_images: int = 0,
    num_slots: int = 1,
    uses_bfloat16: bool | None = None,
) -> LatentCache:
    """Read the cache, or encode the clips and write it; an interrupted call goes on.

    Args:
        folder: Clip folder.
        vae: In eval mode; encodes on its device, in the type of its weights.
        path: The cache file, safetensors.
        limit: Take only the first clips.
        records: Take these clips only; None = all of the folder.
        num_noisy_images: How often each conditioning image is encoded with noise; 0 = once,
            without.
        num_slots: Masks per clip: target, actor, further targets.
        uses_bfloat16: Whether matrix products are in bfloat16; None = where the device is faster
            with it.

    Returns:
        The cache, on the CPU.

    Raises:
        InputError: If the file was made from other clips, by another VAE, with other settings
            or in another precision, or a clip has no mask for a slot.
    """
    chosen = (read_records(folder) if records is None else records)[:limit]
    encoder = ClipEncoder(
        folder=folder,
        records=chosen,
        vae=vae,
        num_noisy_images=num_noisy_images,
        num_slots=num_slots,
        is_half=is_half_precision(vae.device, enabled=uses_bfloat16),
    )
    key = _key(encoder, records)
    captions = tuple(record.text for record in chosen)
    files = hash_clips(folder, chosen, num_slots)
    demand = "latent cache must belong to these clips, this VAE, these settings and this precision"
    found = read_cache(path, key, demand)
    if found is not None and len(found[0]["latents_NFCHW"]) >= len(chosen):
        # Files of older versions do not say which videos they were made of.
        if json.loads(found[1].get("files", json.dumps(files)))[: len(files)] != files:
            raise stale_cache(path, demand)
        tensors = found[0]
    else:
        tensors = _build(path, key, encoder, files)
    kept = {name: tensor[: len(chosen)] for name, tensor in tensors.items()}
    return LatentCache(**kept, captions=captions)


def _build(
    path: Path, key: str, encoder: ClipEncoder, files: Sequence[str]
) -> dict[str, torch.Tensor]:
    at_once = CPU_AT_ONCE
    if encoder.vae.device.type != "cpu":
        num_pixels = read_frames(encoder.folder, encoder.records[0])[..., 0].size
        at_once = max(1, GPU_AT_ONCE_PIXELS // num_pixels)
    blocks = CacheBlocks(path, key, files, at_once=at_once)
    with tqdm(total=len(files), desc="encode", unit="clip") as bar:
        parts = blocks.compute(encoder, bar.update)
    write_joined(path, parts, {"key": key, "files": json.dumps(files)})
    blocks.remove()
    return safetensors.torch.load_file(path)
