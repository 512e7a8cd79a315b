"""An adapter on another base changes in it what it changed in its own."""

import json

import pytest
import torch
from peft import LoraConfig

from tavid_core.adapter import (
    ADAPTER_NAME,
    add_slot_tokens,
    hash_folder,
    load_adapter,
    save_adapter,
    widen_patch_embed,
)
from tavid_core.adapter_manifest import AdapterManifest, read_manifest
from tavid_core.config import PromptConfig
from tavid_core.errors import ConfigError
from tavid_core.model_card import ModelCard, write_model_card
from tests import tiny
from training.adapter_model import LORA_TARGETS
from training.batches import rotary_embedding
from training.latent_channels import add_latent_channels
from training.move_adapter import main, move_adapter

NUM_LATENTS = tiny.LATENT_CHANNELS
WORDS = ("[TGT]", "[SRC]")
PROMPT = PromptConfig(
    slot_words=WORDS, sentence="The {actor} interacts with {target} object.", added_tokens=True
)
MANIFEST = AdapterManifest(
    base_model="old", num_mask_slots=2, lora_rank=2, attention_blocks=(1,), prompt=PROMPT
)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """Nothing in it is zero, nor as it is in the base."""
    pipeline = tiny.make_pipeline()
    transformer, text_encoder = pipeline.transformer, pipeline.text_encoder
    widen_patch_embed(transformer, MANIFEST.num_mask_slots)
    transformer.add_adapter(
        LoraConfig(
            r=2,
            lora_alpha=MANIFEST.lora_alpha,
            target_modules=list(LORA_TARGETS),
            init_lora_weights=False,
        ),
        adapter_name=ADAPTER_NAME,
    )
    ids = add_slot_tokens(pipeline.tokenizer, text_encoder, WORDS)
    with torch.no_grad():
        for parameter in transformer.patch_embed.proj.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        text_encoder.get_input_embeddings().weight[ids] += 1.0
    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(
        folder, transformer, MANIFEST, text_encoder=text_encoder, tokenizer=pipeline.tokenizer
    )
    return folder


def predict(transformer, channels_BFCHW):
    text_BLD = torch.linspace(-1, 1, tiny.MAX_TEXT * 16).reshape(1, tiny.MAX_TEXT, 16)
    with torch.no_grad():
        return transformer(
            hidden_states=channels_BFCHW,
            encoder_hidden_states=text_BLD,
            timestep=torch.tensor([300]),
            image_rotary_emb=rotary_embedding(transformer, channels_BFCHW.shape[1]),
            return_dict=False,
        )[0]


def draw(num_channels):
    return torch.randn(1, 3, num_channels, 8, 12, generator=torch.Generator().manual_seed(2))


def test_on_its_own_base_it_is_itself(adapter):
    loaded, moved = tiny.make_pipeline(), tiny.make_pipeline()
    load_adapter(loaded, adapter)
    assert move_adapter(adapter, tiny.make_pipeline(), moved) == MANIFEST
    channels_BFCHW = draw(2 * NUM_LATENTS + 2)
    predictions = [predict(one.transformer, channels_BFCHW) for one in (loaded, moved)]
    torch.testing.assert_close(*predictions)
    plain = tiny.make_pipeline().transformer
    assert not torch.allclose(predictions[0], predict(plain, channels_BFCHW[:, :, :-2]), atol=0.01)


