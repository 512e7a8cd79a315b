"""Spoilt masks: each kind does what its name says, and the same numbers spoil the same way."""

import numpy as np
import pytest

from training.sloppy_masks import SLOPPY_KINDS, make_sloppy


@pytest.fixture
def mask():
    """A disc of radius 8 with a dent, so that its box is larger than it."""
    rows, columns = np.indices((64, 96))
    return ((rows - 30) ** 2 + (columns - 40) ** 2 < 64) & (columns < 46)


def test_the_same_numbers_spoil_the_same_way(mask):
    np.testing.assert_array_equal(make_sloppy(mask, 1, 2), make_sloppy(mask, 1, 2))
    drawn = {make_sloppy(mask, 1, index).tobytes() for index in range(40)}
    assert len(drawn) > 10


@pytest.mark.parametrize("index", range(10))
def test_kinds_do_what_they_say(mask, index):
    spoilt = {kind: make_sloppy(mask, 0, index, kind) for kind in SLOPPY_KINDS}
    np.testing.assert_array_equal(spoilt["exact"], mask)
    assert (spoilt["dilated"] >= mask).all()
    assert spoilt["dilated"].sum() > mask.sum()
    assert (spoilt["eroded"] <= mask).all()
    assert 0 < spoilt["eroded"].sum() < mask.sum()
    assert spoilt["shifted"].sum() == mask.sum()
    assert 0.3 < (spoilt["shifted"] & mask).sum() / mask.sum() < 1
    rows, columns = np.nonzero(spoilt["box"])
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert (spoilt["box"] >= mask).all()


def test_a_tiny_mask_never_becomes_empty():
    tiny = np.zeros((64, 96), dtype=bool)
    tiny[0, 0] = True
    for index in range(50):
        assert make_sloppy(tiny, 3, index).any()
