"""Each scene counts to one size, and its verdict to that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.target_sizes import SIZE_EDGES, tally_by_size

VERDICTS = ("target_contact", "wrong_target", "no_contact")


def test_verdicts_stand_with_the_size_of_their_target():
    shares = (0.004, 0.007, 0.006, 0.01)
    small, middle, large = tally_by_size(shares, (VERDICTS[2], *VERDICTS[:2], VERDICTS[0]))
    assert small["target_share"] == [0.0, 0.005]
    assert (small["num_scenes"], small["no_contact"]) == (1, 1.0)
    assert (middle["num_scenes"], middle["target_contact"], middle["wrong_target"]) == (2, 0.5, 0.5)
    assert large["target_share"] == [0.01, 0.02]
    assert large["target_contact_interval"] == pytest.approx([0.2065, 1.0], abs=1e-4)


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from(VERDICTS))))
def test_no_scene_is_lost_or_counted_twice(scenes):
    found = tally_by_size([share for share, _ in scenes], [verdict for _, verdict in scenes])
    assert sum(size["num_scenes"] for size in found) == len(scenes)
    edges = [tuple(size["target_share"]) for size in found]
    assert edges == sorted(set(edges))
    assert set(sum(edges, ())) <= set(SIZE_EDGES)
