"""Results of files: written and read again, and damaged ones told."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tavid_core.errors import InputError
from training.sources.job_state import (
    JobResult,
    RejectedEntry,
    read_result,
    result_path,
    write_result,
)
from training.sources.recording import SourceNote

RESULT = JobResult(
    name="a",
    stamp="0",
    rejected=(RejectedEntry("take", 3, "camera moves", "by 4 %", ""),),
    notes=(SourceNote("frames lost", 2, "at 1 s"),),
    error="torn",
)


def test_a_result_comes_back(tmp_path):
    write_result(tmp_path, RESULT)
    assert read_result(result_path(tmp_path, "a")) == RESULT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from(["name", "stamp", "clips", "rejected", "notes", "error"]), json_values)
def test_any_value_in_any_field_gives_a_result_or_a_typed_error(tmp_path, field, value):
    write_result(tmp_path, RESULT)
    path = result_path(tmp_path, "a")
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, field: value}), encoding="utf-8")
    try:
        assert isinstance(read_result(path), JobResult)
    except InputError:
        return


def test_a_torn_result_is_told(tmp_path):
    write_result(tmp_path, RESULT)
    path = result_path(tmp_path, "a")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="Delete it; its file is then done again"):
        read_result(path)
