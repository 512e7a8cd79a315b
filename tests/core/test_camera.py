"""Pinhole geometry against numbers worked out by hand, and its inverse against itself."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tavid_core.camera import (
    intrinsics_from_field_of_view,
    intrinsics_from_json,
    intrinsics_to_json,
    project,
    scale_intrinsics,
    unproject,
)
from tavid_core.errors import InputError, ShapeError
from tavid_core.types import CameraIntrinsics

CAMERA = CameraIntrinsics(fx=100.0, fy=200.0, cx=50.0, cy=40.0, width=96, height=64)


def test_project_matches_hand_worked_pixels():
    # x: 100 * 1 / 2 + 50 = 100; y: 200 * -0.5 / 2 + 40 = -10.
    assert project([1.0, -0.5, 2.0], CAMERA).tolist() == [100.0, -10.0]
    assert project([0.0, 0.0, 3.0], CAMERA).tolist() == [50.0, 40.0]


def test_unproject_matches_hand_worked_point():
    assert unproject([100.0, -10.0], 2.0, CAMERA).tolist() == [1.0, -0.5, 2.0]


@pytest.mark.parametrize("z", [0.0, -1.0, np.nan])
def test_point_without_picture_has_no_pixel(z):
    assert np.isnan(project([0.1, 0.1, z], CAMERA)).all()


@pytest.mark.parametrize("depth_m", [0.0, -1.0, np.nan, np.inf])
def test_unknown_depth_gives_no_point(depth_m):
    assert np.isnan(unproject([10.0, 10.0], depth_m, CAMERA)).all()


def test_lost_pixel_gives_no_point():
    assert np.isnan(unproject([np.nan, 10.0], 1.0, CAMERA)).all()


def test_one_depth_serves_many_pixels():
    points = unproject([[50.0, 40.0], [150.0, 40.0]], 2.0, CAMERA)
    np.testing.assert_allclose(points, [[0, 0, 2], [2, 0, 2]])


@settings(deadline=None)
@given(
    column=st.floats(-500, 500),
    row=st.floats(-500, 500),
    depth_m=st.floats(0.01, 100),
    focal=st.floats(1, 5000),
)
def test_project_undoes_unproject(column, row, depth_m, focal):
    camera = CameraIntrinsics(fx=focal, fy=1.3 * focal, cx=20, cy=30, width=64, height=48)
    pixels = project(unproject([column, row], depth_m, camera), camera)
    np.testing.assert_allclose(pixels, [column, row], rtol=1e-9, atol=1e-6)


@settings(deadline=None)
@given(x=st.floats(-10, 10), y=st.floats(-10, 10), z=st.floats(0.01, 50), scale=st.integers(1, 7))
def test_scaled_intrinsics_see_the_same_point_at_the_scaled_pixel(x, y, z, scale):
    scaled = scale_intrinsics(CAMERA, (64 * scale, 96 * scale))
    before, after = project([x, y, z], CAMERA), project([x, y, z], scaled)
    np.testing.assert_allclose(after + 0.5, (before + 0.5) * scale, rtol=1e-9, atol=1e-6)


def test_scale_keeps_the_image_corner_in_place():
    # The outer corner of the image is pixel -0.5 at every size.
    scaled = scale_intrinsics(CAMERA, (32, 48))
    corner = unproject([-0.5, -0.5], 1.0, CAMERA)
    np.testing.assert_allclose(project(corner, scaled), [-0.5, -0.5], atol=1e-12)
    assert (scaled.width, scaled.height) == (48, 32)


def test_scale_refuses_an_empty_size():
    with pytest.raises(InputError, match=r"size_hw must be positive, got \(0, 96\)"):
        scale_intrinsics(CAMERA, (0, 96))


def test_field_of_view_spans_the_image():
    camera = intrinsics_from_field_of_view(640, 480, fov_deg=90.0)
    assert camera.fx == pytest.approx(320.0)
    assert (camera.cx, camera.cy) == (319.5, 239.5)
    assert camera.is_assumed


@pytest.mark.parametrize("fov_deg", [0.0, 180.0, float("nan")])
def test_field_of_view_out_of_range_is_refused(fov_deg):
    with pytest.raises(InputError, match=r"fov_deg must be in 1\.\.179"):
        intrinsics_from_field_of_view(640, 480, fov_deg=fov_deg)


@pytest.mark.parametrize("shape", [(), (4,), (2, 2)])
def test_wrong_last_axis_is_refused(shape):
    with pytest.raises(ShapeError, match="points_camera_m must have 3 numbers"):
        project(np.zeros(shape), CAMERA)


@settings(deadline=None)
@given(
    fx=st.floats(1e-3, 1e5),
    cy=st.floats(-1e4, 1e4),
    width=st.integers(1, 4096),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_json_round_trip(fx, cy, width, flags):
    is_assumed, has_distortion = flags
    camera = CameraIntrinsics(
        fx=fx,
        fy=2.0,
        cx=3.0,
        cy=cy,
        width=width,
        height=7,
        is_assumed=is_assumed,
        has_distortion=has_distortion,
    )
    assert intrinsics_from_json(json.dumps(intrinsics_to_json(camera))) == camera


@pytest.mark.parametrize(
    "document",
    [
        {"k": [100, 0, 50, 0, 200, 40, 0, 0, 1], "width": 96, "height": 64},
        {"K": [100, 0, 50, 0, 200, 40, 0, 0, 1], "width": 96.0, "height": 64},
        {
            "camera_matrix": {"rows": 3, "cols": 3, "data": [100, 0, 50, 0, 200, 40, 0, 0, 1]},
            "image_width": 96,
            "image_height": 64,
        },
    ],
)
def test_ros_spellings_are_read(document):
    assert intrinsics_from_json(json.dumps(document)) == CAMERA


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "does not parse"),
        ("[1]", "must be a JSON object, got list"),
        ("{}", "camera fx must be a finite number"),
        ('{"k": [1, 2]}', "list of 9 numbers"),
        ('{"fx": true, "fy": 1, "cx": 0, "cy": 0, "width": 9, "height": 9}', "camera fx"),
        ('{"fx": 1, "fy": NaN, "cx": 0, "cy": 0, "width": 9, "height": 9}', "camera fy"),
        ('{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "width": 9.5, "height": 9}', "whole number"),
        ('{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "width": 9, "height": 0}', "positive size"),
        ('{"fx": -1, "fy": 1, "cx": 0, "cy": 0, "width": 9, "height": 9}', "positive focal"),
    ],
)
def test_unusable_camera_file_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        intrinsics_from_json(text)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=9)
        | st.dictionaries(
            st.sampled_from(["fx", "fy", "cx", "cy", "width", "height", "k", "camera_matrix"]),
            inner,
            max_size=8,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(document=JSON_VALUES)
def test_any_json_gives_intrinsics_or_a_typed_error(document):
    try:
        camera = intrinsics_from_json(json.dumps(document))
    except InputError:
        return
    assert camera.width > 0
    assert camera.fx > 0


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_gives_intrinsics_or_a_typed_error(text):
    with pytest.raises(InputError):
        intrinsics_from_json(text)
