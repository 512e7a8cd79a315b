"""JSON objects into dataclasses: right types pass, all others are named."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.json_fields import read_json_object, typed_fields


@dataclasses.dataclass
class Example:
    name: str = ""
    count: int = 0
    scale: float = 1.0
    is_on: bool = False
    blocks: tuple[int, ...] = ()


def test_right_values_pass():
    fields = {"name": "a", "count": 2, "scale": 3, "is_on": True, "blocks": [1, 2]}
    example = Example(**typed_fields(Example, fields))
    assert example == Example("a", 2, 3.0, True, (1, 2))
    assert isinstance(example.scale, float)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": True}, "count is true, not int"),
        ({"count": 1.0}, "count is 1.0, not int"),
        ({"is_on": 1}, "is_on is 1, not bool"),
        ({"name": None}, "name is null, not str"),
        ({"scale": "1"}, 'scale is "1", not float'),
        ({"blocks": [1, "2"]}, 'blocks is "2", not int'),
        ({"blocks": 1}, "blocks is 1, not tuple"),
        ([], "Example is a JSON list, not an object"),
    ],
)
def test_wrong_values_are_named(fields, message):
    with pytest.raises(TypeError, match=message):
        typed_fields(Example, fields)


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match=r"unknown fields .'sclae'"):
        typed_fields(Example, {"sclae": 1.0})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["name", "count", "scale", "is_on", "blocks"]), json_values))
def test_any_json_is_typed_or_refused(fields):
    try:
        example = Example(**typed_fields(Example, json.loads(json.dumps(fields))))
    except (TypeError, OverflowError):
        return
    assert type(example.count) is int
    assert type(example.scale) is float
    assert all(type(block) is int for block in example.blocks)


def test_files_are_read_or_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_json_object(path) == {"a": 1}
    path.write_text("[1]")
    with pytest.raises(TypeError, match="a JSON list, not an object"):
        read_json_object(path)
    path.write_text(" " * (1 << 20) + "{}")
    with pytest.raises(ValueError, match="far more than such a file has"):
        read_json_object(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="utf-8"):
        read_json_object(path)
