"""Widening, the folder's round trip, the released layout, and every way a folder can be bad."""

from __future__ import annotations

import dataclasses

import pytest
import safetensors.torch
import torch
from diffusers import CogVideoXImageToVideoPipeline
from peft import LoraConfig

from tavid_core.adapter import (
    add_slot_tokens,
    load_adapter,
    save_adapter,
    widen_patch_embed,
)
from tavid_core.adapter_manifest import AdapterManifest, read_manifest, write_manifest
from tavid_core.config import PromptConfig
from tavid_core.errors import ConfigError, WeightsError
from tests import tiny

CHANNELS = 2 * tiny.LATENT_CHANNELS
LORA, PATCH, MANIFEST = (
    "pytorch_lora_weights.safetensors",
    "patch_embed.safetensors",
    "tavid_adapter.json",
)
TWO_SLOTS = PromptConfig(
    slot_words=("[TGT]", "[SRC]"),
    sentence="The {actor} person interacts with {target} object.",
    added_tokens=True,
)


def make_manifest(**changes) -> AdapterManifest:
    fields = {"base_model": "tiny", "lora_rank": 4, "lora_alpha": 2.0, "attention_blocks": (0, 2)}
    return AdapterManifest(**{**fields, **changes})


def make_trained(seed: int = 0, num_mask_slots: int = 1, rank: int = 4, alpha: float = 2.0):
    """A transformer whose LoRA and mask channels are no longer zero."""
    transformer = tiny.make_transformer(seed)
    widen_patch_embed(transformer, num_mask_slots)
    torch.manual_seed(seed + 1)
    transformer.add_adapter(
        LoraConfig(
            r=rank,
            lora_alpha=alpha,
            init_lora_weights=False,
            target_modules=["to_q", "to_k", "to_v", "to_out.0"],
        ),
        adapter_name="tavid",
    )
    with torch.no_grad():
        transformer.patch_embed.proj.weight[:, CHANNELS:].normal_()
    return transformer


@pytest.fixture
def folder(tmp_path):
    save_adapter(tmp_path / "adapter", make_trained(), make_manifest())
    return tmp_path / "adapter"


