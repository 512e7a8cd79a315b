"""The benchmark of the attention map, at a size that takes seconds: exact values, real ratios."""

import json

import pytest

from benchmarks import attention_map

pytestmark = pytest.mark.slow


def test_both_ways_agree_and_the_recorded_one_is_small(capsys):
    words = ["--json", "--keys", "3000", "--heads", "2", "--rounds", "1"]
    assert attention_map.main(words) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["max_abs_error_value"] < 1e-7
    assert figures["max_abs_error_gradient"] < 1e-6
    assert 0 < figures["peak_memory_ratio"] < 0.6
    assert figures["time_ratio_forward"] > 0
    assert figures["time_ratio_forward_backward"] > 0
