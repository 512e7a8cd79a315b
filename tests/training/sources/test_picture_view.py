"""Frames, masks, points and intrinsics stay in register through a lens and a window."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from training.sources.picture_view import PictureView, window_around

CAMERA = CameraIntrinsics(fx=110.0, fy=112.0, cx=80.5, cy=59.0, width=160, height=120)
LENSES = {
    "pinhole": None,
    "rational": LensDistortion(
        model="rational_polynomial", coefficients=(-0.2, 0.05, 0.001, -0.002, 0.01, 0.02, 0.0, 0.0)
    ),
    "fisheye": LensDistortion(model="equidistant", coefficients=(0.037, 0.057, -0.057, 0.018)),
}


def draw_dot(pixel, size_hw=(120, 160)):
    frame = np.zeros((*size_hw, 3), np.uint8)
    cv2.circle(frame, tuple(int(v) for v in pixel), 4, (255, 255, 255), -1)
    return frame


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("window", [None, (20, 30, 60, 90)])
def test_dot_mask_and_point_meet(lens, window):
    view = PictureView((120, 160), CAMERA, LENSES[lens], window)
    pixel = np.array([90.0, 50.0])
    frame = draw_dot(pixel)
    seen = view.apply(frame)
    mask = view.apply_mask(frame[..., 0] > 0)
    point = view.apply_points(np.stack([pixel, [np.nan, 1.0]]))
    assert seen.shape[:2] == mask.shape == view.size_hw
    rows, columns = np.nonzero(mask)
    np.testing.assert_allclose(point[0], [columns.mean(), rows.mean()], atol=0.6)
    np.testing.assert_allclose(seen[mask].mean(), 255, atol=60)
    assert np.isnan(point[1]).any()


@pytest.mark.parametrize("lens", LENSES)
def test_intrinsics_fit_the_view(lens):
    """A point in space lands where the new intrinsics say, by way of the bent picture."""
    view = PictureView((120, 160), CAMERA, LENSES[lens], (10, 20, 100, 120))
    point_m = np.array([[0.12, -0.05, 1.0]])
    matrix = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1.0]])
    bend = np.array(LENSES[lens].coefficients) if LENSES[lens] else np.zeros(4)
    project = cv2.fisheye.projectPoints if lens == "fisheye" else cv2.projectPoints
    bent = project(point_m[None], np.zeros(3), np.zeros(3), matrix, bend)[0].reshape(2)
    new = view.camera
    straight = [
        new.fx * point_m[0, 0] / point_m[0, 2] + new.cx,
        new.fy * point_m[0, 1] / point_m[0, 2] + new.cy,
    ]
    np.testing.assert_allclose(view.apply_points(bent), straight, atol=0.05)
    assert (new.width, new.height) == (120, 100)


def test_unknown_camera_stays_unknown():
    view = PictureView((120, 160), None, LENSES["fisheye"])
    assert view.camera is None
    assert view.apply(draw_dot((5, 5))).shape == (120, 160, 3)


def test_views_refuse_what_does_not_fit():
    with pytest.raises(InputError, match="camera must be for 80x60 pixels, got 160x120"):
        PictureView((60, 80), CAMERA)
    with pytest.raises(InputError, match="window must lie in 160x120"):
        PictureView((120, 160), CAMERA, None, (100, 0, 30, 30))


@given(
    left=st.floats(0, 150),
    top=st.floats(0, 110),
    columns=st.floats(0, 160),
    rows=st.floats(0, 120),
    aspect=st.floats(0.3, 3.0),
)
def test_windows_lie_in_the_picture_and_hold_what_fits(left, top, columns, rows, aspect):
    right, bottom = min(159, left + columns), min(119, top + rows)
    window = window_around((left, top, right, bottom), (120, 160), aspect)
    PictureView((120, 160), window=window)
    assert abs(window[3] - window[2] * aspect) <= 1 + aspect
    if window[3] > right - left + 3 and window[2] > bottom - top + 3:
        assert window[1] <= left + 1
        assert window[1] + window[3] >= right
        assert window[0] <= top + 1
        assert window[0] + window[2] >= bottom


def test_window_around_refuses_a_box_inside_out():
    with pytest.raises(InputError, match="box must be left, top, right, bottom"):
        window_around((10, 0, 5, 5), (120, 160), 1.5)
