"""The manifest's rules, and that any JSON is either a manifest or a typed error."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tavid_core.adapter_manifest import AdapterManifest, read_manifest, write_manifest
from tavid_core.errors import ConfigError, WeightsError

MANIFEST = "tavid_adapter.json"
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = [field.name for field in dataclasses.fields(AdapterManifest)]


@FUZZ
@given(
    fields=JSON
    | st.dictionaries(st.sampled_from(FIELDS), JSON)
    | st.fixed_dictionaries({"prompt": st.dictionaries(st.sampled_from(["sentence"]), JSON)})
)
def test_any_json_gives_a_manifest_or_a_weights_error(tmp_path, fields):
    path = tmp_path / MANIFEST
    path.write_text(json.dumps(fields))
    manifest, message = None, ""
    try:
        manifest = read_manifest(path)
    except WeightsError as error:
        message = str(error)
    if manifest is None:
        assert MANIFEST in message
    else:
        write_manifest(path, manifest)
        assert read_manifest(path) == manifest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format_version must be 1, got 2"),
        ({"num_mask_slots": 2}, "must equal the number of slot words"),
        ({"lora_rank": 0}, "lora_rank and lora_alpha must be positive"),
        ({"lora_alpha": float("nan")}, "lora_rank and lora_alpha must be positive"),
        ({"lora_targets": ()}, "lora_targets must name layers"),
        ({"attention_blocks": (-1,)}, "attention_blocks must be 0 or more"),
        ({"map_normalization": "max"}, "map_normalization must be one of"),
        ({"attention_direction": "t2t"}, "attention_direction must be"),
    ],
)
def test_manifest_checks_its_fields(changes, message):
    with pytest.raises(ConfigError, match=message):
        AdapterManifest(**changes)
