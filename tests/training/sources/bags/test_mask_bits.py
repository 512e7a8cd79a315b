"""A mask comes out of the spool as it went in."""

import numpy as np
import pytest

from training.sources.bags.mask_bits import decode_mask, encode_mask


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 13), (64, 96), (480, 723)])
def test_round_trip(size_hw):
    mask = np.random.default_rng(0).random(size_hw) > 0.7
    found = decode_mask(encode_mask(mask))
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, mask)
