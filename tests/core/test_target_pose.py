"""A printed square in space, drawn by warping its picture: every pose is known."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tavid_core.camera import project, unproject
from tavid_core.lifting.target import track_target
from tavid_core.lifting.target_pose import PoseInputs, follow_pose
from tavid_core.types import CameraIntrinsics

CAMERA = CameraIntrinsics(fx=300, fy=300, cx=159.5, cy=119.5, width=320, height=240)
NUM_FRAMES, ONSET = 9, 4
SIDE_M, REST_M = 0.16, np.array([-0.05, 0.1, 1.0])
TILT = Rotation.from_euler("x", 35, degrees=True)


def poses():
    """Rest, then up, nearer, and about the camera's vertical."""
    for t in range(NUM_FRAMES):
        share = max(0, t - ONSET + 1) / (NUM_FRAMES - ONSET)
        yield (
            Rotation.from_euler("y", 25 * share, degrees=True),
            REST_M + share * np.array([0.03, -0.12, -0.08]),
        )


def draw(texture):
    """The square before a grey wall, its first mask, and the depth of every frame."""
    corners = SIDE_M * (np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) - [0.5, 0.5, 0])
    source = np.float32([[0, 0], [255, 0], [255, 255], [0, 255]])
    frames, masks, depths_m = [], [], []
    grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1)
    rays = unproject(grid, np.ones((240, 320)), CAMERA)
    for turn, place_m in poses():
        at = project((turn * TILT).apply(corners) + place_m, CAMERA).astype(np.float32)
        warp = cv2.getPerspectiveTransform(source, at)
        mask = cv2.warpPerspective(np.full((256, 256), 255, np.uint8), warp, (320, 240)) > 127
        frame = np.full((240, 320, 3), 128, np.uint8)
        drawn = cv2.warpPerspective(texture, warp, (320, 240), flags=cv2.INTER_AREA)
        frame[mask] = drawn[mask]
        frames.append(cv2.GaussianBlur(frame, (0, 0), 0.7))
        masks.append(mask)
        normal = (turn * TILT).apply([0, 0, 1])
        depths_m.append(np.where(mask, (place_m @ normal) / (rays @ normal), 1.6))
    return np.stack(frames), masks[0], np.stack(depths_m).astype(np.float32)


def spots(seed=0):
    noise = np.random.default_rng(seed).uniform(20, 235, (20, 20, 3)).astype(np.float32)
    picture = cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def follow(frames, mask, depths_m, **changes):
    depth_m = depths_m[0]
    inputs = PoseInputs(
        frames=frames, mask=mask, depth_m=depth_m, center_m=REST_M, intrinsics=CAMERA, **changes
    )
    return follow_pose(inputs, track_target(frames, mask))


def errors(found):
    true = list(poses())
    away_m = [np.linalg.norm(p - m) for p, (_, m) in zip(found.positions_m, true, strict=True)]
    turned = [
        (Rotation.from_matrix(r) * turn.inv()).magnitude()
        for r, (turn, _) in zip(found.rotations, true, strict=True)
    ]
    return np.array(away_m), np.degrees(turned)


def test_a_printed_body_is_followed_in_six_degrees_of_freedom():
    found = follow(*draw(spots()))
    away_m, turned_deg = errors(found)
    assert found.is_known
    assert found.onset_frame == ONSET
    # At rest exactly, and then to a hundredth of the distance.
    assert away_m[:ONSET].max() == 0
    assert away_m.max() < 0.01
    assert turned_deg.max() < 1.5
    assert found.confidence.min() > 0.8


def test_noisy_depth_with_holes_is_good_enough():
    frames, mask, depths_m = draw(spots())
    rng = np.random.default_rng(1)
    depths_m = depths_m + rng.normal(0, 0.003, depths_m.shape).astype(np.float32)
    depths_m[rng.random(depths_m.shape) < 0.02] = 0
    depths_m[:, 100:104] = np.nan
    away_m, turned_deg = errors(follow(frames, mask, depths_m))
    assert away_m.max() < 0.015
    assert turned_deg.max() < 3


def test_depth_of_every_frame_is_used_where_it_agrees():
    frames, mask, depths_m = draw(spots())
    away_m, turned_deg = errors(follow(frames, mask, depths_m, later_depth_m=depths_m))
    assert away_m.max() < 0.01
    assert turned_deg.max() < 1.5
    # Maps of a body that never moved contradict the flow: PnP takes over.
    still = np.repeat(depths_m[:1], NUM_FRAMES, axis=0)
    assert errors(follow(frames, mask, depths_m, later_depth_m=still))[0].max() < 0.02


def test_a_plain_body_has_no_orientation_and_that_is_said():
    found = follow(*draw(np.full((256, 256, 3), (40, 160, 60), np.uint8)))
    assert not found.is_known
    assert "too little texture" in found.reason
    assert (found.rotations == np.eye(3)).all()
    assert found.confidence.max() == 0


def test_a_small_body_has_no_orientation_and_that_is_said():
    frames, mask, depths_m = draw(spots())
    small = np.stack([cv2.resize(f, (96, 72), interpolation=cv2.INTER_AREA) for f in frames])
    small_mask = cv2.resize(mask.astype(np.uint8), (96, 72)) > 0
    small_depth = cv2.resize(depths_m[0], (96, 72), interpolation=cv2.INTER_NEAREST)
    found = follow(small, small_mask, small_depth[None])
    assert not found.is_known
    assert "px wide" in found.reason


def test_a_body_that_vanishes_is_not_followed_on():
    frames, mask, depths_m = draw(spots())
    frames[ONSET + 1 :] = 128
    found = follow(frames, mask, depths_m)
    assert not found.is_known
    assert "of the frames in which it moves" in found.reason


@pytest.mark.parametrize("unknown", [0.0, np.nan])
def test_without_depth_there_are_no_points(unknown):
    frames, mask, _ = draw(spots())
    found = follow(frames, mask, np.full((1, 240, 320), unknown, np.float32))
    assert not found.is_known
