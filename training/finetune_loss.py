"""The losses of a fine-tuning step.

Shapes: B batch, F latent frames, C channels, H x W latents, N clips, S mask slots, L text tokens,
D text width, Q first-frame tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tavid_core.attention import AttentionRecorder, token_grid
from tavid_core.pipeline import TargetAwarePipeline
from training.batches import latent_masks, masks_to_grids, rotary_embedding
from training.cache import LatentCache
from training.device import half_precision
from training.finetune_config import FinetuneConfig
from training.losses import diffusion_loss
from training.samples import SampleBatch, SampleDrawer
from training.sloppy_masks import make_sloppy
from training.supervision import attention_loss
from training.texts import FrozenTexts, find_tokens, tokenize_prompts

__all__ = ["FinetuneLoss"]


class FinetuneLoss:
    """Compute the losses of samples from the caches; a function of (step, indices).

    Args:
        pipeline: Its transformer is prepared by `prepare_transformer`.
        cache: Latents, masks and captions of the clips.
        config: Of the run.
        texts: The encoded captions, or the text encoder whose slot tokens are trained.
        transformer: What to call instead of the pipeline's own, as several processes need.
    """

    def __init__(
        self,
        pipeline: TargetAwarePipeline,
        cache: LatentCache,
        config: FinetuneConfig,
        texts: FrozenTexts | nn.Module,
        transformer: nn.Module | None = None,
    ) -> None:
        self.pipeline, self.cache, self.config, self.texts = pipeline, cache, config, texts
        self.transformer = pipeline.transformer if transformer is None else transformer
        self.device = pipeline.transformer.device
        self.num_blocks = len(pipeline.transformer.transformer_blocks)
        latent_hw = tuple(cache.latents_NFCHW.shape[-2:])
        self.rotary = rotary_embedding(pipeline.transformer, cache.latents_NFCHW.shape[1])
        self.grid_hw = token_grid(pipeline.transformer, latent_hw)
        self.masks_NSHW = latent_masks(cache, latent_hw)
        self.token_masks_NSQ = latent_masks(cache, self.grid_hw).flatten(2)
        self.max_tokens = pipeline.transformer.config.max_text_seq_length
        found = find_tokens(pipeline.tokenizer, cache.captions, config.prompt, self.max_tokens)
        # Of no text any token will do: its map is recorded like the others and then left out.
        self.token_index: dict[str | None, list[int]] = {
            **found,
            None: [0] * config.prompt.num_slots,
        }
        self.samples = SampleDrawer(
            cache,
            seed=config.loop.seed,
            batch_size=config.batch_size,
            num_timesteps=pipeline.scheduler.config.num_train_timesteps,
            image_dropout=config.image_dropout,
            condition_dropout=config.condition_dropout,
        )

    def __call__(self, step: int, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Compute the losses of some samples of a step.

        Args:
            step: Of the run.
            indices: Which samples of the global batch.

        Returns:
            "loss" and its parts.
        """
        supervision, scheduler = self.config.supervision, self.pipeline.scheduler
        batch = self.samples.draw(step, indices, self.device)
        noisy = scheduler.add_noise(batch.latents_BFCHW, batch.noise_BFCHW, batch.timesteps_B)
        captions = self._captions(batch)
        recorder = AttentionRecorder(
            token_index=[self.token_index[caption] for caption in captions],
            grid_hw=self.grid_hw,
            blocks=supervision.draw(self.num_blocks, self.samples.step_generator(step)),
            direction=supervision.direction,
        )
        masks, masks_BSQ = self._masks(batch.clips_B, step, indices)
        channels = self._mask_channels(noisy, masks * ~batch.is_bare_B.view(-1, 1, 1, 1))
        prediction = self._predict(noisy, batch, channels, captions, recorder)
        diffusion = diffusion_loss(
            scheduler, prediction.float(), noisy, batch.latents_BFCHW, batch.timesteps_B
        )
        if not supervision.weight:
            return {"loss": diffusion, "diffusion": diffusion}
        attention = self._attention(recorder.mean_map(), masks_BSQ, ~batch.is_bare_B)
        loss = diffusion + supervision.weight * attention
        return {"loss": loss, "diffusion": diffusion, "attention": attention}

    def _captions(self, batch: SampleBatch) -> list[str | None]:
        captions = [self.cache.captions[i] for i in batch.clips_B.tolist()]
        return [
            None if is_bare else caption
            for caption, is_bare in zip(captions, batch.is_bare_B.tolist(), strict=True)
        ]

    def _attention(
        self, map_BSQ: torch.Tensor, masks_BSQ: torch.Tensor, is_shown_B: torch.Tensor
    ) -> torch.Tensor:
        """Give the attention loss; without text and masks there is nothing to look at, hence 0."""
        if not is_shown_B.any():
            return map_BSQ.sum() * 0
        is_shown_B = is_shown_B.to(map_BSQ.device)
        loss = attention_loss(
            map_BSQ[is_shown_B], masks_BSQ[is_shown_B], self.config.supervision.normalization
        )
        # By the whole number, so that it does not matter who shares a forward pass with whom.
        return loss * is_shown_B.float().mean()

    def _predict(
        self,
        noisy_BFCHW: torch.Tensor,
        batch: SampleBatch,
        masks: torch.Tensor,
        captions: Sequence[str | None],
        recorder: AttentionRecorder,
    ) -> torch.Tensor:
        with half_precision(self.device, enabled=self.config.uses_bfloat16):
            return self.transformer(
                hidden_states=torch.cat([noisy_BFCHW, batch.image_BFCHW, masks], dim=2),
                encoder_hidden_states=self._encode(captions),
                timestep=batch.timesteps_B,
                image_rotary_emb=self.rotary,
                attention_kwargs={"recorder": recorder} if self.config.supervision.weight else None,
                return_dict=False,
            )[0]

    def _encode(self, captions: Sequence[str | None]) -> torch.Tensor:
        if isinstance(self.texts, FrozenTexts):
            return self.texts(captions).to(self.device)
        ids_BL = tokenize_prompts(
            self.pipeline.tokenizer, captions, self.config.prompt, self.max_tokens
        )
        return self.texts(ids_BL.to(self.device))

    def _masks(
        self, clips_B: torch.Tensor, step: int, indices: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the masks of the channel (B, S, H, W), and those of the attention loss (B, S, Q)."""
        shown_BSHW, wanted_BSQ = self.masks_NSHW[clips_B], self.token_masks_NSQ[clips_B]
        if self.config.sloppy_masks:
            spoilt_BSHW = self._spoil(clips_B, step, indices)
            shown_BSHW = masks_to_grids(spoilt_BSHW, tuple(shown_BSHW.shape[-2:]))
            if self.config.sloppy_loss_masks:
                wanted_BSQ = masks_to_grids(spoilt_BSHW, self.grid_hw).flatten(2)
        return shown_BSHW, wanted_BSQ.to(self.device)

    def _mask_channels(self, noisy_BFCHW: torch.Tensor, masks_BSHW: torch.Tensor) -> torch.Tensor:
        """Masks in the first latent frame, zeros after it (paper, visual path)."""
        num_slots = masks_BSHW.shape[1]
        channels = torch.zeros_like(noisy_BFCHW[:, :, :1]).repeat(1, 1, num_slots, 1, 1)
        if self.config.use_mask:
            channels[:, 0] = masks_BSHW.to(channels)
        return channels

    def _spoil(self, clips_B: torch.Tensor, step: int, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Give the masks as people give them, (B, S, H, W); a function of (seed, step, index)."""
        seed, spoilt = self.config.loop.seed, []
        for clip, index in zip(clips_B.tolist(), indices, strict=True):
            exact_SHW = self.cache.masks_NSHW[clip].numpy().astype(bool)
            number = step * self.config.batch_size + index
            slots = [make_sloppy(mask, seed, number) if mask.any() else mask for mask in exact_SHW]
            spoilt.append(np.stack(slots))
        return np.stack(spoilt)
