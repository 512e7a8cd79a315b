"""Latents of recorded clips as a model imagines them: noised in part and denoised again.

A decoder that has only ever seen what the encoder makes of true clips meets other latents when a
model imagines: what moves is a mean of several motions there. These still lie beside the truth, so
that the decoder can be shown both.

Shapes: N clips, B batch (1), F latent frames, C channels, H x W latents.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler
from tqdm import tqdm

from tavid_core.adapter import load_adapter
from tavid_core.errors import ConfigError
from tavid_core.model_card import read_model_card
from tavid_core.model_folder import find_adapter_folder, find_model_folder, load_pipeline
from tavid_core.weights_file import hash_folder
from training.cache import hash_clips
from training.cache_blocks import CacheBlocks
from training.cache_file import read_cache, write_joined
from training.clips import ClipRecord, read_frames, read_records, read_slot_masks
from training.noised_clip import ClipNoiser

__all__ = ["ImaginedLatents", "load_or_build_imagined"]

# Denoising steps that are done again, at most, the last ones of a rollout: after more of them the
# model would imagine another motion than that of the clip.
MAX_LAST_STEPS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImaginedLatents:
    """Imagines the ends of rollouts from noised clips; the same clips give the same latents.

    Args:
        noiser: Encodes and predicts.
        num_steps: Denoising steps of a whole rollout.
        num_slots: Mask channels of the model.
        folder: Clip folder.
        records: Clips of it.
    """

    noiser: ClipNoiser
    num_steps: int
    num_slots: int
    folder: Path
    records: Sequence[ClipRecord]

    @torch.no_grad()
    def __call__(self, indices: range) -> dict[str, torch.Tensor]:
        """Imagine some of the clips.

        Args:
            indices: Their places among the records; noise and number of steps depend on these.

        Returns:
            latents_NFCHW (float32, scaled).

        Raises:
            InputError: If a clip cannot be read, is of another size than the model's, or has no
                mask for a slot.
        """
        scheduler = CogVideoXDDIMScheduler.from_config(self.noiser.scheduler.config)
        scheduler.set_timesteps(self.num_steps)
        return {"latents_NFCHW": torch.cat([self._imagine(index, scheduler) for index in indices])}

    def _imagine(self, index: int, scheduler: CogVideoXDDIMScheduler) -> torch.Tensor:
        record, generator = self.records[index], torch.Generator().manual_seed(index)
        masks = read_slot_masks(self.folder, record, self.num_slots) if self.num_slots else ()
        clip = self.noiser.encode(read_frames(self.folder, record), masks, record.text)
        count = 1 + int(torch.randint(MAX_LAST_STEPS, (), generator=generator))
        timesteps = scheduler.timesteps[-count:]
        noise = torch.randn(clip.latents_BFCHW.shape, generator=generator)
        latents_BFCHW = scheduler.add_noise(
            clip.latents_BFCHW, noise.to(clip.latents_BFCHW), timesteps[:1]
        )
        for timestep in timesteps.tolist():
            velocity_BFCHW = self.noiser.velocity(clip, latents_BFCHW, timestep)
            latents_BFCHW = scheduler.step(velocity_BFCHW, timestep, latents_BFCHW).prev_sample
        return latents_BFCHW.cpu()


def load_or_build_imagined(
    folder: Path,
    model: str | Path,
    path: Path,
    *,
    vae: AutoencoderKLCogVideoX,
    adapter: str = "default",
    limit: int | None = None,
) -> torch.Tensor:
    """Read latents that a model imagined of clips, or imagine and write them.

    An interrupted call goes on where it was.

    Args:
        folder: Clip folder.
        model: "mini", or the diffusers folder of the model.
        path: The cache file, safetensors.
        vae: Whose decoder is to read the latents; the model is run on its device.
        adapter: A folder, "default" (of mini) or "none".
        limit: Take only the first clips.

    Returns:
        float32 (N, F, C, H, W), scaled, on the CPU.

    Raises:
        ConfigError: If the model's VAE has another encoder.
        InputError: If the file was made from other clips or by another model, or a clip does not
            fit the model.
    """
    records = read_records(folder)[:limit]
    base, adapter_folder = find_model_folder(model), find_adapter_folder(model, adapter)
    pipeline = load_pipeline(base, torch.float32).to(vae.device)
    _check_encoder(pipeline.vae, vae, model)
    manifest = None if adapter_folder is None else load_adapter(pipeline, adapter_folder)
    num_slots = pipeline.num_mask_slots
    files = hash_clips(folder, records, num_slots)
    parts = [hash_folder(each) for each in (base, adapter_folder) if each is not None]
    key = hashlib.sha256(json.dumps([*parts, files]).encode()).hexdigest()
    demand = "imagined latents must be those of these clips by this model"
    found = read_cache(path, key, demand)
    if found is None:
        imagine = ImaginedLatents(
            noiser=ClipNoiser(pipeline, manifest),
            num_steps=read_model_card(base).num_inference_steps,
            num_slots=num_slots,
            folder=folder,
            records=records,
        )
        blocks = CacheBlocks(path, key, files)
        with tqdm(total=len(files), desc="imagine", unit="clip") as bar:
            write_joined(path, blocks.compute(imagine, bar.update), {"key": key})
        blocks.remove()
        found = safetensors.torch.load_file(path), {}
    return found[0]["latents_NFCHW"]


def _check_encoder(
    model_vae: AutoencoderKLCogVideoX, vae: AutoencoderKLCogVideoX, model: str | Path
) -> None:
    """Refuse a model whose latents mean something else to this decoder."""
    theirs, ours = model_vae.encoder.state_dict(), vae.encoder.state_dict()
    is_same = theirs.keys() == ours.keys() and all(
        theirs[name].shape == tensor.shape
        # A model that is shipped has been rounded to half precision.
        and torch.allclose(theirs[name].float(), tensor.float(), rtol=1e-2, atol=1e-3)
        for name, tensor in ours.items()
    )
    if not is_same:
        raise ConfigError(
            f"model must have the VAE encoder of this run, got another in {str(model)!r}. "
            "Copy its vae/ into the run folder."
        )
