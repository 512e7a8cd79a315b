"""Samples without text and masks, as the unconditional half of guidance has them."""

import pytest
import torch

from tests.tiny import MAX_TEXT, make_pipeline
from training.adapter_model import prepare_transformer
from training.cache import LatentCache
from training.finetune_config import with_settings
from training.finetune_loss import FinetuneLoss
from training.recipes import RECIPES
from training.supervision import attention_loss
from training.texts import load_or_build_texts

CAPTIONS = ("A person lifts the red mug.", "A person lifts the cup.", "A hand picks up the box.")


@pytest.fixture
def make_loss(tmp_path):
    def make(*settings):
        config = with_settings(RECIPES["debug_cpu"](), ["batch_size=8", *settings])
        pipeline = make_pipeline()
        prepare_transformer(pipeline.transformer, config)
        torch.manual_seed(3)
        cache = LatentCache(
            latents_NFCHW=torch.randn(3, 3, 4, 8, 12),
            images_NKCHW=torch.randn(3, 1, 4, 8, 12),
            masks_NSHW=(torch.rand(3, 1, 32, 48) > 0.5).to(torch.uint8),
            captions=CAPTIONS,
        )
        texts = load_or_build_texts(
            [*CAPTIONS, None],
            pipeline.tokenizer,
            pipeline.text_encoder,
            config.prompt,
            MAX_TEXT,
            tmp_path / "texts.safetensors",
        )
        loss = FinetuneLoss(pipeline, cache, config, texts)
        loss.seen = []
        pipeline.transformer.register_forward_pre_hook(
            lambda _, __, inputs: loss.seen.append(inputs), with_kwargs=True
        )
        return loss

    return make


def test_a_bare_sample_has_what_the_unguided_half_of_the_pipeline_has(make_loss):
    loss = make_loss("condition_dropout=1")
    figures = loss(0, range(8))
    (inputs,) = loss.seen
    _, nothing = loss.pipeline.encode_prompt(
        CAPTIONS[0], do_classifier_free_guidance=True, max_sequence_length=MAX_TEXT
    )
    torch.testing.assert_close(inputs["encoder_hidden_states"], nothing.expand(8, -1, -1))
    assert (inputs["hidden_states"][:, :, -1] == 0).all()
    assert figures["attention"] == 0
    assert figures["loss"] == figures["diffusion"]
    figures["loss"].backward()


def test_without_dropout_every_sample_has_both(make_loss):
    loss = make_loss()
    loss(0, range(8))
    (inputs,) = loss.seen
    assert inputs["hidden_states"][:, 0, -1].flatten(1).any(dim=1).all()
    states = loss.texts([*CAPTIONS, None])
    clips = loss.samples.draw(0, range(8), loss.device).clips_B
    torch.testing.assert_close(inputs["encoder_hidden_states"], states[clips])


def test_dropping_changes_nothing_of_the_samples_that_are_kept(make_loss):
    plain, dropping = make_loss(), make_loss("condition_dropout=0.5")
    plain(0, range(8))
    dropping(0, range(8))
    is_bare_B = dropping.samples.draw(0, range(8), dropping.device).is_bare_B
    assert 0 < is_bare_B.sum() < 8
    assert not plain.samples.draw(0, range(8), plain.device).is_bare_B.any()
    before, after = (run.seen[0]["hidden_states"] for run in (plain, dropping))
    assert torch.equal(before[~is_bare_B], after[~is_bare_B])
    # Same noise and picture, only the mask is gone.
    assert torch.equal(before[is_bare_B][:, :, :-1], after[is_bare_B][:, :, :-1])
    assert (after[is_bare_B][:, :, -1] == 0).all()


@pytest.mark.parametrize("setting", ["batch_size=8", "sloppy_masks=true"])
def test_losses_are_those_of_the_samples_one_by_one(make_loss, setting):
    loss = make_loss("condition_dropout=0.5", "block_choice=fixed", setting)
    whole = loss(0, range(8))
    parts = [loss(0, [index]) for index in range(8)]
    for name in ("loss", "diffusion", "attention"):
        mean = torch.stack([part[name] for part in parts]).mean()
        torch.testing.assert_close(whole[name], mean, rtol=1e-4, atol=1e-6)
    attention = [part["attention"].item() for part in parts]
    assert min(attention) == 0 < max(attention)


def test_the_range_over_a_batch_is_of_the_samples_that_are_shown(make_loss):
    loss = make_loss("condition_dropout=0.5", "map_normalization=batch_min_max")
    map_BSQ, masks_BSQ = torch.rand(4, 1, 6), torch.ones(4, 1, 6)
    is_shown_B = torch.tensor([True, False, True, False])
    map_BSQ[~is_shown_B] *= 100
    found = loss._attention(map_BSQ, masks_BSQ, is_shown_B)
    wanted = attention_loss(map_BSQ[is_shown_B], masks_BSQ[is_shown_B], "batch_min_max") / 2
    torch.testing.assert_close(found, wanted)
