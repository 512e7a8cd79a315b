"""The crop and its way back: pixels, masks and intrinsics stay on the same ray."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tavid_core.camera import project
from tavid_core.errors import InputError, ShapeError
from tavid_core.frame_fit import FrameFit
from tavid_core.types import CameraIntrinsics
from tests import tiny

SIDES = st.integers(16, 800)


def test_equal_size_changes_nothing():
    fit, image, mask = FrameFit((32, 48), (32, 48)), tiny.make_image(), tiny.make_mask()
    assert np.array_equal(fit.fit_image(image), image)
    assert np.array_equal(fit.fit_mask(mask), mask)
    assert fit.pixels_to_caller([[3, 4]]).tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("image", "model", "window"),
    [
        ((480, 640), (64, 96), (26, 0, 427, 640)),
        ((720, 1280), (480, 720), (0, 100, 720, 1080)),
        ((64, 96), (64, 96), (0, 0, 64, 96)),
        ((16, 4096), (480, 720), (0, 2036, 16, 24)),
    ],
)
def test_window_is_centred_and_of_the_models_aspect(image, model, window):
    assert FrameFit(image, model).window == window


@given(height=SIDES, width=SIDES, model_height=SIDES, model_width=SIDES)
def test_window_lies_inside_and_touches_two_edges(height, width, model_height, model_width):
    assume(max(height / width, width / height) < 10)
    assume(max(model_height / model_width, model_width / model_height) < 10)
    top, left, rows, columns = FrameFit((height, width), (model_height, model_width)).window
    assert top >= 0
    assert left >= 0
    assert top + rows <= height
    assert left + columns <= width
    assert rows == height or columns == width
    # One pixel of rounding on the side that was cut.
    assert abs(rows * model_width - columns * model_height) <= max(model_width, model_height)


@given(height=SIDES, width=SIDES, column=st.floats(0, 800), row=st.floats(0, 800))
def test_pixels_come_back(height, width, column, row):
    fit = FrameFit((height, width), (64, 96))
    pixels = np.array([[column, row], [np.nan, np.nan]])
    back = fit.pixels_to_caller(fit.pixels_to_model(pixels))
    assert np.allclose(back, pixels, atol=2e-3, equal_nan=True)


@given(height=SIDES, width=SIDES)
def test_corners_of_the_frame_are_corners_of_the_window(height, width):
    fit = FrameFit((height, width), (64, 96))
    top, left, rows, columns = fit.window
    corners = fit.pixels_to_caller([[-0.5, -0.5], [95.5, 63.5]])
    expected = [[left - 0.5, top - 0.5], [left + columns - 0.5, top + rows - 0.5]]
    assert np.allclose(corners, expected, atol=1e-3)


def test_image_and_mask_move_together():
    fit = FrameFit((480, 640), (64, 96))
    mask = np.zeros((480, 640), bool)
    mask[200:260, 300:380] = True
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    fitted = fit.fit_mask(mask)
    small = fit.fit_image(image)[..., 0] > 127
    assert fitted.shape == small.shape == (64, 96)
    assert (fitted != small).sum() <= 8
    center = np.argwhere(fitted).mean(0)[::-1]
    assert np.allclose(fit.pixels_to_caller(center), [339.5, 229.5], atol=3.5)


def test_small_images_are_enlarged():
    fit = FrameFit((16, 24), (64, 96))
    image = cv2.cvtColor(np.tile(np.arange(24, dtype=np.uint8) * 10, (16, 1)), cv2.COLOR_GRAY2RGB)
    fitted = fit.fit_image(image)
    assert fitted.shape == (64, 96, 3)
    assert len(np.unique(fitted)) > 24


def test_intrinsics_see_the_same_ray():
    intrinsics = CameraIntrinsics(fx=500, fy=510, cx=322, cy=238, width=640, height=480)
    fit = FrameFit((480, 640), (64, 96))
    points = np.random.default_rng(0).uniform([-0.3, -0.2, 0.5], [0.3, 0.2, 2.0], (50, 3))
    through_model = fit.pixels_to_caller(project(points, fit.fit_intrinsics(intrinsics)))
    assert np.allclose(through_model, project(points, intrinsics), atol=1e-3)
    assert (fit.fit_intrinsics(intrinsics).width, fit.fit_intrinsics(intrinsics).height) == (96, 64)


def test_map_is_laid_over_the_window():
    fit = FrameFit((48, 96), (32, 48))
    laid = fit.map_to_caller(np.ones((8, 12), np.float32))
    assert laid.shape == (48, 96)
    assert laid[:, 12:84].all()
    assert not laid[:, :12].any()
    assert not laid[:, 84:].any()
    with pytest.raises(ShapeError, match="values must have shape"):
        fit.map_to_caller(np.ones((1, 8, 12), np.float32))


def test_target_that_the_window_cuts_is_refused():
    fit = FrameFit((48, 96), (32, 48))
    mask = np.zeros((48, 96), bool)
    mask[10:20, 8:20] = True
    with pytest.raises(
        InputError, match=r"must lie within columns 12\.\.83 .* got 40 pixels outside"
    ):
        fit.fit_mask(mask)
    assert fit.fit_mask(mask, name="actor_mask", may_be_cut=True).any()
    mask[:, 12:] = False
    with pytest.raises(InputError, match="actor_mask must mark at least one pixel"):
        fit.fit_mask(mask, name="actor_mask", may_be_cut=True)


def test_other_sizes_are_refused():
    fit = FrameFit((48, 96), (32, 48))
    with pytest.raises(ShapeError, match="image must have shape"):
        fit.fit_image(tiny.make_image(0, 32, 48))
    with pytest.raises(ShapeError, match="target_mask must have shape"):
        fit.fit_mask(tiny.make_mask())
    with pytest.raises(ShapeError, match="pixels must have shape"):
        fit.pixels_to_caller([1, 2, 3])
    with pytest.raises(InputError, match="must be positive"):
        FrameFit((0, 5), (32, 48))
