"""Fine-tune an adapter: `python -m training.finetune mini --base BASE --clips CLIPS --out ADAPTER`.

The base stays frozen; LoRA on the attention, the widened patch projection and nothing else is
trained, on the diffusion loss and the attention loss of the slot token.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig

from tavid_core.adapter import ADAPTER_NAME, save_adapter, widen_patch_embed
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.attention import AttentionRecorder, install_processors, token_grid
from tavid_core.errors import TavidError
from tavid_core.mask import mask_to_grid
from tavid_core.model_card import MODEL_CARD_FILE, read_model_card
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.prompt import build_prompt, find_slot_indices
from tavid_core.weights_file import hash_folder
from training.batches import draw_batch, latent_masks, rotary_embedding
from training.cache import LatentCache, load_or_build_cache
from training.clips import METADATA_NAME
from training.device import half_precision, pick_device
from training.finetune_config import FinetuneConfig, with_settings
from training.losses import attention_loss, diffusion_loss, noisy_latents
from training.pretrain import tokenize
from training.recipes import RECIPES
from training.trainer import apply_weights, run_loop

LORA_TARGETS = ("to_k", "to_out.0", "to_q", "to_v")


def prepare_model(pipeline: TargetAwarePipeline, config: FinetuneConfig) -> None:
    """Freeze the base, widen the patch projection, add LoRA and the recording processors.

    Args:
        pipeline: The base model; changed in place.
        config: Of the run.
    """
    transformer = pipeline.transformer
    for module in (transformer, pipeline.text_encoder, pipeline.vae):
        module.requires_grad_(False)
    widen_patch_embed(transformer, config.prompt.num_slots)
    transformer.add_adapter(
        LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,
            target_modules=list(LORA_TARGETS),
            init_lora_weights=True,
        ),
        adapter_name=ADAPTER_NAME,
    )
    transformer.patch_embed.proj.requires_grad_(True)
    install_processors(transformer, config.attention_blocks)


class FinetuneLoss:
    """Compute the losses of a step from the cache; a function of (step, generator).

    Args:
        pipeline: Prepared by `prepare_model`.
        cache: Latents, masks and captions of the clips.
        config: Of the run.
    """

    def __init__(
        self, pipeline: TargetAwarePipeline, cache: LatentCache, config: FinetuneConfig
    ) -> None:
        self.pipeline, self.cache, self.config = pipeline, cache, config
        transformer = pipeline.transformer
        self.device = transformer.device
        self.rotary = rotary_embedding(transformer, cache.latents_NFCHW.shape[1])
        self.masks_NHW = latent_masks(cache, tuple(cache.latents_NFCHW.shape[-2:]))
        self.grid_hw = token_grid(transformer, tuple(cache.latents_NFCHW.shape[-2:]))
        self.token_masks_NQ = torch.stack(
            [
                torch.from_numpy(mask_to_grid(mask.numpy().astype(bool), self.grid_hw)).flatten()
                for mask in cache.masks_NHW
            ]
        )
        self.states_NLD, self.token_index = self._encode_texts()

    @torch.no_grad()
    def _encode_texts(self) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
        """Encode each caption once: the text encoder is frozen."""
        prompt_config, tokenizer = self.config.prompt, self.pipeline.tokenizer
        length = self.pipeline.transformer.config.max_text_seq_length
        states, index = {}, {}
        for caption in sorted(set(self.cache.captions)):
            ids_BL = tokenize(tokenizer, [build_prompt(caption, prompt_config)], length)
            states[caption] = self.pipeline.text_encoder(ids_BL.to(self.device))[0][0]
            index[caption] = find_slot_indices(tokenizer, caption, prompt_config, length)[0]
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
        batch = draw_batch(
            self.cache,
            config.batch_size,
            generator,
            image_dropout=config.image_dropout,
            device=self.device,
        )
        captions = [self.cache.captions[i] for i in batch.index_B.tolist()]
        noisy, timesteps_B = noisy_latents(scheduler, batch.latents_BFCHW, generator)
        mask_BF1HW = torch.zeros_like(noisy[:, :, :1])
        mask_BF1HW[:, 0, 0] = self.masks_NHW[batch.index_B].to(self.device)
        order = torch.randperm(len(config.attention_blocks), generator=generator)
        blocks = [config.attention_blocks[i] for i in order[: config.num_blocks_per_step].tolist()]
        recorder = AttentionRecorder(
            token_index=[self.token_index[c] for c in captions],
            grid_hw=self.grid_hw,
            blocks=blocks,
        )
        with half_precision(self.device):
            prediction = self.pipeline.transformer(
                hidden_states=torch.cat([noisy, batch.image_BFCHW, mask_BF1HW], dim=2),
                encoder_hidden_states=torch.stack([self.states_NLD[c] for c in captions]),
                timestep=timesteps_B,
                image_rotary_emb=self.rotary,
                attention_kwargs={"recorder": recorder} if config.attention_weight else None,
                return_dict=False,
            )[0]
        diffusion = diffusion_loss(
            scheduler, prediction.float(), noisy, batch.latents_BFCHW, timesteps_B
        )
        if not config.attention_weight:
            return {"loss": diffusion, "diffusion": diffusion}
        masks_BQ = self.token_masks_NQ[batch.index_B].to(self.device)
        attention = attention_loss(recorder.mean_map(), masks_BQ)
        loss = diffusion + config.attention_weight * attention
        return {"loss": loss, "diffusion": diffusion, "attention": attention}


def finetune(
    config: FinetuneConfig,
    base: Path,
    clips: Path,
    cache_file: Path,
    out: Path,
    limit: int | None = None,
    device: torch.device | None = None,
) -> None:
    """Train an adapter and write its folder.

    Args:
        config: Of the run.
        base: Diffusers folder of the base model.
        clips: Clip folder with masks.
        cache_file: Where latents are cached.
        out: Adapter folder to write; checkpoints go beside it, into `<out>_run`.
        limit: Use only the first clips.
        device: Where to train; None = the CPU.
    """
    torch.manual_seed(config.loop.seed)
    pipeline = TargetAwarePipeline.from_pretrained(base, use_safetensors=True)
    pipeline.to(device or torch.device("cpu"))
    pipeline.vae.eval(), pipeline.text_encoder.eval()
    cache = load_or_build_cache(clips, pipeline.vae, cache_file, limit)
    prepare_model(pipeline, config)
    modules = {"transformer": pipeline.transformer}
    run_folder = out.with_name(out.name + "_run")
    loss = FinetuneLoss(pipeline, cache, config)
    apply_weights(modules, run_loop(config.loop, run_folder, modules, loss, title="adapter"))
    save_adapter(
        out,
        pipeline.transformer,
        AdapterManifest(
            base_model=_name_of(base),
            base_model_sha256=hash_folder(base),
            prompt=config.prompt,
            num_mask_slots=config.prompt.num_slots,
            lora_rank=config.lora_rank,
            lora_alpha=config.lora_alpha,
            lora_targets=LORA_TARGETS,
            attention_blocks=config.attention_blocks,
            map_normalization="sample_min_max",
            attention_direction="v2t",
            training_step=config.loop.num_steps,
            dataset_sha256=hashlib.sha256((clips / METADATA_NAME).read_bytes()).hexdigest(),
        ),
        dtype=torch.float16,
    )


def _name_of(base: Path) -> str:
    has_card = (base / MODEL_CARD_FILE).exists()
    return read_model_card(base).name if has_card else base.name


def main(arguments: list[str] | None = None) -> int:
    """Pick a recipe, change it as told, train.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m training.finetune", description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--base", type=Path, required=True, help="diffusers folder of the base")
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="adapter folder to write")
    parser.add_argument("--limit", type=int, help="use only the first clips")
    parser.add_argument("--cache", type=Path, help="latent cache; default beside the adapter")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args(arguments)
    cache_file = options.cache or options.out.with_name(options.out.name + "_latents.safetensors")
    try:
        config = with_settings(RECIPES[options.recipe](), options.settings)
        device = pick_device(options.device)
        finetune(
            config, options.base, options.clips, cache_file, options.out, options.limit, device
        )
    except TavidError as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"adapter": str(options.out), "steps": config.loop.num_steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
