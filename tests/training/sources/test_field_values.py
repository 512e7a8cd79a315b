"""Numbers, indices and paths of documents: what is taken, and what each refusal says."""

from pathlib import Path

import numpy as np
import pytest

from tavid_core.errors import InputError
from training.sources.field_values import find_inside, is_number, parse_index, pick, read_numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(3, True), (-0.5, True), (True, False), ("3", False), (None, False)],
        *[(value, False) for value in (float("nan"), float("inf"), 10**400, -(10**400))],
    ],
)
def test_numbers_are_finite_and_no_texts(value, expected):
    assert is_number(value) is expected


def test_numbers_in_lists_and_arrays_get_their_shape():
    np.testing.assert_array_equal(read_numbers([1, 2, 3, 4], (2, 2), "x"), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_numbers(np.eye(2), (-1,), "x"), [1, 0, 0, 1])
    unknown = read_numbers([None, 1.0, float("nan")], (3,), "x", allows_nan=True)
    assert np.isnan(unknown).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([1, 2], r"rotation of a\.json must be numbers of shape \(3,\)"),
        ([1, 2, "x"], r"must be numbers of shape \(3,\)"),
        ([1, 2, [3]], r"must be numbers of shape \(3,\)"),
        ([1, 2, 10**400], "too large"),
        ([1, 2, 1e30], "must be finite"),
        ([1, 2, float("nan")], "must be finite"),
        ([1, 2, float("inf")], "must be finite"),
        (np.zeros(3, complex), "must be real numbers"),
        ({"a": 1}, r"must be numbers of shape \(3,\)"),
    ],
)
def test_what_is_no_numbers_is_refused(values, match):
    with pytest.raises(InputError, match=match):
        read_numbers(values, (3,), "rotation of a.json")


def test_indices_and_values_that_are_not_there():
    assert [parse_index(text) for text in ("30", "²", "-1", "1" * 5000, 3)] == [30, *[None] * 4]
    document = {"a": [{"b": 1}]}
    assert pick(document, "a", 0, "b") == 1
    assert pick(document, "a", 1, "b") is pick(document, "b") is pick(None, "a") is None


@pytest.mark.parametrize(
    "relative",
    ["/etc", "../x", "a/../../x", "a\\b", "a\0b", "\ud800", "a" * 300, "a/" * 600, None, ["a"], 3],
)
def test_paths_that_leave_or_cannot_be_are_refused(relative):
    with pytest.raises(InputError, match=r"root_dir of takes\.json must be a path that stays"):
        find_inside(Path("/set"), relative, "root_dir of takes.json")


def test_paths_inside():
    assert find_inside(Path("/set"), "takes/a b", "x") == Path("/set/takes/a b")
