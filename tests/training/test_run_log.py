"""The log of measurements survives interruptions and refuses what is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from training.run_log import RunLine, RunLog, parse_line

FOUND = {"target_contact": 0.5, "wrong_target": 0.25, "no_contact": 0.25, "attention_iou": None}


def make_line(**changes):
    fields = {"row": "tavid", "scenes": "three", "seed": 0, "step": 100, "num_clips": 40}
    return RunLine(**{**fields, "num_scenes": 4, **changes})


def test_what_was_appended_is_read_again(tmp_path):
    path = tmp_path / "deep" / "runs.jsonl"
    log = RunLog(path)
    log.append(make_line(), FOUND)
    log.append(make_line(seed=1), FOUND)
    again = RunLog(path)
    assert make_line() in again
    assert make_line(seed=1) in again
    assert make_line(step=200) not in again
    assert again.lines[make_line()]["target_contact"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": 3}, "must have row, got 3"),
        ({"step": "many"}, "must have step, got 'many'"),
        ({"seed": True}, "must have seed, got True"),
        ({"target_contact": 1.5}, "must have target_contact in 0..1, got 1.5"),
        ({"no_contact": None}, "must have no_contact in 0..1, got None"),
    ],
)
def test_a_bad_line_is_named(tmp_path, change, message):
    path = tmp_path / "runs.jsonl"
    RunLog(path).append(make_line(), FOUND)
    fields = {**json.loads(path.read_text()), **change}
    path.write_text(path.read_text() + json.dumps(fields) + "\n")
    with pytest.raises(InputError, match=f"runs.jsonl line 2 {message}"):
        RunLog(path)


def test_rows_of_another_base_model_are_not_mixed_in(tmp_path):
    log = RunLog(tmp_path / "runs.jsonl")
    log.demand_base("three", "abc")
    log.append(make_line(), {**FOUND, "base": "abc"})
    log.demand_base("three", "abc")
    log.demand_base("five", "def")
    with pytest.raises(InputError, match="base model def only for three, got rows of abc"):
        log.demand_base("three", "def")
    log.append(make_line(seed=1), FOUND)
    with pytest.raises(InputError, match="got rows of one that was not logged"):
        log.demand_base("three", "abc")


@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_measurement_or_refused(text):
    try:
        line, found = parse_line(text, "line 1")
    except InputError:
        return
    assert isinstance(line, RunLine)
    assert 0 <= found["target_contact"] <= 1