def test_the_weights_of_another_base_stay_underneath(adapter):
    old, new = tiny.make_pipeline(), tiny.make_pipeline(seed=5)
    before = [base.transformer.patch_embed.proj.weight.detach().clone() for base in (old, new)]
    bias = [base.transformer.patch_embed.proj.bias.detach().clone() for base in (old, new)]
    move_adapter(adapter, old, new)
    weights = [base.transformer.patch_embed.proj.weight.detach() for base in (old, new)]
    changes = [
        after[:, : 2 * NUM_LATENTS] - own for after, own in zip(weights, before, strict=True)
    ]
    torch.testing.assert_close(*changes)
    assert changes[0].abs().mean() > 0.1
    torch.testing.assert_close(*[weight[:, 2 * NUM_LATENTS :] for weight in weights])
    shifts = [
        base.transformer.patch_embed.proj.bias.detach() - own
        for base, own in zip((old, new), bias, strict=True)
    ]
    torch.testing.assert_close(*shifts)
    for name, parameter in old.transformer.named_parameters():
        if "lora_" in name:
            assert torch.equal(new.transformer.get_parameter(name), parameter)
    rows = [
        base.text_encoder.get_input_embeddings().weight[
            base.tokenizer.convert_tokens_to_ids(list(WORDS))
        ]
        for base in (old, new)
    ]
    assert torch.equal(*rows)


def test_with_more_latent_channels_the_old_ones_are_predicted_as_before(adapter):
    old, new = tiny.make_pipeline(), tiny.make_pipeline()
    new.register_modules(transformer=add_latent_channels(new.transformer, NUM_LATENTS + 3))
    move_adapter(adapter, old, new)
    noisy, image, masks = draw(7), draw(7).flip(1), draw(2)
    wide = torch.cat([noisy, image, masks], dim=2)
    narrow = torch.cat([noisy[:, :, :NUM_LATENTS], image[:, :, :NUM_LATENTS], masks], dim=2)
    after = predict(new.transformer, wide)
    torch.testing.assert_close(
        after[:, :, :NUM_LATENTS], predict(old.transformer, narrow), atol=1e-5, rtol=1e-4
    )
    assert after.shape[2] == 7


def test_a_base_with_a_card_is_called_as_in_it(adapter, tmp_path):
    tiny.make_pipeline().save_pretrained(tmp_path / "old")
    write_model_card(tmp_path / "old", ModelCard(name="a-base"))
    base = str(tmp_path / "old")
    assert main([str(adapter), str(tmp_path / "moved"), "--base", base, "--to", base]) == 0
    assert read_manifest(tmp_path / "moved" / "tavid_adapter.json").base_model == "a-base"


def test_another_shape_is_refused(adapter):
    deep = tiny.make_pipeline(num_layers=4)
    with pytest.raises(ConfigError, match=r"to must be a base of the shape.*num_layers 3 there, 4"):
        move_adapter(adapter, tiny.make_pipeline(), deep)
    without_bias = tiny.make_pipeline(patch_bias=False)
    with pytest.raises(ConfigError, match="patch_bias False there, True here"):
        move_adapter(adapter, without_bias, tiny.make_pipeline())


def test_fewer_latent_channels_are_refused(adapter):
    old, new = tiny.make_pipeline(), tiny.make_pipeline()
    old.register_modules(transformer=add_latent_channels(old.transformer, NUM_LATENTS + 1))
    with pytest.raises(ConfigError, match="5 latent channels there, 4 here"):
        move_adapter(adapter, old, new)


def test_the_command_writes_a_folder_that_loads(adapter, tmp_path, capsys):
    tiny.make_pipeline().save_pretrained(tmp_path / "old")
    tiny.make_pipeline(seed=5).save_pretrained(tmp_path / "new")
    bases = ["--base", str(tmp_path / "old"), "--to", str(tmp_path / "new")]
    assert main([str(adapter), str(tmp_path / "moved"), *bases]) == 0
    assert json.loads(capsys.readouterr().out)["adapter"] == str(tmp_path / "moved")
    manifest = read_manifest(tmp_path / "moved" / "tavid_adapter.json")
    assert manifest.base_model == "new"
    assert manifest.base_model_sha256 == hash_folder(tmp_path / "new")
    load_adapter(tiny.make_pipeline(seed=5), tmp_path / "moved")


def test_the_command_says_what_is_wrong(adapter, tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    bases = ["--base", nowhere, "--to", nowhere]
    assert main([str(adapter), str(tmp_path / "moved"), *bases]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "moved").exists()
