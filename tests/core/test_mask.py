"""Masks stay binary, on the object, and never vanish silently."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tavid_core.errors import InputError, ShapeError
from tavid_core.mask import binarize_mask, fit_mask, mask_to_grid
from tests import tiny

SIDES = st.integers(1, 40)


@pytest.mark.parametrize("high", [True, 1, 255, 1.0, 255.0, np.uint8(255), np.int32(1)])
def test_two_valued_masks_become_bool(high):
    mask = np.zeros((3, 4), dtype=type(high))
    mask[1, 2] = high
    for array in (mask, mask[..., None]):
        result = binarize_mask(array)
        assert result.dtype == np.bool_
        assert result.shape == (3, 4)
        assert result.sum() == 1
        assert result[1, 2]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([[0, 1, 2]]), "must hold only 0/1 or 0/255, got 0, 1, 2"),
        (np.array([[0, 1, 255]]), "must hold only 0/1 or 0/255"),
        (np.array([[0, -1]]), "must hold only 0/1 or 0/255"),
        (np.array([[0.0, np.nan]]), "must hold only 0/1 or 0/255"),
        (np.array([[0.0, 0.5]]), "must hold only 0/1 or 0/255"),
        (np.array([["a"]]), "mask must be numeric or bool"),
        (np.array([[1j]]), "mask must be numeric or bool"),
    ],
)
def test_other_values_are_refused(mask, message):
    with pytest.raises(InputError, match=message):
        binarize_mask(mask)


def test_threshold_takes_soft_edges():
    assert binarize_mask(np.array([[0, 127, 128, 255]]), threshold=127).tolist() == [
        [False, False, True, True]
    ]


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3), (1, 2, 2), (0, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match="mask must have"):
        binarize_mask(np.zeros(shape, bool))


@given(height=SIDES, width=SIDES, seed=st.integers(0, 99), factor=st.integers(1, 3))
def test_fit_keeps_masks_binary_and_enlarging_is_lossless(height, width, seed, factor):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    if not mask.any() or mask.all():
        return
    large = fit_mask(mask, (height * factor, width * factor))
    assert np.array_equal(large, mask.repeat(factor, 0).repeat(factor, 1))
    assert np.array_equal(fit_mask(large, (height, width)), mask)


@given(row=st.integers(0, 47), column=st.integers(0, 71))
def test_tiny_object_keeps_a_pixel_at_its_place(row, column):
    mask = np.zeros((48, 72), bool)
    mask[row, column] = True
    for small in (fit_mask(mask, (8, 12)), mask_to_grid(mask, (8, 12)).astype(bool)):
        assert np.argwhere(small).tolist() == [[row // 6, column // 6]]


def test_hollow_object_keeps_a_pixel_that_was_marked():
    mask = np.zeros((90, 90), bool)
    mask[[1, 88], 1] = mask[[1, 88], 88] = True
    assert np.argwhere(mask_to_grid(mask, (3, 3))).tolist() in (
        [[0, 0]],
        [[0, 2]],
        [[2, 0]],
        [[2, 2]],
    )


@pytest.mark.parametrize("grid", [(8, 12), (4, 6), (16, 24)])
def test_grid_equals_torchs_nearest(grid):
    mask = np.random.default_rng(1).random((32, 48)) < 0.5
    expected = functional.interpolate(torch.from_numpy(mask)[None, None].float(), grid)[0, 0]
    result = mask_to_grid(mask, grid)
    assert result.dtype == np.float32
    assert np.array_equal(result, expected.numpy())


def test_grid_of_an_empty_mask_is_empty():
    assert not mask_to_grid(np.zeros((8, 8), bool), (2, 2)).any()


def test_fit_of_equal_size_is_a_copy():
    mask = tiny.make_mask()
    fitted = fit_mask(mask, mask.shape)
    fitted[:] = True
    assert not mask.all()


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.zeros((32, 48), bool), InputError, "cup must mark at least one pixel"),
        (np.ones((32, 48), bool), InputError, "cup must leave some pixels unmarked"),
        (
            tiny.make_mask(48, 48),
            ShapeError,
            r"cup must have the image's aspect \(96x64\), got 48x48",
        ),
        (np.zeros((2, 3, 4), bool), ShapeError, "cup must have shape"),
    ],
)
def test_unusable_masks_are_refused(mask, error, message):
    with pytest.raises(error, match=message):
        fit_mask(mask, (64, 96), name="cup")


def test_mask_that_fills_the_small_image_is_refused():
    mask = np.ones((60, 60), bool)
    mask[0, 0] = False
    with pytest.raises(InputError, match=r"mask \(resized to 2x2\) must leave some pixels"):
        fit_mask(mask, (2, 2))


def test_aspect_is_judged_against_the_image():
    mask = tiny.make_mask(48, 48)
    assert fit_mask(mask, (32, 48), image_size_hw=(96, 96)).shape == (32, 48)
    # Rounding of a resized photograph is no other aspect.
    assert fit_mask(tiny.make_mask(427, 640), (32, 48), image_size_hw=(1365, 2048)).shape == (
        32,
        48,
    )
