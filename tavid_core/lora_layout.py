"""The layout of a LoRA file: which layers it has weights for, and whether they fit a model."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import WeightsError

__all__ = ["check_lora", "find_lora_layers"]

PREFIX = "transformer."
_KEY = re.compile(r"transformer\.(?P<layer>[\w.]+)\.(?P<half>lora_[AB])\.weight")
_BLOCK = re.compile(r"transformer_blocks\.\d+\.attn1\.(?P<target>[\w.]+)")


def find_lora_layers(path: Path, tensors: dict[str, torch.Tensor]) -> tuple[int, tuple[str, ...]]:
    """Read rank and layers off a LoRA file that has no manifest.

    Args:
        path: The file, for messages.
        tensors: Its tensors.

    Returns:
        The rank, and the names of the layers within an attention layer, sorted.

    Raises:
        WeightsError: If the keys are no diffusers LoRA of attention layers.
    """
    ranks, targets = set(), set()
    for (layer, half), tensor in _split(path, tensors).items():
        match = _BLOCK.fullmatch(layer)
        if match is None or tensor.ndim != 2:
            raise WeightsError(
                f"{path} must hold LoRA matrices of attention layers, got "
                f"{tuple(tensor.shape)} for '{layer}'. It is not TAViD's."
            )
        targets.add(match["target"])
        ranks.add(tensor.shape[0 if half == "lora_A" else 1])
    if len(ranks) != 1:
        raise WeightsError(
            f"{path} must hold LoRA matrices of one rank, got ranks {sorted(ranks)}. Save it again."
        )
    return ranks.pop(), tuple(sorted(targets))


def check_lora(
    path: Path,
    tensors: dict[str, torch.Tensor],
    transformer: nn.Module,
    manifest: AdapterManifest,
) -> dict[str, torch.Tensor]:
    """Hold a LoRA file against the model and the manifest.

    Args:
        path: The file, for messages.
        tensors: Its tensors, keys in diffusers' layout with the prefix `transformer.`.
        transformer: The model it goes on.
        manifest: What the file should hold.

    Returns:
        The tensors without the prefix.

    Raises:
        WeightsError: If layers are missing or unknown, or a shape or rank is wrong.
    """
    rank, targets = manifest.lora_rank, manifest.lora_targets
    expected = {}
    for name, module in transformer.named_modules():
        is_target = any(name.endswith(f".{target}") for target in targets)
        if is_target and isinstance(module, nn.Linear):
            expected[name, "lora_A"] = (rank, module.in_features)
            expected[name, "lora_B"] = (module.out_features, rank)
    actual = {key: tuple(tensor.shape) for key, tensor in _split(path, tensors).items()}
    for keys, what in (
        (expected.keys() - actual.keys(), "lacks"),
        (actual.keys() - expected.keys(), "has, but the model has not,"),
    ):
        if keys:
            layer, half = min(keys)
            raise WeightsError(
                f"{path} must hold LoRA matrices of exactly the model's layers {targets}, got a "
                f"file that {what} {len(keys)} of them, e.g. '{layer}.{half}'. "
                "It was made for another model."
            )
    for key, shape in expected.items():
        if actual[key] != shape:
            raise WeightsError(
                f"{path} must hold shape {shape} (rank {rank}) for '{'.'.join(key)}', got "
                f"{actual[key]}. It was made for another model or another rank."
            )
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}


def _split(path: Path, tensors: dict[str, torch.Tensor]) -> dict[tuple[str, str], torch.Tensor]:
    matches = {name: _KEY.fullmatch(name) for name in tensors}
    unknown = sorted(name for name, match in matches.items() if match is None)
    if unknown or not tensors:
        raise WeightsError(
            f"{path} must hold keys like 'transformer.<layer>.lora_A.weight', got "
            f"{unknown[:3] or 'none'}. Save it in diffusers' LoRA layout."
        )
    return {(m["layer"], m["half"]): tensors[name] for name, m in matches.items() if m}
