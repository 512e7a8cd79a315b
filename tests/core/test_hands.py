"""Hands: axes and openings against places that are easy to work out."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tavid_core.camera import project
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.hands import hand_aperture, hand_quaternions, sees_palm
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.types import CameraIntrinsics, PointTrack

CAMERA = CameraIntrinsics(fx=500.0, fy=500.0, cx=320.0, cy=240.0, width=640, height=480)
FIT = FrameFit((480, 640), (480, 640))
HAND_M = np.array([0.1, 0.2, 1.0])


def track(name, place_m):
    positions = np.tile(np.float32(place_m), (3, 1))
    pixels = project(positions, CAMERA).astype(np.float32)
    return PointTrack(
        name=name, pixels=pixels, positions_camera_m=positions, confidence=np.ones(3, np.float32)
    )


def keypoints(**places_m):
    names = tuple(places_m)
    points = np.tile(np.array(list(places_m.values())), (3, 1, 1))
    return Keypoints(
        names, project(points, CAMERA).astype(np.float32), np.ones((3, len(names)), np.float32)
    )


NOTHING = keypoints(head=(0.0, 0.0, 1.0))


def axes(quaternions):
    return Rotation.from_quat(quaternions[0]).as_matrix().T


def test_forearm_gives_the_direction_of_the_fingers_and_the_palm_looks_down():
    elbow = track("right_elbow", np.add(HAND_M, [-0.3, 0.0, 0.0]))
    x, y, z = axes(hand_quaternions(track("right_hand", HAND_M), elbow, NOTHING, FIT, CAMERA))
    np.testing.assert_allclose(x, [1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(z, [0, 1, 0], atol=1e-5)
    np.testing.assert_allclose(np.cross(z, x), y, atol=1e-5)
    assert not sees_palm(track("right_hand", HAND_M), NOTHING, FIT, CAMERA).any()


@pytest.mark.parametrize(("side", "thumb"), [("right", 1.0), ("left", -1.0)])
def test_raised_palm_towards_the_camera(side, thumb):
    """Fingers up, palm to the camera: a right hand's thumb is then on the picture's right."""
    across = np.array([0.03 * thumb, 0, 0])
    seen = keypoints(
        **{
            f"{side}_wrist": np.add(HAND_M, [0, 0.07, 0]),
            f"{side}_index_knuckle": np.add(HAND_M, [0, -0.02, 0]) + across,
            f"{side}_pinky_knuckle": np.add(HAND_M, [0, -0.02, 0]) - across,
        }
    )
    x, _, z = axes(hand_quaternions(track(f"{side}_hand", HAND_M), None, seen, FIT, CAMERA))
    np.testing.assert_allclose(x, [0, -1, 0], atol=1e-4)
    np.testing.assert_allclose(z, [0, 0, -1], atol=1e-4)
    assert sees_palm(track(f"{side}_hand", HAND_M), seen, FIT, CAMERA).all()


def test_without_elbow_and_knuckles_the_orientation_is_unknown():
    quaternions = hand_quaternions(track("right_hand", HAND_M), None, NOTHING, FIT, CAMERA)
    assert np.isnan(quaternions).all()


def test_aperture_is_the_distance_of_the_tips():
    seen = keypoints(right_thumb_tip=HAND_M, right_index_tip=np.add(HAND_M, [0.05, 0, 0]))
    hand = track("right_hand", HAND_M)
    assert hand_aperture(hand, seen, FIT, CAMERA) == pytest.approx([0.05] * 3, abs=1e-4)
    assert hand_aperture(hand, NOTHING, FIT, CAMERA) is None


def test_tips_that_cannot_be_of_one_hand_give_no_aperture():
    seen = keypoints(right_thumb_tip=HAND_M, right_index_tip=np.add(HAND_M, [0.4, 0, 0]))
    assert hand_aperture(track("right_hand", HAND_M), seen, FIT, CAMERA) is None
