"""A box on a table, by its depth map alone."""

import numpy as np
import pytest

from tavid_core.camera import project, unproject
from tavid_core.lifting.support import center_above_support
from tavid_core.types import CameraIntrinsics

CAMERA = CameraIntrinsics(fx=300, fy=300, cx=159.5, cy=119.5, width=320, height=240)
HALF_M = 0.05
PITCH = np.radians(35)
# Table axes in the camera's frame: the camera looks down by 35 degrees.
UP = np.array([0, -np.cos(PITCH), -np.sin(PITCH)])
AHEAD = np.array([0, -np.sin(PITCH), np.cos(PITCH)])
RIGHT = np.array([1.0, 0, 0])
FOOT = np.array([0.05, 0.1, 1.0])


def draw_box(noise_m=0.0):
    """Cast a ray per pixel at the table and at the box; depth and mask."""
    grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1)
    rays = unproject(grid, np.ones((240, 320)), CAMERA)
    depth_m = (FOOT @ UP) / (rays @ UP)
    mask = np.zeros(depth_m.shape, bool)
    center = FOOT + HALF_M * UP
    for axis, sign in ((UP, 1), (AHEAD, -1), (RIGHT, 1), (RIGHT, -1)):
        face = center + sign * HALF_M * axis
        hit_m = (face @ axis) / (rays @ axis)
        inside = np.abs((rays * hit_m[..., None] - center) @ np.stack([UP, AHEAD, RIGHT]).T)
        is_hit = (inside <= HALF_M + 1e-9).all(axis=-1) & (hit_m > 0) & (hit_m < depth_m)
        depth_m = np.where(is_hit, hit_m, depth_m)
        mask |= is_hit
    depth_m = depth_m + np.random.default_rng(0).normal(0, noise_m, depth_m.shape)
    return depth_m.astype(np.float32), mask, center


@pytest.mark.parametrize("noise_m", [0.0, 0.003])
def test_the_middle_of_a_box_is_found(noise_m):
    depth_m, mask, center = draw_box(noise_m)
    found = center_above_support(depth_m, mask, CAMERA)
    assert np.linalg.norm(found - center) < 0.008
    assert np.linalg.norm(project(found, CAMERA) - project(center, CAMERA)) < 3


@pytest.mark.parametrize("radius_m", [0.03, 0.05])
def test_half_of_a_ball_is_enough_to_find_its_middle(radius_m):
    grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1)
    rays = unproject(grid, np.ones((240, 320)), CAMERA)
    table_m = (FOOT @ UP) / (rays @ UP)
    center = FOOT + radius_m * UP
    # |t ray - center| = radius, the nearer root.
    square, along = (rays**2).sum(axis=-1), rays @ center
    root = along**2 - square * (center @ center - radius_m**2)
    mask = root > 0
    depth_m = np.where(mask, (along - np.sqrt(np.maximum(root, 0))) / square, table_m)
    found = center_above_support(depth_m.astype(np.float32), mask, CAMERA)
    assert np.linalg.norm(found - center) < 0.17 * radius_m


def test_a_wall_behind_or_no_depth_does_not_help():
    depth_m, mask, _ = draw_box()
    assert center_above_support(np.full_like(depth_m, 1.0), mask, CAMERA) is None
    assert center_above_support(np.full_like(depth_m, np.nan), mask, CAMERA) is None
    assert center_above_support(np.zeros_like(depth_m), mask, CAMERA) is None


def test_a_mask_at_the_rim_or_of_one_pixel_does_not_fail():
    depth_m, mask, _ = draw_box()
    one = np.zeros_like(mask)
    one[0, 0] = True
    assert center_above_support(depth_m, one, CAMERA) is None
