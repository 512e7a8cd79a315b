"""Poses of a known body under known motion."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tavid_core.camera import project
from tavid_core.errors import ShapeError
from tavid_core.lifting.rigid_pose import solve_kabsch, solve_pnp, transform
from tavid_core.types import CameraIntrinsics

CAMERA = CameraIntrinsics(fx=600, fy=610, cx=359.5, cy=239.5, width=720, height=480)
RNG = np.random.default_rng(4)
BODY = RNG.uniform(-0.06, 0.06, (80, 3))
TURN = Rotation.from_euler("xyz", [10, -35, 20], degrees=True).as_matrix()
PLACE = np.array([0.1, -0.05, 1.1])
SEEN = transform(BODY, TURN, PLACE)


def angle_deg(rotation):
    return np.degrees(Rotation.from_matrix(rotation @ TURN.T).magnitude())


def test_pnp_finds_the_pose_among_wrong_points():
    pixels = project(SEEN, CAMERA) + RNG.normal(0, 0.2, (80, 2))
    pixels[:25] += RNG.uniform(20, 60, (25, 2))
    pose = solve_pnp(BODY, pixels, CAMERA)
    assert np.linalg.norm(pose.position_m - PLACE) < 0.005
    assert angle_deg(pose.rotation) < 0.7
    assert not pose.is_inlier[:25].any()
    assert pose.inlier_share == pytest.approx(55 / 80, abs=0.03)


def test_kabsch_finds_the_pose_among_wrong_and_unknown_points():
    measured = SEEN + RNG.normal(0, 0.001, SEEN.shape)
    measured[:20] += 0.1
    measured[20:30] = np.nan
    pose = solve_kabsch(BODY, measured)
    assert np.linalg.norm(pose.position_m - PLACE) < 0.001
    assert angle_deg(pose.rotation) < 0.7
    assert pose.inlier_share == pytest.approx(50 / 70, abs=0.02)


def test_kabsch_gives_no_mirror_image_of_a_flat_body():
    flat = BODY * [1, 1, 0]
    pose = solve_kabsch(flat, transform(flat, TURN, PLACE))
    assert np.linalg.det(pose.rotation) == pytest.approx(1.0)
    assert angle_deg(pose.rotation) < 1e-3


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_points_have_no_pose(count):
    assert solve_pnp(BODY[:count], project(SEEN[:count], CAMERA).reshape(-1, 2), CAMERA) is None
    assert solve_kabsch(BODY[:count], SEEN[:count]) is None


def test_points_in_one_place_or_on_one_line_have_no_pose():
    line = np.linspace(-0.1, 0.1, 20)[:, None] * [1.0, 0, 0]
    assert solve_kabsch(line, transform(line, TURN, PLACE)) is None
    same = np.zeros((20, 3))
    assert solve_pnp(same, np.full((20, 2), 100.0), CAMERA) is None


def test_points_and_pixels_must_be_as_many():
    with pytest.raises(ShapeError, match=r"pixels must have shape \(80, 2\), got \(79, 2\)"):
        solve_pnp(BODY, np.zeros((79, 2)), CAMERA)
    with pytest.raises(ShapeError, match="measured_m must have shape"):
        solve_kabsch(BODY, SEEN[:5])
