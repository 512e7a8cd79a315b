"""The adapter: mask channels, LoRA and slot tokens on top of a frozen CogVideoX."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.loaders import CogVideoXLoraLoaderMixin
from peft.utils import get_peft_model_state_dict
from torch import nn
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from tavid_core.adapter_manifest import (
    MANIFEST_FILE,
    AdapterManifest,
    read_manifest,
    write_manifest,
)
from tavid_core.errors import ConfigError, WeightsError
from tavid_core.lora_layout import check_lora, find_lora_layers
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.weights_file import hash_folder, read_tensors

__all__ = [
    "ADAPTER_NAME",
    "AdapterManifest",
    "add_slot_tokens",
    "hash_folder",
    "load_adapter",
    "lora_options",
    "save_adapter",
    "widen_patch_embed",
]

ADAPTER_NAME = "tavid"
LORA_FILE = "pytorch_lora_weights.safetensors"
PATCH_FILE = "patch_embed.safetensors"
RELEASED_PATCH_FILE = "patch_embed_conv2d.pth"
TOKENS_FILE = "token_embeddings.safetensors"


def widen_patch_embed(transformer: CogVideoXTransformer3DModel, num_mask_slots: int) -> None:
    """Give the patch projection one more input channel per mask slot, in place.

    Old weights and the bias are kept and the new channels are zero, so the widened model computes
    what it did before, whatever the masks are. A model that has some mask channels already keeps
    them and gets the missing ones.

    Args:
        transformer: A CogVideoX 1.0 image-to-video transformer.
        num_mask_slots: Mask channels wanted, 1 or more.

    Raises:
        ConfigError: If the model is of another kind, or has more mask channels than wanted.

    References:
        arXiv 2503.18950, section 3. The released code copies the weight alone, so its widened
        model starts with a random bias; here the bias is kept.
    """
    config, old = transformer.config, transformer.patch_embed.proj
    if config.patch_size_t is not None or not isinstance(old, nn.Conv2d):
        raise ConfigError(
            f"transformer must embed patches of single frames, got patch_size_t="
            f"{config.patch_size_t}. Use a CogVideoX 1.0 image-to-video model."
        )
    wanted = 2 * config.out_channels + num_mask_slots
    if num_mask_slots < 1 or not 2 * config.out_channels <= old.in_channels <= wanted:
        raise ConfigError(
            f"num_mask_slots must be at least the {old.in_channels - 2 * config.out_channels} mask "
            f"channels the model has, and at least 1, got {num_mask_slots}. "
            "Start from an image-to-video base model."
        )
    new = nn.Conv2d(
        wanted,
        old.out_channels,
        old.kernel_size,
        old.stride,
        bias=old.bias is not None,
        device=old.weight.device,
        dtype=old.weight.dtype,
    )
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        if old.bias is not None:
            new.bias.copy_(old.bias)
    new.requires_grad_(old.weight.requires_grad)
    new.train(old.training)
    transformer.patch_embed.proj = new
    transformer.register_to_config(in_channels=wanted)


def add_slot_tokens(
    tokenizer: PreTrainedTokenizerBase, text_encoder: T5EncoderModel, words: Sequence[str]
) -> list[int]:
    """Add slot words as tokens, in place; new rows of the embedding table start at its mean.

    T5's table has spare rows, which are used before it grows.

    Args:
        tokenizer: Of the model.
        text_encoder: Of the model.
        words: Slot words, such as "[TGT]".

    Returns:
        The token id of each word.
    """
    known = set(tokenizer.get_vocab())
    tokenizer.add_tokens([word for word in words if word not in known])
    table = text_encoder.get_input_embeddings()
    mean = table.weight.detach().mean(0)
    if len(tokenizer) > table.num_embeddings:
        text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table = text_encoder.get_input_embeddings()
    ids = [int(tokenizer.convert_tokens_to_ids(word)) for word in words]
    with torch.no_grad():
        for word, index in zip(words, ids, strict=True):
            if word not in known:
                table.weight[index] = mean
    return ids


def save_adapter(
    folder: str | Path,
    transformer: CogVideoXTransformer3DModel,
    manifest: AdapterManifest,
    *,
    text_encoder: T5EncoderModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    adapter_name: str = ADAPTER_NAME,
    dtype: torch.dtype | None = None,
) -> None:
    """Write an adapter folder; the manifest comes last, so that a torn save is no adapter.

    Args:
        folder: Where to; made if missing, overwritten if it holds an adapter.
        transformer: With mask channels, and a LoRA named `adapter_name`.
        manifest: What was trained.
        text_encoder: Needed when tokens were added.
        tokenizer: Needed when tokens were added.
        adapter_name: Name of the LoRA in the transformer.
        dtype: Of the saved tensors; as they are if None.

    Raises:
        ConfigError: If the manifest contradicts the model.
    """
    _check_manifest(transformer, manifest, adapter_name)
    tensors = {PATCH_FILE: dict(transformer.patch_embed.proj.state_dict())}
    if manifest.prompt.added_tokens:
        if text_encoder is None or tokenizer is None:
            raise ConfigError(
                "text_encoder and tokenizer must be given when tokens were added, got None. "
                "Pass those that were trained."
            )
        ids = tokenizer.convert_tokens_to_ids(list(manifest.prompt.slot_words))
        tensors[TOKENS_FILE] = {"weight": text_encoder.get_input_embeddings().weight[ids]}
    lora = get_peft_model_state_dict(transformer, adapter_name=adapter_name)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as name:
        part = Path(name)
        CogVideoXLoraLoaderMixin.save_lora_weights(
            part,
            transformer_lora_layers=_prepare(lora, dtype),
            transformer_lora_adapter_metadata=lora_options(manifest),
        )
        for file, values in tensors.items():
            safetensors.torch.save_file(_prepare(values, dtype), part / file)
        write_manifest(part / MANIFEST_FILE, manifest)
        for file in (LORA_FILE, *tensors, MANIFEST_FILE):
            (part / file).replace(folder / file)


def load_adapter(
    model: TargetAwarePipeline | CogVideoXTransformer3DModel, folder: str | Path
) -> AdapterManifest:
    """Put an adapter on a model, in place; nothing is changed unless every file is good.

    Reads the folders that `save_adapter` writes, and the authors' released folder, which has no
    manifest (`patch_embed_conv2d.pth` is read with `weights_only=True`).

    Args:
        model: A pipeline, or a transformer alone (enough unless tokens were added).
        folder: The adapter's folder, on disk.

    Returns:
        The manifest; for the released folder the one that describes it.

    Raises:
        WeightsError: If a file is missing, damaged, or made for another model; names the file.
        ConfigError: If the model has an adapter already, or the text encoder is needed.

    References:
        The released adapter is used with its LoRA at weight 1.0, as the authors' README does,
        although it was trained with alpha / rank = 0.5.
    """
    folder = Path(folder)
    pipeline = None if isinstance(model, CogVideoXTransformer3DModel) else model
    transformer = model if pipeline is None else pipeline.transformer
    if ADAPTER_NAME in getattr(transformer, "peft_config", {}):
        raise ConfigError(
            f"transformer must have no adapter yet, got one named '{ADAPTER_NAME}'. "
            "Load the base model again."
        )
    is_released = not (folder / MANIFEST_FILE).exists() and (folder / RELEASED_PATCH_FILE).exists()
    lora_path, patch_path = folder / LORA_FILE, folder / PATCH_FILE
    if is_released:
        patch_path = folder / RELEASED_PATCH_FILE
        lora = read_tensors(lora_path)
        manifest = _describe_released(lora_path, lora, transformer)
    else:
        manifest = read_manifest(folder / MANIFEST_FILE)
        lora = read_tensors(lora_path)
    lora = check_lora(lora_path, lora, transformer, manifest)
    patch = read_tensors(patch_path)
    _check_patch(patch_path, patch, transformer, manifest)
    _check_blocks(folder, transformer, manifest)
    tokens = _read_tokens(pipeline, folder / TOKENS_FILE, manifest)
    widen_patch_embed(transformer, manifest.num_mask_slots)
    with torch.no_grad():
        for name, value in patch.items():
            getattr(transformer.patch_embed.proj, name).copy_(value)
    transformer.load_lora_adapter(
        lora, prefix=None, adapter_name=ADAPTER_NAME, metadata=lora_options(manifest)
    )
    if pipeline is not None and tokens is not None:
        words = manifest.prompt.slot_words
        ids = add_slot_tokens(pipeline.tokenizer, pipeline.text_encoder, words)
        table = pipeline.text_encoder.get_input_embeddings()
        with torch.no_grad():
            table.weight[ids] = tokens.to(table.weight)
    return manifest


def lora_options(manifest: AdapterManifest) -> dict[str, object]:
    """Give what peft has to know of an adapter's LoRA.

    Args:
        manifest: What the adapter is.

    Returns:
        Fields of a `peft.LoraConfig`.
    """
    return {
        "r": manifest.lora_rank,
        "lora_alpha": manifest.lora_alpha,
        "target_modules": list(manifest.lora_targets),
    }


def _prepare(
    tensors: dict[str, torch.Tensor], dtype: torch.dtype | None
) -> dict[str, torch.Tensor]:
    return {
        name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for name, tensor in tensors.items()
    }


def _check_manifest(
    transformer: CogVideoXTransformer3DModel, manifest: AdapterManifest, adapter_name: str
) -> None:
    lora = getattr(transformer, "peft_config", {}).get(adapter_name)
    if lora is None:
        raise ConfigError(
            f"transformer must have a LoRA named '{adapter_name}', got none. "
            "Add it with transformer.add_adapter()."
        )
    slots = transformer.patch_embed.proj.in_channels - 2 * transformer.config.out_channels
    actual = (slots, lora.r, float(lora.lora_alpha), sorted(lora.target_modules))
    claimed = (
        manifest.num_mask_slots,
        manifest.lora_rank,
        float(manifest.lora_alpha),
        sorted(manifest.lora_targets),
    )
    if actual != claimed:
        raise ConfigError(
            "manifest must say the model's (num_mask_slots, lora_rank, lora_alpha, lora_targets) "
            f"{actual}, got {claimed}. Write what was trained."
        )


def _describe_released(
    path: Path, lora: dict[str, torch.Tensor], transformer: CogVideoXTransformer3DModel
) -> AdapterManifest:
    rank, targets = find_lora_layers(path, lora)
    num_blocks = len(transformer.transformer_blocks)
    default = AdapterManifest()
    return dataclasses.replace(
        default,
        lora_rank=rank,
        lora_alpha=float(rank),
        lora_targets=targets,
        attention_blocks=tuple(b for b in default.attention_blocks if b < num_blocks),
    )


def _check_patch(
    path: Path,
    patch: dict[str, torch.Tensor],
    transformer: CogVideoXTransformer3DModel,
    manifest: AdapterManifest,
) -> None:
    config, proj = transformer.config, transformer.patch_embed.proj
    channels = 2 * config.out_channels + manifest.num_mask_slots
    expected = {"weight": (proj.weight.shape[0], channels, *proj.weight.shape[2:])}
    if proj.bias is not None:
        expected["bias"] = tuple(proj.bias.shape)
    actual = {name: tuple(tensor.shape) for name, tensor in patch.items()}
    if actual != expected:
        raise WeightsError(
            f"{path} must hold {expected}, got {actual}. It was made for another model or another "
            "number of mask slots."
        )


def _check_blocks(
    folder: Path, transformer: CogVideoXTransformer3DModel, manifest: AdapterManifest
) -> None:
    num_blocks = len(transformer.transformer_blocks)
    if any(block >= num_blocks for block in manifest.attention_blocks):
        raise WeightsError(
            f"{folder / MANIFEST_FILE} must name attention_blocks below {num_blocks}, got "
            f"{manifest.attention_blocks}. It was made for another model."
        )


def _read_tokens(
    pipeline: TargetAwarePipeline | None, path: Path, manifest: AdapterManifest
) -> torch.Tensor | None:
    if not manifest.prompt.added_tokens:
        return None
    if pipeline is None:
        raise ConfigError(
            "model must be a pipeline for an adapter with added tokens, got a transformer. "
            "Pass the pipeline."
        )
    rows = read_tensors(path)
    width = pipeline.text_encoder.get_input_embeddings().embedding_dim
    expected = {"weight": (manifest.num_mask_slots, width)}
    actual = {name: tuple(tensor.shape) for name, tensor in rows.items()}
    if actual != expected:
        raise WeightsError(
            f"{path} must hold {expected}, got {actual}. It was made for another text encoder."
        )
    return rows["weight"]
