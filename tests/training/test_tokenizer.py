import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.config import PromptConfig
from tavid_core.prompt import build_prompt, find_slot_indices
from training.tokenizer import build_tokenizer, vocabulary_sentences

TOKENIZER = build_tokenizer(vocabulary_sentences(), 32)


def test_special_tokens_sit_where_those_of_t5_do():
    assert (TOKENIZER.pad_token_id, TOKENIZER.eos_token_id, TOKENIZER.unk_token_id) == (0, 1, 2)


def test_the_slot_word_is_one_token_and_found():
    text = build_prompt("A person lifts the red mug.", PromptConfig())
    index = find_slot_indices(TOKENIZER, "A person lifts the red mug.", PromptConfig(), 32)[0]
    token = TOKENIZER.convert_ids_to_tokens(TOKENIZER(text).input_ids)[index]
    assert token.lstrip("\u0120") == "target"


@given(st.text(min_size=1, max_size=60))
def test_no_text_is_refused(text):
    ids = TOKENIZER(text, padding="max_length", max_length=32, truncation=True).input_ids
    assert len(ids) == 32
    assert max(ids) < len(TOKENIZER)


@pytest.mark.parametrize("word", ["robot", "cup", "woman", "orange"])
def test_everyday_words_are_single_tokens(word):
    assert len(TOKENIZER(word).input_ids) == 2
