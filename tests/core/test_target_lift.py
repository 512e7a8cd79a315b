"""A held target without measured poses: its depth is the hand's, and so is its sureness."""

import numpy as np
import pytest

from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.contact import ContactInterval
from tavid_core.lifting.depth import SceneDepth
from tavid_core.lifting.target import TargetTrack
from tavid_core.lifting.target_lift import lift_target
from tavid_core.lifting.target_pose import TargetPoses
from tavid_core.types import CameraIntrinsics, PointTrack

CAMERA = CameraIntrinsics(fx=90.0, fy=90.0, cx=47.5, cy=31.5, width=96, height=64)
NUM_FRAMES, START = 10, 4


def lift_with_hand(change_m, last_away=NUM_FRAMES - 1):
    """A hand at 1 m that comes nearer by some metres once it holds the target."""
    frames = np.arange(NUM_FRAMES)
    held = (frames >= START) & (frames <= last_away)
    pixels = np.tile(np.float32([50, 30]), (NUM_FRAMES, 1))
    track = TargetTrack(
        pixels=pixels,
        confidence=np.ones(NUM_FRAMES, np.float32),
        has_moved=held,
        rest_likeness=np.ones(NUM_FRAMES, np.float32),
        rest_emptiness=np.zeros(NUM_FRAMES, np.float32),
        side_px=8.0,
        contrast_lab=40.0,
    )
    places_m = np.zeros((NUM_FRAMES, 3), np.float32)
    places_m[:, 2] = 1.0 - change_m * (np.arange(NUM_FRAMES) > START)
    hand = PointTrack(
        name="right_hand",
        pixels=pixels,
        positions_camera_m=places_m,
        confidence=np.ones(NUM_FRAMES, np.float32),
    )
    interval = ContactInterval(
        hand="right_hand",
        start_frame=START,
        end_frame=NUM_FRAMES - 1,
        confidence=0.9,
        moves_target=True,
        reason="",
    )
    poses = TargetPoses.unknown(np.array([0, 0, 1.1]), NUM_FRAMES, "no texture")
    fit, scene = FrameFit((64, 96), (64, 96)), SceneDepth(1.1, "sensor", 0.9, "")
    return lift_target(poses, track, fit, scene, CAMERA, [interval], [hand]).track


def test_a_held_target_goes_as_far_as_the_hand():
    track = lift_with_hand(0.04)
    np.testing.assert_allclose(track.positions_camera_m[:START, 2], 1.1, atol=1e-6)
    np.testing.assert_allclose(track.positions_camera_m[-1, 2], 1.06, atol=1e-6)
    assert track.confidence[0] == pytest.approx(1.0)
    assert track.confidence[-1] > 0.75


@pytest.mark.parametrize(("change_m", "most"), [(0.15, 0.51), (0.4, 0.51), (-0.3, 0.51)])
def test_a_hand_that_goes_far_in_depth_makes_the_target_unsure(change_m, most):
    assert lift_with_hand(change_m).confidence[-1] <= most


def test_a_target_back_in_its_place_is_as_far_as_it_was():
    track = lift_with_hand(0.1, last_away=7)
    assert track.positions_camera_m[7, 2] == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(track.positions_camera_m[8:, 2], 1.1, atol=1e-6)
