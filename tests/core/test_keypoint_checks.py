"""What a detector does wrong is mended or doubted, and said."""

import numpy as np
import pytest

from tavid_core.lifting.keypoint_checks import check_keypoints
from tavid_core.lifting.keypoints import KEYPOINT_NAMES, Keypoints

PLACES = {
    "head": (50, 10),
    "left_shoulder": (60, 20),
    "right_shoulder": (40, 20),
    "left_elbow": (65, 35),
    "right_elbow": (35, 35),
    "left_hand": (62, 50),
    "right_hand": (38, 50),
}


def keypoints(num_frames=9):
    pixels = np.array([PLACES[name] for name in KEYPOINT_NAMES], dtype=np.float32)
    pixels = np.repeat(pixels[None], num_frames, axis=0)
    pixels[:, -1, 0] += np.linspace(0, 12, num_frames)
    return Keypoints(KEYPOINT_NAMES, pixels, np.full(pixels.shape[:2], 0.9, np.float32))


def test_good_keypoints_stay_as_they_are():
    checked = check_keypoints(keypoints())
    np.testing.assert_array_equal(checked.pixels, keypoints().pixels)
    np.testing.assert_array_equal(checked.confidence, keypoints().confidence)
    assert checked.notes == ()


@pytest.mark.parametrize("frames", [[4], [3, 4, 5], [6, 7, 8]])
def test_exchanged_hands_are_put_right_and_told(frames):
    wrong = keypoints()
    wrong.pixels[np.ix_(frames, [5, 6])] = wrong.pixels[np.ix_(frames, [6, 5])]
    checked = check_keypoints(wrong)
    np.testing.assert_array_equal(checked.pixels, keypoints().pixels)
    assert checked.notes == (f"left and right were exchanged in {len(frames)} frames",)


def test_spike_is_not_believed():
    wrong = keypoints()
    wrong.pixels[4, 6] = (90, 5)
    checked = check_keypoints(wrong)
    assert checked.confidence[4, 6] < 0.3
    assert (checked.confidence[[2, 7]] == np.float32(0.9)).all()
    assert "a point jumps away and back in 1 frames" in checked.notes


def test_limb_that_grows_at_once_is_doubted():
    wrong = keypoints()
    wrong.pixels[5:, 6] = (38, 90)
    checked = check_keypoints(wrong)
    assert checked.confidence[5, 6] == pytest.approx(0.45)
    assert "a limb changes its length at once in 1 frames" in checked.notes


def test_points_without_shoulders_or_frames_are_left_alone():
    few = keypoints(2)
    assert check_keypoints(few) is few
    lone = Keypoints(("left_hand",), few.pixels[:, :1], few.confidence[:, :1])
    assert check_keypoints(lone) is lone


def test_keypoints_of_nan_are_survived():
    lost = keypoints()
    lost.pixels[:] = np.nan
    assert check_keypoints(lost).notes == ()
