"""The benchmark of the attention map, at a size that takes seconds: exact values, real ratios."""

import json

import pytest

from benchmarks import attention_map


def test_both_ways_agree(monkeypatch, capsys):
    # A process per way takes long to start; what it measures is tested below.
    monkeypatch.setattr(attention_map, "_peak_bytes", lambda way, *_: {"recorded": 1}.get(way, 4))
    words = ["--json", "--keys", "2000", "--heads", "1", "--rounds", "1"]
    assert attention_map.main(words) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["max_abs_error_value"] < 1e-7
    assert figures["max_abs_error_gradient"] < 1e-6
    assert figures["peak_memory_ratio"] == 0.25
    assert figures["time_ratio_forward"] > 0
    assert figures["time_ratio_forward_backward"] > 0


@pytest.mark.slow
def test_peak_of_all_scores_is_that_of_the_score_matrix():
    num_keys, num_heads = 3000, 2
    scores = 4 * num_heads * num_keys * attention_map.GRID_HW[0] * attention_map.GRID_HW[1]
    peak = attention_map._peak_bytes("materialised", num_keys, num_heads)
    assert 2 * scores < peak < 8 * scores
