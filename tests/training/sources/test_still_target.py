"""A mask holds for the frames around its own in which its place looks the same."""

import numpy as np
import pytest

from training.sources.still_target import hold_masks

SHAPE = (20, 30)
TARGET = np.zeros(SHAPE, bool)
TARGET[5:15, 10:20] = True
OTHER = np.roll(TARGET, 5, axis=1)


def film(hidden, num_frames=20):
    """A grey table with a bright thing on it, behind something dark in some frames."""
    frames = np.full((num_frames, *SHAPE, 3), 90, np.uint8)
    frames += np.random.default_rng(0).integers(0, 6, frames.shape, np.uint8)
    frames[:, TARGET] += 80
    frames[hidden] = 10
    return lambda start, stop: frames[start:stop]


def test_a_mask_holds_both_ways_until_its_place_changes():
    held = hold_masks(film([3, 14, 15]), 20, {8: TARGET})
    assert list(held) == list(range(4, 14))
    np.testing.assert_array_equal(held[4], TARGET)


def test_what_was_seen_again_later_is_not_taken_for_granted():
    assert list(hold_masks(film([10]), 20, {0: TARGET})) == list(range(10))


def test_between_two_masks_the_nearer_one_holds():
    held = hold_masks(film([]), 20, {0: TARGET, 10: OTHER})
    assert len(held) == 20
    np.testing.assert_array_equal(held[5], TARGET)
    np.testing.assert_array_equal(held[6], OTHER)
    np.testing.assert_array_equal(held[19], OTHER)


def test_a_finger_that_reaches_in_ends_it():
    read = film([])
    frames = read(0, 20).copy()
    frames[12:, 5:15, 10] = 10
    assert list(hold_masks(lambda a, b: frames[a:b], 20, {0: TARGET})) == list(range(12))


def test_what_is_complete_is_not_looked_at():
    def refuse(start, stop):
        pytest.fail(f"frames {start} to {stop} are not needed")

    masks = dict.fromkeys(range(5), TARGET)
    assert hold_masks(refuse, 5, masks) is masks
    assert hold_masks(refuse, 5, {}) == {}
    empty = {2: np.zeros(SHAPE, bool)}
    assert list(hold_masks(refuse, 5, empty)) == [2]
