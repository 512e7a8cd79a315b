"""A base model made ready for fine-tuning, and the adapter folder that comes out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel
from peft import LoraConfig

from tavid_core.adapter import ADAPTER_NAME, save_adapter, widen_patch_embed
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.attention import install_processors
from tavid_core.model_card import MODEL_CARD_FILE, read_model_card
from tavid_core.pipeline import TargetAwarePipeline
from training.clips import METADATA_NAME
from training.finetune_config import FinetuneConfig

__all__ = [
    "LORA_TARGETS",
    "describe_adapter",
    "name_of_base",
    "prepare_transformer",
    "write_adapter",
]

LORA_TARGETS = ("to_k", "to_out.0", "to_q", "to_v")


def prepare_transformer(transformer: CogVideoXTransformer3DModel, config: FinetuneConfig) -> None:
    """Freeze it, widen the patch projection, add LoRA and the recording processors, in place.

    Args:
        transformer: Of the base model, perhaps with an adapter to go on with; the meta device will
            do.
        config: Of the run.

    Raises:
        ConfigError: If the run supervises blocks that the model does not have.
    """
    num_blocks = len(transformer.transformer_blocks)
    config.supervision.check(num_blocks)
    transformer.requires_grad_(False)
    widen_patch_embed(transformer, config.prompt.num_slots)
    if ADAPTER_NAME not in getattr(transformer, "peft_config", {}):
        transformer.add_adapter(
            LoraConfig(
                r=config.lora_rank,
                lora_alpha=config.lora_alpha,
                target_modules=list(LORA_TARGETS),
                init_lora_weights=True,
            ),
            adapter_name=ADAPTER_NAME,
        )
    for name, parameter in transformer.named_parameters():
        if "lora_" in name or name.startswith("patch_embed.proj."):
            parameter.requires_grad_(True)
        if parameter.requires_grad:
            # Small updates would be rounded away in half precision.
            parameter.data = parameter.data.float()
    install_processors(transformer, config.supervision.candidates(num_blocks))
    if config.gradient_checkpointing:
        # diffusers' default is the non-reentrant kind, which the recorded map needs.
        transformer.enable_gradient_checkpointing()


def describe_adapter(
    config: FinetuneConfig, num_blocks: int, base: Path, clips: Path, base_sha256: str = ""
) -> AdapterManifest:
    """Say what a run trains.

    Args:
        config: Of the run.
        num_blocks: Of the transformer.
        base: Folder of the base model.
        clips: Clip folder.
        base_sha256: `hash_folder` of the base.

    Returns:
        The manifest.
    """
    return AdapterManifest(
        base_model=name_of_base(base),
        base_model_sha256=base_sha256,
        prompt=config.prompt,
        num_mask_slots=config.prompt.num_slots,
        lora_rank=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_targets=LORA_TARGETS,
        attention_blocks=config.supervision.candidates(num_blocks),
        map_normalization=config.supervision.normalization,
        attention_direction=config.supervision.direction,
        training_step=config.loop.num_steps,
        dataset_sha256=hashlib.sha256((clips / METADATA_NAME).read_bytes()).hexdigest(),
    )


def write_adapter(out: Path, pipeline: TargetAwarePipeline, manifest: AdapterManifest) -> None:
    """Write the adapter folder that planner, command line and node load.

    Args:
        out: Folder to write.
        pipeline: With the trained transformer, and the trained rows in the text encoder.
        manifest: What was trained.

    Raises:
        OSError: If it cannot be written.
    """
    save_adapter(
        out,
        pipeline.transformer,
        manifest,
        text_encoder=pipeline.text_encoder,
        tokenizer=pipeline.tokenizer,
        dtype=torch.float16,
    )


def name_of_base(base: Path) -> str:
    """Say what an adapter's manifest calls its base.

    Args:
        base: Folder of the base model.

    Returns:
        The name in its card, else the folder's.
    """
    has_card = (base / MODEL_CARD_FILE).exists()
    return read_model_card(base).name if has_card else base.name
