"""Overlap of an attention map with a mask, by hand."""

import numpy as np
import pytest

from training.measure import attention_iou


def test_overlap_of_a_map_with_its_mask():
    mask = np.zeros((8, 12), dtype=bool)
    mask[0:4, 0:4] = True  # on a grid of 4 x 6: the first two rows and columns
    map_hw = np.zeros((4, 6), dtype=np.float32)
    map_hw[:2, :2] = 0.002
    assert attention_iou(map_hw, mask) == 1.0
    map_hw[:2, 2:4] = 0.0015
    assert attention_iou(map_hw, mask) == pytest.approx(0.5)


def test_a_flat_map_overlaps_nothing():
    assert attention_iou(np.full((4, 6), 0.3, np.float32), np.eye(8, 12, dtype=bool)) == 0.0