def run(transformer, num_mask_slots: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        return transformer(
            hidden_states=torch.randn(1, 3, CHANNELS + num_mask_slots, 8, 12, generator=generator),
            encoder_hidden_states=torch.randn(1, tiny.MAX_TEXT, 16, generator=generator),
            timestep=torch.tensor([300]),
        ).sample


@pytest.mark.parametrize("num_mask_slots", [1, 2, 3])
def test_widening_keeps_weights_and_bias_and_zeroes_new_channels(num_mask_slots):
    transformer = tiny.make_transformer()
    old = transformer.patch_embed.proj
    widen_patch_embed(transformer, num_mask_slots)
    new = transformer.patch_embed.proj
    assert torch.equal(new.weight[:, :CHANNELS], old.weight)
    assert torch.equal(new.bias, old.bias)
    assert new.bias.abs().max() > 0
    assert not new.weight[:, CHANNELS:].any()
    assert transformer.config.in_channels == CHANNELS + num_mask_slots


def test_widening_again_keeps_trained_mask_channels():
    transformer = make_trained()
    first = transformer.patch_embed.proj.weight.detach().clone()
    widen_patch_embed(transformer, 2)
    assert torch.equal(transformer.patch_embed.proj.weight[:, :-1], first)
    assert not transformer.patch_embed.proj.weight[:, -1].any()


def test_widened_model_survives_save_and_load(tmp_path):
    transformer = tiny.make_transformer()
    widen_patch_embed(transformer, 2)
    transformer.save_pretrained(tmp_path)
    again = type(transformer).from_pretrained(tmp_path)
    assert torch.equal(again.patch_embed.proj.weight, transformer.patch_embed.proj.weight)


def test_widening_refuses_fewer_slots_and_other_models():
    with pytest.raises(ConfigError, match="at least the 1 mask channels the model has"):
        widen_patch_embed(make_trained(), 0)
    with pytest.raises(ConfigError, match="num_mask_slots must be"):
        widen_patch_embed(tiny.make_transformer(in_channels=tiny.LATENT_CHANNELS), 1)
    cogvideox_15 = tiny.make_transformer(
        patch_size_t=2, sample_frames=13, use_learned_positional_embeddings=False
    )
    with pytest.raises(ConfigError, match="patch_size_t=2"):
        widen_patch_embed(cogvideox_15, 1)


def test_round_trip_is_exact(folder):
    transformer = tiny.make_transformer()
    manifest = load_adapter(transformer, folder)
    assert manifest == make_manifest()
    assert torch.equal(run(transformer), run(make_trained()))
    assert sorted(p.name for p in folder.iterdir()) == sorted([LORA, PATCH, MANIFEST])


def test_alpha_scales_the_lora(folder):
    transformer = tiny.make_transformer()
    load_adapter(transformer, folder)
    assert transformer.transformer_blocks[0].attn1.to_q.scaling == {"tavid": 0.5}


def test_plain_diffusers_reads_the_lora_with_its_alpha(folder):
    pipeline = tiny.make_pipeline(cls=CogVideoXImageToVideoPipeline)
    pipeline.load_lora_weights(folder, weight_name=LORA, local_files_only=True)
    assert list(pipeline.transformer.transformer_blocks[0].attn1.to_q.scaling.values()) == [0.5]


def test_saving_again_overwrites(folder):
    save_adapter(folder, make_trained(seed=0), make_manifest(training_step=7))
    assert read_manifest(folder / MANIFEST).training_step == 7


def test_half_precision_save_loads_into_a_float32_model(tmp_path):
    save_adapter(tmp_path, make_trained(), make_manifest(), dtype=torch.float16)
    assert safetensors.torch.load_file(tmp_path / PATCH)["weight"].dtype == torch.float16
    transformer = tiny.make_transformer()
    load_adapter(transformer, tmp_path)
    assert transformer.patch_embed.proj.weight.dtype == torch.float32
    assert torch.allclose(run(transformer), run(make_trained()), atol=2e-2)


def test_released_folder_loads_at_weight_one(folder):
    patch = safetensors.torch.load_file(folder / PATCH)
    torch.save(patch, folder / "patch_embed_conv2d.pth")
    (folder / PATCH).unlink()
    (folder / MANIFEST).unlink()
    transformer = tiny.make_transformer(num_layers=3)
    manifest = load_adapter(transformer, folder)
    assert (manifest.lora_rank, manifest.lora_alpha) == (4, 4.0)
    assert manifest.lora_targets == ("to_k", "to_out.0", "to_q", "to_v")
    assert manifest.prompt == PromptConfig()
    assert manifest.attention_blocks == ()
    assert torch.equal(run(transformer), run(make_trained(alpha=4.0)))


def test_added_tokens_round_trip(tmp_path):
    pipeline = tiny.make_pipeline()
    ids = add_slot_tokens(pipeline.tokenizer, pipeline.text_encoder, TWO_SLOTS.slot_words)
    table = pipeline.text_encoder.get_input_embeddings()
    assert table.num_embeddings == len(pipeline.tokenizer)
    with torch.no_grad():
        table.weight[ids] = torch.arange(32.0).view(2, 16)
    save_adapter(
        tmp_path,
        make_trained(num_mask_slots=2),
        make_manifest(prompt=TWO_SLOTS, num_mask_slots=2),
        text_encoder=pipeline.text_encoder,
        tokenizer=pipeline.tokenizer,
    )
    fresh = tiny.make_pipeline()
    old_table = fresh.text_encoder.get_input_embeddings().weight.detach().clone()
    manifest = load_adapter(fresh, tmp_path)
    new_table = fresh.text_encoder.get_input_embeddings().weight
    assert manifest.prompt == TWO_SLOTS
    assert torch.equal(new_table[ids], torch.arange(32.0).view(2, 16))
    assert torch.equal(new_table[: len(old_table)], old_table)
    with pytest.raises(ConfigError, match="must be a pipeline for an adapter with added tokens"):
        load_adapter(tiny.make_transformer(), tmp_path)
    safetensors.torch.save_file(
        {"weight": torch.zeros(2, 8)}, tmp_path / "token_embeddings.safetensors"
    )
    with pytest.raises(WeightsError, match=r"token_embeddings.safetensors must hold .*\(2, 16\)"):
        load_adapter(tiny.make_pipeline(), tmp_path)


def test_added_tokens_use_spare_rows_first():
    pipeline = tiny.make_pipeline()
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer) + 4)
    rows = pipeline.text_encoder.get_input_embeddings().num_embeddings
    add_slot_tokens(pipeline.tokenizer, pipeline.text_encoder, ["[TGT]"])
    assert pipeline.text_encoder.get_input_embeddings().num_embeddings == rows


