"""LoRA files held against a model: exactly its layers, exactly its shapes."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import WeightsError
from tavid_core.lora_layout import check_lora, find_lora_layers
from tests.tiny import make_transformer

PATH = Path("pytorch_lora_weights.safetensors")
TARGETS = ("to_q", "to_out.0")
MANIFEST = AdapterManifest(lora_rank=3, lora_alpha=3.0, lora_targets=TARGETS)


@pytest.fixture(scope="module")
def transformer():
    return make_transformer(num_layers=2)


def make_lora(rank=3, targets=TARGETS, num_layers=2):
    tensors = {}
    for block in range(num_layers):
        for target in targets:
            layer = f"transformer.transformer_blocks.{block}.attn1.{target}"
            tensors[f"{layer}.lora_A.weight"] = torch.zeros(rank, 32)
            tensors[f"{layer}.lora_B.weight"] = torch.zeros(32, rank)
    return tensors


def test_fitting_file_loses_its_prefix(transformer):
    checked = check_lora(PATH, make_lora(), transformer, MANIFEST)
    assert len(checked) == 8
    assert all(name.startswith("transformer_blocks.") for name in checked)


def test_rank_and_layers_are_found():
    assert find_lora_layers(PATH, make_lora()) == (3, ("to_out.0", "to_q"))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (make_lora(num_layers=1), "a file that lacks 4 of them"),
        (make_lora(num_layers=3), "has, but the model has not, 4 of them"),
        (make_lora(targets=("to_q",)), "a file that lacks 4 of them"),
        (make_lora(rank=5), r"must hold shape \(3, 32\) \(rank 3\)"),
        ({}, "got none"),
        ({"lora.down": torch.zeros(1)}, "got .'lora.down'"),
    ],
)
def test_file_that_does_not_fit_is_refused(transformer, tensors, message):
    with pytest.raises(WeightsError, match=message):
        check_lora(PATH, tensors, transformer, MANIFEST)


def test_mixed_ranks_and_other_layers_are_refused():
    mixed = make_lora() | dict(list(make_lora(rank=4).items())[:2])
    with pytest.raises(WeightsError, match=r"one rank, got ranks \[3, 4\]"):
        find_lora_layers(PATH, mixed)
    other = {"transformer.proj_out.lora_A.weight": torch.zeros(3, 32)}
    with pytest.raises(WeightsError, match="It is not TAViD's"):
        find_lora_layers(PATH, other)


def test_manifest_of_another_rank_is_refused(transformer):
    manifest = dataclasses.replace(MANIFEST, lora_rank=4)
    with pytest.raises(WeightsError, match=r"\(rank 4\)"):
        check_lora(PATH, make_lora(), transformer, manifest)
