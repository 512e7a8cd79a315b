"""Recorded clips with noise, run through a model as training runs them, one at a time.

Shapes: B batch (1), F latent frames, C channels, H x W latents, L text tokens, D text width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import SchedulerMixin
from numpy.typing import NDArray

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import InputError
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.prompt import build_prompt
from training.batches import masks_to_grids, rotary_embedding
from training.device import half_precision
from training.mini import frames_to_tensor
from training.pretrain import tokenize

__all__ = ["ClipNoiser", "EncodedClip", "NoisedPass"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """A clip as the transformer takes it.

    Args:
        latents_BFCHW: Clean and scaled, float32.
        conditions_BFCHW: Image latents in the first latent frame, then the mask channels, if the
            model has any.
        states_BLD: What the text encoder says of the caption.
    """

    latents_BFCHW: torch.Tensor
    conditions_BFCHW: torch.Tensor
    states_BLD: torch.Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisedPass:
    """What one pass began with and gave.

    Args:
        prediction_BFCHW: The transformer's output, float32.
        noisy_BFCHW: Its noisy input.
        timestep_B: int64.
    """

    prediction_BFCHW: torch.Tensor
    noisy_BFCHW: torch.Tensor
    timestep_B: torch.Tensor


class ClipNoiser:
    """Encodes clips and predicts them from their noised latents.

    Args:
        pipeline: The model, with an adapter or without.
        manifest: Of the adapter, or None.
    """

    def __init__(self, pipeline: TargetAwarePipeline, manifest: AdapterManifest | None) -> None:
        self._pipeline, self._manifest = pipeline, manifest
        self._device = pipeline.transformer.device

    @property
    def scheduler(self) -> SchedulerMixin:
        """The model's own."""
        return self._pipeline.scheduler

    def text(self, caption: str) -> str:
        """Say what the text encoder is given for a caption.

        Args:
            caption: Of the clip.

        Returns:
            The caption, with the adapter's sentence if there is an adapter.
        """
        if self._manifest is None:
            return caption
        return build_prompt(caption, self._manifest.prompt)

    @torch.no_grad()
    def encode(
        self, frames: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]], caption: str
    ) -> EncodedClip:
        """Encode a clip.

        Args:
            frames: RGB, uint8 (T, H, W, 3), of the model's size and length.
            masks: One per mask channel, bool (H, W); further ones are not looked at.
            caption: Without the adapter's sentence.

        Returns:
            The clip, on the model's device.

        Raises:
            InputError: If the clip has another size or length than the model's.
        """
        vae, sample_frames = self._pipeline.vae, self._pipeline.transformer.config.sample_frames
        wanted = (sample_frames, *self._pipeline.size_hw)
        if frames.shape[:3] != wanted:
            raise InputError(
                f"frames must be {wanted[0]} of {wanted[1]} x {wanted[2]} pixels, got "
                f"{' x '.join(map(str, frames.shape[:3]))}. Cut and scale the clips for this model."
            )
        video_BCTHW = frames_to_tensor(torch.from_numpy(frames[None])).to(self._device)
        scale = vae.config.scaling_factor
        with half_precision(self._device):
            latents = vae.encode(video_BCTHW).latent_dist.mean.float() * scale
            image = vae.encode(video_BCTHW[:, :, :1]).latent_dist.mean.float() * scale
        latents_BFCHW = latents.permute(0, 2, 1, 3, 4)
        image_BFCHW = torch.zeros_like(latents_BFCHW)
        image_BFCHW[:, :1] = image.permute(0, 2, 1, 3, 4)
        channels = self._mask_channels(latents_BFCHW, masks)
        length = self._pipeline.transformer.config.max_text_seq_length
        ids_BL = tokenize(self._pipeline.tokenizer, [self.text(caption)], length)
        return EncodedClip(
            latents_BFCHW=latents_BFCHW,
            conditions_BFCHW=torch.cat([image_BFCHW, *channels], dim=2),
            states_BLD=self._pipeline.text_encoder(ids_BL.to(self._device))[0],
        )

    @torch.no_grad()
    def predict(
        self,
        clip: EncodedClip,
        timestep: int,
        generator: torch.Generator,
        attention_kwargs: Mapping[str, Any] | None = None,
    ) -> NoisedPass:
        """Noise a clip and let the transformer predict.

        Args:
            clip: What `encode` gave.
            timestep: Of the scheduler, from 0.
            generator: Of the CPU; the noise comes from it.
            attention_kwargs: As the transformer takes them.

        Returns:
            The pass.
        """
        latents_BFCHW = clip.latents_BFCHW
        noise = torch.randn(latents_BFCHW.shape, generator=generator).to(self._device)
        timestep_B = torch.tensor([timestep], device=self._device)
        noisy = self._pipeline.scheduler.add_noise(latents_BFCHW, noise, timestep_B)
        prediction = self.velocity(clip, noisy, timestep, attention_kwargs)
        return NoisedPass(prediction_BFCHW=prediction, noisy_BFCHW=noisy, timestep_B=timestep_B)

    @torch.no_grad()
    def velocity(
        self,
        clip: EncodedClip,
        noisy_BFCHW: torch.Tensor,
        timestep: int,
        attention_kwargs: Mapping[str, Any] | None = None,
    ) -> torch.Tensor:
        """Let the transformer predict, from latents that have been noised or denoised in part.

        Args:
            clip: What `encode` gave; its clean latents are not looked at.
            noisy_BFCHW: Scaled latents at this timestep.
            timestep: Of the scheduler, from 0.
            attention_kwargs: As the transformer takes them.

        Returns:
            The transformer's output, float32 (B, F, C, H, W).
        """
        transformer = self._pipeline.transformer
        with half_precision(self._device):
            prediction = transformer(
                hidden_states=torch.cat([noisy_BFCHW, clip.conditions_BFCHW], dim=2),
                encoder_hidden_states=clip.states_BLD,
                timestep=torch.tensor([timestep], device=self._device),
                image_rotary_emb=rotary_embedding(transformer, noisy_BFCHW.shape[1]),
                attention_kwargs=None if attention_kwargs is None else dict(attention_kwargs),
                return_dict=False,
            )[0]
        return prediction.float()

    def _mask_channels(
        self, latents_BFCHW: torch.Tensor, masks: Sequence[NDArray[np.bool_]]
    ) -> list[torch.Tensor]:
        num_slots = self._pipeline.num_mask_slots
        if not num_slots:
            return []
        channels = torch.zeros_like(latents_BFCHW[:, :, :1]).repeat(1, 1, num_slots, 1, 1)
        grids_1SHW = masks_to_grids(
            np.stack(masks[:num_slots])[None], tuple(latents_BFCHW.shape[-2:])
        )
        channels[:, 0] = grids_1SHW.to(channels)
        return [channels]
