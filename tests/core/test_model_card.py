"""The model card's rules, and that any JSON is either a card or a typed error."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tavid_core.errors import ConfigError, WeightsError
from tavid_core.model_card import MODEL_CARD_FILE, ModelCard, read_model_card, write_model_card

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = [field.name for field in dataclasses.fields(ModelCard)]


def test_card_comes_back(tmp_path):
    card = ModelCard(name="tiny", fps=10.0, num_frames=17, attention_blocks=(1, 2))
    write_model_card(tmp_path, card)
    assert read_model_card(tmp_path) == card


def test_folder_without_a_card_is_used_as_in_the_paper(tmp_path):
    assert read_model_card(tmp_path) == ModelCard()
    assert read_model_card(tmp_path, default_num_frames=17).sampler.num_frames == 17


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fields=JSON | st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_json_gives_a_card_or_a_weights_error(tmp_path, fields):
    (tmp_path / MODEL_CARD_FILE).write_text(json.dumps(fields))
    card, message = None, ""
    try:
        card = read_model_card(tmp_path)
    except WeightsError as error:
        message = str(error)
    assert isinstance(card, ModelCard) or MODEL_CARD_FILE in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be a model card"),
        (b"\xff\xfe", "must be a model card"),
        (b"[]", "a JSON list, not an object"),
        (b'{"steps": 3}', "unknown fields"),
        (b'{"fps": true}', "fps is true, not float"),
        (b'{"num_frames": 17.0}', "num_frames is 17.0, not int"),
        (b'{"fps": 1' + b"0" * 400 + b"}", "must be a model card"),
        (b" " * (1 << 20) + b"{}", "far more than such a file has"),
        (b"[" * 100_000, "must be a model card"),
    ],
)
def test_damaged_cards_are_named(tmp_path, content, message):
    (tmp_path / MODEL_CARD_FILE).write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_model_card(tmp_path)
    assert MODEL_CARD_FILE in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0.0}, "fps must be positive, got 0"),
        ({"fps": float("inf")}, "fps must be positive"),
        ({"attention_steps": 0.0}, "attention_steps must be"),
        ({"attention_steps": 1.5}, "attention_steps must be"),
        ({"attention_blocks": (-1,)}, "attention_blocks must be 0 or more"),
        ({"num_frames": 16}, r"num_frames must be 8n\+1"),
    ],
)
def test_fields_are_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        ModelCard(**changes)
