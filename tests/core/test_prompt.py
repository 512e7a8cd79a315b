"""The slot token is the sentence's, found by its position in the text, never by its spelling."""

from __future__ import annotations

import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tavid_core.config import PromptConfig
from tavid_core.errors import ConfigError, PromptError
from tavid_core.prompt import build_prompt, count_tokens, find_slot_index, find_slot_indices
from tests import tiny

PREPEND = PromptConfig(sentence="The person interacts with {target} object .")
APPEND = PromptConfig(
    sentence="The person interacts with {target} object .", sentence_position="append"
)
TWO = PromptConfig(
    slot_words=("target", "source"),
    sentence="The source {actor} interacts with {target} object .",
    sentence_position="append",
)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.make_tokenizer()


def test_sentence_goes_before_or_after():
    assert build_prompt(" lifts it ", PREPEND) == (
        "The person interacts with target object . lifts it"
    )
    assert build_prompt("lifts it", APPEND) == "lifts it The person interacts with target object ."


def test_default_is_the_released_checkpoints_with_the_token_at_index_4(tokenizer):
    text = build_prompt("lifts it", PromptConfig())
    assert text == "The person interacts with target object. lifts it"
    # T5 itself has one token more before it ("interact", "s"): there the index is 5.
    assert find_slot_index(tokenizer, text, "target", tiny.MAX_TEXT) == 4


@pytest.mark.parametrize(
    ("config", "prompt", "expected"),
    [
        (PREPEND, "lifts it", (4,)),
        (PREPEND, "target lifts the target", (4,)),
        (APPEND, "lifts it", (6,)),
        (APPEND, "the target lifts the target mug", (10,)),
        (TWO, "source lifts target", (8, 5)),
    ],
)
def test_index_is_the_sentences_own(tokenizer, config, prompt, expected):
    indices = find_slot_indices(tokenizer, prompt, config, tiny.MAX_TEXT)
    ids = tokenizer(build_prompt(prompt, config))["input_ids"]
    assert indices == expected
    assert [tokenizer.decode(ids[i]).strip() for i in indices] == list(config.slot_words)


def test_added_token_is_found():
    tokenizer = tiny.make_tokenizer()
    config = PromptConfig(
        slot_words=("[TGT]",), sentence="interacts with {target} object", added_tokens=True
    )
    tokenizer.add_tokens(["[TGT]"])
    (index,) = find_slot_indices(tokenizer, "lifts [TGT] it", config, tiny.MAX_TEXT)
    ids = tokenizer(build_prompt("lifts it", config))["input_ids"]
    assert ids[index] == tokenizer.convert_tokens_to_ids("[TGT]")


@given(
    words=st.lists(st.sampled_from(["target", "mug", "zebra", "targets", "é", "."]), min_size=1),
    position=st.sampled_from(["prepend", "append"]),
)
@settings(max_examples=80, deadline=None)
def test_any_prompt_gives_the_sentences_token_or_a_prompt_error(words, position):
    tokenizer, prompt = tiny.make_tokenizer(), " ".join(words)
    config = PromptConfig(sentence=PREPEND.sentence, sentence_position=position)
    text = build_prompt(prompt, config)
    ids = tokenizer(text)["input_ids"]
    index = None
    try:
        (index,) = find_slot_indices(tokenizer, prompt, config, tiny.MAX_TEXT)
    except PromptError:
        assert position == "append"
        assert len(ids) > tiny.MAX_TEXT
    if index is not None:
        before = tokenizer.decode(ids[:index])
        assert tokenizer.decode(ids[index]).strip() == "target"
        assert before.split()[-3:] == ["person", "interacts", "with"]


@pytest.mark.parametrize("num_words", [12, 16, 17, 18, 30])
def test_token_that_would_be_cut_off_is_an_error(tokenizer, num_words):
    prompt = " ".join(["mug"] * num_words)
    # The end token takes the last place, so the target token must lie before it.
    fits = num_words + 4 <= tiny.MAX_TEXT - 2
    if fits:
        assert find_slot_indices(tokenizer, prompt, APPEND, tiny.MAX_TEXT) == (num_words + 4,)
    else:
        total = num_words + 8
        with pytest.raises(PromptError, match=f"within 24 tokens, got {total} tokens. Shorten"):
            find_slot_indices(tokenizer, prompt, APPEND, tiny.MAX_TEXT)


def test_long_tail_behind_the_token_is_no_error(tokenizer):
    prompt = " ".join(["mug"] * 40)
    assert find_slot_indices(tokenizer, prompt, PREPEND, tiny.MAX_TEXT) == (4,)
    assert count_tokens(tokenizer, build_prompt(prompt, PREPEND)) == 48


def test_word_of_several_tokens_is_refused(tokenizer):
    config = PromptConfig(slot_words=("zebra",), sentence="takes {target} now")
    with pytest.raises(PromptError, match="slot word 'zebra' must be exactly one token, got"):
        find_slot_indices(tokenizer, "it", config, tiny.MAX_TEXT)


def test_word_inside_another_is_not_the_slot_word(tokenizer):
    with pytest.raises(PromptError, match="prompt must hold the slot word 'target'"):
        find_slot_index(tokenizer, "the targets", "target", tiny.MAX_TEXT)
    assert find_slot_index(tokenizer, "targets target", "target", tiny.MAX_TEXT) > 1


def test_blank_prompt_is_refused():
    with pytest.raises(PromptError, match="prompt must have words"):
        build_prompt(" \n", PREPEND)


def test_tokenizer_without_offsets_is_refused():
    with pytest.raises(ConfigError, match="tokenizer must report character offsets"):
        find_slot_index(types.SimpleNamespace(is_fast=False), "target", "target", 8)
