"""The training-free baseline: only the target word's scores change, and only as told."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from tavid_core.errors import ConfigError, PromptError, ShapeError
from tavid_core.model_folder import find_model_folder
from tavid_core.types import PlanRequest
from tests.tiny import make_image, make_mask, make_pipeline
from training.modulation import AttentionModulation, last_word, modulate, modulated
from training.sources.sim.parts import HARDER_KINDS, UNSEEN_KINDS

NUM_TEXT, NUM_QUERIES, NUM_FRAMES, NUM_TOKENS, WIDTH = 5, 6, 2, 17, 16


def make_modulation(strength=1.5, **options):
    return AttentionModulation(
        strength=strength,
        # One word of a single token, one of two.
        is_word_BL=torch.tensor([[0, 0, 0, 1, 0], [0, 1, 1, 0, 0]], dtype=torch.bool),
        mask_BQ=torch.tensor([[1.0, 0, 0, 1, 0, 0], [0.0, 1, 1, 1, 1, 1]]),
        **options,
    )


def explicit_bias(modulation):
    bias_BNN = torch.zeros(2, NUM_TOKENS, NUM_TOKENS)
    for sample, token in modulation.is_word_BL.nonzero().tolist():
        signs_Q = 2 * modulation.mask_BQ[sample] - 1
        for frame in range(NUM_FRAMES if modulation.all_frames else 1):
            first = NUM_TEXT + frame * NUM_QUERIES
            bias_BNN[sample, first : first + NUM_QUERIES, token] = modulation.strength * signs_Q
    return bias_BNN


@pytest.mark.parametrize("all_frames", [False, True])
def test_wider_columns_are_the_same_as_a_matrix_of_biases(all_frames):
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, NUM_TOKENS, WIDTH, generator=generator)
    modulation = make_modulation(all_frames=all_frames)
    wanted = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=explicit_bias(modulation)[:, None]
    )
    wide_query, wide_key = modulation.widen(query, key, NUM_TEXT)
    got = functional.scaled_dot_product_attention(
        wide_query, wide_key, functional.pad(value, (0, 8)), scale=1 / math.sqrt(WIDTH)
    )[..., :WIDTH]
    torch.testing.assert_close(got, wanted)
    plain = functional.scaled_dot_product_attention(query, key, value)
    assert not torch.allclose(plain, wanted)


def test_with_guidance_only_the_conditional_half_changes():
    query, key = torch.randn(2, 4, 4, NUM_TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))
    wide_query, wide_key = make_modulation().widen(query, key, NUM_TEXT)
    assert not wide_query[:2, ..., WIDTH:].any()
    assert not wide_key[:2, ..., WIDTH:].any()
    assert wide_query[2:, ..., WIDTH:].any()
    assert wide_key[2:, ..., WIDTH:].any()


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline()


def make_request(prompt="the hand lifts the red mug."):
    return PlanRequest(image=make_image(), target_mask=make_mask(), prompt=prompt)


def imagine(pipeline, request):
    return pipeline(
        torch.from_numpy(request.image.copy()).permute(2, 0, 1)[None] / 255.0,
        request.prompt,
        num_inference_steps=1,
        guidance_scale=6.0,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).frames


def test_a_rollout_changes_with_the_strength_and_not_at_zero(pipeline):
    request = make_request()
    plain = imagine(pipeline, request)
    before = [block.attn1.processor for block in pipeline.transformer.transformer_blocks]
    rollouts = {}
    for strength in (0.0, 4.0):
        with modulated(pipeline.transformer, modulate(pipeline, [request], strength)):
            rollouts[strength] = imagine(pipeline, request)
    torch.testing.assert_close(rollouts[0.0], plain)
    assert (rollouts[4.0] - plain).abs().max() > 1e-4
    everywhere = modulate(pipeline, [request], 4.0, all_frames=True)
    with modulated(pipeline.transformer, everywhere):
        further = imagine(pipeline, request)
    # Told in its own tokens, the last frame changes more than by what it hears of the first.
    changed = [(found - plain)[:, -1].abs().mean() for found in (rollouts[4.0], further)]
    assert changed[1] > changed[0]
    after = [block.attn1.processor for block in pipeline.transformer.transformer_blocks]
    assert all(a is b for a, b in zip(after, before, strict=True))


def test_processors_come_back_after_an_error(pipeline):
    before = pipeline.transformer.transformer_blocks[0].attn1.processor
    modulation = modulate(pipeline, [make_request()], 1.0)
    with pytest.raises(RuntimeError, match="stop"), modulated(pipeline.transformer, modulation):
        raise RuntimeError("stop")
    assert pipeline.transformer.transformer_blocks[0].attn1.processor is before


def test_the_word_is_the_last_one_of_the_prompt(pipeline):
    request = make_request("the mug on the table, a mug.")
    ((_, index),) = modulate(pipeline, [request], 1.0).is_word_BL.nonzero().tolist()
    offsets = pipeline.tokenizer(request.prompt, return_offsets_mapping=True)["offset_mapping"]
    assert offsets[index][1] == request.prompt.rindex("mug") + 3
    assert last_word("Take it!") == "it"


def test_all_pieces_of_a_word_are_raised():
    """Kinds of objects that the tokenizer splits ended a measurement."""
    tokenizer = AutoTokenizer.from_pretrained(
        find_model_folder("mini") / "tokenizer", local_files_only=True
    )
    pipeline = SimpleNamespace(
        tokenizer=tokenizer,
        token_grid=lambda: (4, 6),
        transformer=SimpleNamespace(config=SimpleNamespace(max_text_seq_length=32)),
    )
    kinds = [*HARDER_KINDS, *UNSEEN_KINDS]
    requests = [make_request(f"A person lifts the white {kind}.") for kind in kinds]
    marks_BL = modulate(pipeline, requests, 1.0).is_word_BL
    assert marks_BL.shape == (len(kinds), 32)
    for kind, request, marks_L in zip(kinds, requests, marks_BL, strict=True):
        ids = tokenizer(request.prompt)["input_ids"]
        pieces = [ids[i] for i in marks_L.nonzero().flatten().tolist()]
        assert tokenizer.decode(pieces).strip() == kind
    assert (marks_BL.sum(1) > 1).any()


def test_words_that_cannot_be_raised_are_refused(pipeline):
    length = pipeline.transformer.config.max_text_seq_length
    with pytest.raises(PromptError, match="prompt must leave room for 'mug' within"):
        modulate(pipeline, [make_request("the red " * length + "mug.")], 1.0)
    with pytest.raises(ConfigError, match="prompt must have words"):
        last_word(" ... ")


def test_unusable_settings_are_refused():
    with pytest.raises(ConfigError, match="strength must be finite"):
        make_modulation(-1.0)
    with pytest.raises(ConfigError, match="strength must be finite"):
        make_modulation(math.nan)
    with pytest.raises(ShapeError, match="one row per word"):
        AttentionModulation(
            strength=1.0, is_word_BL=torch.ones(1, 5, dtype=torch.bool), mask_BQ=torch.zeros(2, 6)
        )
