"""Squares against squares: the gate's arithmetic by hand."""

import numpy as np
import pytest

from tavid_core.lifting.pose_gate import agrees_with_mask


def square(left, top, side):
    mask = np.zeros((100, 100), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def outline(left, top, side):
    last = side - 1
    corners = [[left, top], [left + last, top], [left + last, top + last], [left, top + last]]
    return np.array(corners, dtype=np.float64)


@pytest.mark.parametrize(
    ("shift", "agrees"),
    # Two squares of 20 that are x apart have IoU (20 - x) / (20 + x): 0.6 at 5, 0.43 at 8.
    [(0, True), (5, True), (8, False), (40, False)],
)
def test_a_pose_beside_the_mask_is_not_believed(shift, agrees):
    hull = outline(40 + shift, 40, 20)
    assert agrees_with_mask(square(40, 40, 20), 400.0, hull, 1.0) is agrees


def test_a_mask_of_which_a_hand_hides_half_lies_within_the_outline():
    mask = square(40, 40, 20)
    mask[40:52] = False
    assert agrees_with_mask(mask, 400.0, outline(40, 40, 20), 1.0)
    # The same remainder beside the outline.
    assert not agrees_with_mask(mask, 400.0, outline(52, 40, 20), 1.0)


@pytest.mark.parametrize(("depth_ratio", "agrees"), [(1.0, True), (1.3, True), (1.4, False)])
def test_nothing_makes_a_mask_larger_than_its_distance_tells(depth_ratio, agrees):
    assert agrees_with_mask(square(40, 40, 20), 400.0, outline(40, 40, 20), depth_ratio) is agrees


def test_a_hand_may_make_it_smaller():
    mask = square(40, 40, 20)
    mask[40:50] = False
    # A quarter farther by area, and nearer by the pose: the other half is hidden.
    assert agrees_with_mask(mask, 400.0, outline(38, 38, 24), 0.8)


def test_a_hidden_mask_contradicts_nothing_and_a_broken_pose_is_refused():
    assert agrees_with_mask(square(0, 0, 2), 400.0, outline(40, 40, 20), 1.0)
    broken = np.full((4, 2), np.nan)
    assert not agrees_with_mask(square(40, 40, 20), 400.0, broken, 1.0)