def rewrite(path, change) -> None:
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)


def poison(tensors) -> None:
    next(iter(tensors.values())).view(-1)[0] = float("nan")


def drop_one(tensors) -> None:
    tensors.pop(min(tensors))


def cut_rank(tensors) -> None:
    key = next(key for key in tensors if "lora_A" in key)
    tensors[key] = tensors[key][:2].contiguous()


def rename_one(tensors) -> None:
    tensors["text_encoder.layer.lora_A.weight"] = tensors.pop(min(tensors))


def add_layer(tensors) -> None:
    for half in "AB":
        old = f"transformer.transformer_blocks.0.attn1.to_q.lora_{half}.weight"
        tensors[old.replace("blocks.0", "blocks.9")] = tensors[old].clone()


BAD_TENSORS = [
    (LORA, poison, "finite weights, got NaN or infinity"),
    (LORA, drop_one, "a file that lacks 1 of them"),
    (LORA, cut_rank, r"must hold shape \(4, 32\) \(rank 4\)"),
    (LORA, rename_one, r"must hold keys like 'transformer\.<layer>"),
    (LORA, add_layer, "has, but the model has not, 2 of them"),
    (LORA, dict.clear, "must hold keys like .* got none"),
    (PATCH, poison, "finite weights"),
    (PATCH, lambda t: t.pop("bias"), "must hold .*'bias'"),
    (PATCH, lambda t: t.update(weight=t["weight"][:, 1:].contiguous()), "another number of mask"),
    (PATCH, lambda t: t.update(bias=t["bias"].to(torch.int32)), "must hold floating point"),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD_TENSORS)
def test_bad_tensors_are_refused_and_the_model_is_untouched(folder, name, change, message):
    rewrite(folder / name, change)
    transformer = tiny.make_transformer()
    before = {key: value.clone() for key, value in transformer.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as caught:
        load_adapter(transformer, folder)
    assert str(folder / name) in str(caught.value)
    after = transformer.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", [LORA, PATCH, MANIFEST])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_missing_and_truncated_files_are_named(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(WeightsError, match=name):
        load_adapter(tiny.make_transformer(), folder)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere.tavid_adapter.json"):
        load_adapter(tiny.make_transformer(), tmp_path / "nowhere")


def test_adapter_of_a_larger_model_is_refused(folder):
    with pytest.raises(WeightsError, match="must hold LoRA matrices of exactly the model's layers"):
        load_adapter(tiny.make_transformer(num_layers=2), folder)
    manifest = read_manifest(folder / MANIFEST)
    write_manifest(folder / MANIFEST, dataclasses.replace(manifest, attention_blocks=(3,)))
    with pytest.raises(WeightsError, match="attention_blocks below 3"):
        load_adapter(tiny.make_transformer(), folder)


def test_second_adapter_is_refused(folder):
    transformer = tiny.make_transformer()
    load_adapter(transformer, folder)
    with pytest.raises(ConfigError, match="must have no adapter yet"):
        load_adapter(transformer, folder)


@pytest.mark.parametrize(
    "manifest",
    [
        make_manifest(lora_rank=8),
        make_manifest(lora_alpha=4.0),
        make_manifest(lora_targets=("to_q",)),
    ],
)
def test_manifest_that_contradicts_the_model_is_not_saved(tmp_path, manifest):
    with pytest.raises(ConfigError, match="manifest must say the model's"):
        save_adapter(tmp_path / "adapter", make_trained(), manifest)
    assert not (tmp_path / "adapter").exists()


def test_saving_without_lora_or_text_encoder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must have a LoRA named 'tavid'"):
        save_adapter(tmp_path, tiny.make_transformer(), make_manifest())
    with pytest.raises(ConfigError, match="text_encoder and tokenizer must be given"):
        save_adapter(
            tmp_path,
            make_trained(num_mask_slots=2),
            make_manifest(prompt=TWO_SLOTS, num_mask_slots=2),
        )
