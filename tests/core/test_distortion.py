"""Undistortion agrees with OpenCV's own projection of points in space."""

import cv2
import numpy as np
import pytest

from tavid_core.camera import project
from tavid_core.distortion import LensDistortion, Rectifier, rectify_request
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics, PlanRequest

INTRINSICS = CameraIntrinsics(fx=310.0, fy=305.0, cx=158.0, cy=123.0, width=320, height=240)
BENDS = [
    LensDistortion(model="plumb_bob", coefficients=(-0.28, 0.09, 0.002, -0.001, 0.0)),
    LensDistortion(
        model="rational_polynomial",
        coefficients=(0.6, -0.1, 0.0005, -0.0003, 0.02, 0.9, -0.05, 0.06),
    ),
    LensDistortion(model="equidistant", coefficients=(-0.02, 0.01, -0.004, 0.001)),
]


def see(points_m, bend):
    """Pixels at which the bent lens sees points, as OpenCV computes them."""
    matrix = np.array([[310.0, 0, 158.0], [0, 305.0, 123.0], [0, 0, 1]])
    zero, coefficients = np.zeros(3), np.array(bend.coefficients)
    if bend.model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(points_m[:, None], zero, zero, matrix, coefficients)
    else:
        pixels, _ = cv2.projectPoints(points_m, zero, zero, matrix, coefficients)
    return pixels.reshape(-1, 2)


def draw_spot(pixel):
    """A soft spot, bright enough that its centre can be measured to a tenth of a pixel."""
    rows, columns = np.mgrid[0:240, 0:320]
    square = (columns - pixel[0]) ** 2 + (rows - pixel[1]) ** 2
    return np.repeat((255 * np.exp(-square / 8))[:, :, None], 3, axis=2).astype(np.uint8)


def centre(weights):
    rows, columns = np.mgrid[0 : weights.shape[0], 0 : weights.shape[1]]
    weights = weights.astype(float)
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


@pytest.mark.parametrize("bend", BENDS, ids=lambda bend: bend.model)
@pytest.mark.parametrize("point", [(-0.35, -0.2, 1.0), (0.3, 0.22, 1.0), (0.05, -0.1, 0.9)])
def test_image_mask_and_depth_follow_a_point_in_space(bend, point):
    point_m = np.array([point])
    bent_pixel = see(point_m, bend)[0]
    rectifier = Rectifier(INTRINSICS, bend)
    straight_pixel = project(point_m, rectifier.intrinsics)[0]
    spot = draw_spot(bent_pixel)
    image = rectifier.rectify_image(spot)
    np.testing.assert_allclose(centre(image[:, :, 0]), straight_pixel, atol=0.25)
    mask = spot[:, :, 0] > 60
    np.testing.assert_allclose(centre(rectifier.rectify_mask(mask)), straight_pixel, atol=0.6)
    depth_m = np.where(mask, np.float32(point[2]), np.float32(9.0)).astype(np.float32)
    column, row = np.round(straight_pixel).astype(int)
    assert rectifier.rectify_depth(depth_m)[row, column] == np.float32(point[2])


def test_no_border_is_left_and_the_bend_was_worth_undoing():
    bend = BENDS[0]
    rectifier = Rectifier(INTRINSICS, bend)
    assert rectifier.rectify_image(np.full((240, 320, 3), 255, np.uint8)).min() > 250
    assert rectifier.rectify_mask(np.ones((240, 320), bool)).mean() > 0.99
    point_m = np.array([[-0.35, -0.2, 1.0]])
    off_px = np.linalg.norm(see(point_m, bend)[0] - project(point_m, INTRINSICS)[0])
    assert off_px > 4


def make_request(mask):
    return PlanRequest(
        image=np.zeros((240, 320, 3), np.uint8),
        target_mask=mask,
        prompt="lift it",
        actor_mask=mask,
        extra_masks=(mask,),
        depth_m=np.ones((240, 320), np.float32),
        intrinsics=INTRINSICS,
    )


def test_whole_request_is_rectified():
    mask = np.zeros((240, 320), bool)
    mask[100:140, 150:180] = True
    request = rectify_request(make_request(mask), BENDS[0])
    assert request.intrinsics == Rectifier(INTRINSICS, BENDS[0]).intrinsics
    assert request.intrinsics != INTRINSICS
    assert request.target_mask.sum() > 100
    np.testing.assert_array_equal(request.target_mask, request.actor_mask)
    np.testing.assert_array_equal(request.target_mask, request.extra_masks[0])
    assert (request.depth_m == 1).all()


def test_target_that_is_cut_off_is_refused():
    mask = np.zeros((240, 320), bool)
    mask[0, 0] = True
    with pytest.raises(InputError, match="target_mask must mark a pixel that is left"):
        rectify_request(make_request(mask), BENDS[0])


@pytest.mark.parametrize(
    ("model", "coefficients", "match"),
    [
        ("plumb_bob", (float("nan"),) * 5, "camera_info.d must be finite"),
        ("plumb_bob", (0.1,) * 3, "camera_info.d must have 4 or 5 numbers for plumb_bob, got 3"),
        ("thin_prism", (0.1,), "camera_info.distortion_model must be one of plumb_bob"),
        ("plumb_bob", (1e30, -1e30, 0.0, 0.0, 1e30), "camera_info.d must leave an image"),
    ],
)
def test_impossible_lenses_are_refused(model, coefficients, match):
    with pytest.raises(InputError, match=match):
        Rectifier(INTRINSICS, LensDistortion(model=model, coefficients=coefficients))
