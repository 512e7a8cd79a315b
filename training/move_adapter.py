"""Move an adapter: `python -m training.move_adapter ADAPTER OUT --base OLD --to NEW`.

A base that was trained on, or whose VAE got more latent channels, has the old base's shape or
nearly so, and what an adapter has learnt about masks and tokens is still of use. Its LoRA matrices
go over as they are. Of its patch projection, which it holds whole, what it changed goes over; the
new base's own weights stay underneath. The result is for `training.finetune --start-from`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import torch
from peft.utils import get_peft_model_state_dict

from tavid_core.adapter import (
    ADAPTER_NAME,
    add_slot_tokens,
    hash_folder,
    load_adapter,
    lora_options,
    save_adapter,
    widen_patch_embed,
)
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import ConfigError, TavidError
from tavid_core.model_folder import find_model_folder, load_pipeline
from tavid_core.pipeline import TargetAwarePipeline
from training.adapter_model import name_of_base

__all__ = ["main", "move_adapter"]

# What LoRA matrices and patch projection have to fit.
_SHAPE = (
    "num_layers",
    "num_attention_heads",
    "attention_head_dim",
    "patch_size",
    "patch_bias",
    "text_embed_dim",
)


def move_adapter(
    folder: Path, old: TargetAwarePipeline, new: TargetAwarePipeline
) -> AdapterManifest:
    """Put an adapter that was trained on one base on another, in place.

    Args:
        folder: The adapter's folder.
        old: The base that it was trained on, without adapter; gets it too.
        new: A base without adapter, of the same shape, with as many latent channels or more.

    Returns:
        The manifest, in which the base is still the old one.

    Raises:
        WeightsError: If a file of the adapter is missing, damaged, or made for another model.
        ConfigError: If the bases differ in shape, or the new one has fewer latent channels.
    """
    _check_shapes(old, new)
    own = {k: v.clone() for k, v in old.transformer.patch_embed.proj.state_dict().items()}
    manifest = load_adapter(old, folder)
    adapted = old.transformer.patch_embed.proj
    widen_patch_embed(new.transformer, manifest.num_mask_slots)
    moved = new.transformer.patch_embed.proj
    num_old, num_new = (base.transformer.config.out_channels for base in (old, new))
    with torch.no_grad():
        change_OCHW = adapted.weight.clone()
        change_OCHW[:, : 2 * num_old] -= own["weight"]
        # Noisy latents, latents of the picture, masks; of latents the new channels come last.
        spans = (
            (0, 0, num_old),
            (num_old, num_new, num_old),
            (2 * num_old, 2 * num_new, manifest.num_mask_slots),
        )
        for source, target, number in spans:
            moved.weight[:, target : target + number] += change_OCHW[:, source : source + number]
        if moved.bias is not None:
            moved.bias += adapted.bias - own["bias"]
    new.transformer.load_lora_adapter(
        get_peft_model_state_dict(old.transformer, adapter_name=ADAPTER_NAME),
        prefix=None,
        adapter_name=ADAPTER_NAME,
        metadata=lora_options(manifest),
    )
    if manifest.prompt.added_tokens:
        _move_tokens(old, new, manifest.prompt.slot_words)
    return manifest


def _check_shapes(old: TargetAwarePipeline, new: TargetAwarePipeline) -> None:
    differing = [
        f"{name} {old.transformer.config[name]} there, {new.transformer.config[name]} here"
        for name in _SHAPE
        if old.transformer.config[name] != new.transformer.config[name]
    ]
    few, many = (base.transformer.config.out_channels for base in (old, new))
    if many < few:
        differing.append(f"{few} latent channels there, {many} here")
    if differing:
        raise ConfigError(
            f"to must be a base of the shape of the old one, got {'; '.join(differing)}. "
            "Train a new adapter for it."
        )


def _move_tokens(
    old: TargetAwarePipeline, new: TargetAwarePipeline, words: tuple[str, ...]
) -> None:
    source, target = (
        add_slot_tokens(base.tokenizer, base.text_encoder, words) for base in (old, new)
    )
    tables = [base.text_encoder.get_input_embeddings().weight for base in (old, new)]
    with torch.no_grad():
        tables[1][target] = tables[0][source]


def main(arguments: list[str] | None = None) -> int:
    """Write an adapter's folder for another base.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.move_adapter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("adapter", type=Path, help="folder of the adapter")
    parser.add_argument("out", type=Path, help="where the moved one goes")
    base_help = 'diffusers folder of the base that {}; "mini": the shipped one'
    parser.add_argument("--base", required=True, help=base_help.format("it was trained on"))
    parser.add_argument("--to", required=True, help=base_help.format("it is to go on with"))
    options = parser.parse_args(arguments)
    try:
        folder = find_model_folder(options.to)
        old, new = (
            load_pipeline(find_model_folder(base), torch.float32)
            for base in (options.base, options.to)
        )
        manifest = dataclasses.replace(
            move_adapter(options.adapter, old, new),
            base_model=name_of_base(folder),
            base_model_sha256=hash_folder(folder),
        )
        save_adapter(
            options.out,
            new.transformer,
            manifest,
            text_encoder=new.text_encoder,
            tokenizer=new.tokenizer,
            dtype=torch.float16,
        )
    except TavidError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"adapter": str(options.out), "base": str(folder)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
