"""The losses of a fine-tuning step.

Shapes: B batch, F latent frames, C channels, H x W latents, N clips, S mask slots, L text tokens,
D text width, Q first-frame tokens.
"""

from __future__ import annotations

import torch

from tavid_core.attention import AttentionRecorder, token_grid
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.prompt import build_prompt, find_slot_indices
from training.batches import draw_batch, latent_masks, rotary_embedding
from training.cache import LatentCache
from training.device import half_precision
from training.finetune_config import FinetuneConfig
from training.losses import diffusion_loss, noisy_latents
from training.pretrain import tokenize
from training.supervision import attention_loss

__all__ = ["FinetuneLoss"]


class FinetuneLoss:
    """Compute the losses of a step from the cache; a function of (step, generator).

    Args:
        pipeline: Its transformer is prepared by `prepare_transformer`.
        cache: Latents, masks and captions of the clips.
        config: Of the run.
    """

    def __init__(
        self, pipeline: TargetAwarePipeline, cache: LatentCache, config: FinetuneConfig
    ) -> None:
        self.pipeline, self.cache, self.config = pipeline, cache, config
        transformer = pipeline.transformer
        self.device = transformer.device
        self.num_blocks = len(transformer.transformer_blocks)
        latent_hw = tuple(cache.latents_NFCHW.shape[-2:])
        self.rotary = rotary_embedding(transformer, cache.latents_NFCHW.shape[1])
        self.grid_hw = token_grid(transformer, latent_hw)
        self.masks_NSHW = latent_masks(cache, latent_hw)
        self.token_masks_NSQ = latent_masks(cache, self.grid_hw).flatten(2)
        self.states_LD, self.token_index = self._encode_texts()

    @torch.no_grad()
    def _encode_texts(self) -> tuple[dict[str, torch.Tensor], dict[str, list[int]]]:
        """Encode each caption once: the text encoder is frozen."""
        prompt_config, tokenizer = self.config.prompt, self.pipeline.tokenizer
        length = self.pipeline.transformer.config.max_text_seq_length
        states, index = {}, {}
        for caption in sorted(set(self.cache.captions)):
            ids_BL = tokenize(tokenizer, [build_prompt(caption, prompt_config)], length)
            states[caption] = self.pipeline.text_encoder(ids_BL.to(self.device))[0][0]
            index[caption] = list(find_slot_indices(tokenizer, caption, prompt_config, length))
        return states, index

    def __call__(self, _step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Draw a batch and compute its losses.

        Args:
            _step: Of the run; the generator carries all that depends on it.
            generator: Source of all randomness.

        Returns:
            "loss" and its parts.
        """
        config, scheduler = self.config, self.pipeline.scheduler
        supervision = config.supervision
        batch = draw_batch(
            self.cache,
            config.batch_size,
            generator,
            image_dropout=config.image_dropout,
            device=self.device,
        )
        captions = [self.cache.captions[i] for i in batch.index_B.tolist()]
        noisy, timesteps_B = noisy_latents(scheduler, batch.latents_BFCHW, generator)
        recorder = AttentionRecorder(
            token_index=[self.token_index[caption] for caption in captions],
            grid_hw=self.grid_hw,
            blocks=supervision.draw(self.num_blocks, generator),
            direction=supervision.direction,
        )
        with half_precision(self.device):
            prediction = self.pipeline.transformer(
                hidden_states=torch.cat(
                    [noisy, batch.image_BFCHW, self._mask_channels(noisy, batch.index_B)], dim=2
                ),
                encoder_hidden_states=torch.stack([self.states_LD[c] for c in captions]),
                timestep=timesteps_B,
                image_rotary_emb=self.rotary,
                attention_kwargs={"recorder": recorder} if supervision.weight else None,
                return_dict=False,
            )[0]
        diffusion = diffusion_loss(
            scheduler, prediction.float(), noisy, batch.latents_BFCHW, timesteps_B
        )
        if not supervision.weight:
            return {"loss": diffusion, "diffusion": diffusion}
        masks_BSQ = self.token_masks_NSQ[batch.index_B].to(self.device)
        attention = attention_loss(recorder.mean_map(), masks_BSQ, supervision.normalization)
        loss = diffusion + supervision.weight * attention
        return {"loss": loss, "diffusion": diffusion, "attention": attention}

    def _mask_channels(self, noisy_BFCHW: torch.Tensor, index_B: torch.Tensor) -> torch.Tensor:
        """Masks in the first latent frame, zeros after it (paper, visual path)."""
        num_slots = self.masks_NSHW.shape[1]
        channels = torch.zeros_like(noisy_BFCHW[:, :, :1]).repeat(1, 1, num_slots, 1, 1)
        if self.config.use_mask:
            channels[:, 0] = self.masks_NSHW[index_B].to(channels)
        return channels
