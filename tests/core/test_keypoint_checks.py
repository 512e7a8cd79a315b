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


@pytest.mark.parametrize("frames", [[0], [4], [0, 1, 2], [3, 4, 5], [6, 7, 8]])
def test_exchanged_hands_are_put_right_and_told(frames):
    wrong = keypoints()
    wrong.pixels[np.ix_(frames, [5, 6])] = wrong.pixels[np.ix_(frames, [6, 5])]
    checked = check_keypoints(wrong)
    np.testing.assert_array_equal(checked.pixels, keypoints().pixels)
    assert checked.notes == (f"left and right were exchanged in {len(frames)} frames",)


def test_exchange_in_the_first_frame_that_shows_both_is_put_right():
    wrong = keypoints()
    # Frame 0 shows one hand, and so do two later ones.
    wrong.pixels[0, 6] = wrong.pixels[[2, 5], 5] = np.nan
    expected = wrong.pixels.copy()
    wrong.pixels[1, [5, 6]] = wrong.pixels[1, [6, 5]]
    checked = check_keypoints(wrong)
    np.testing.assert_array_equal(checked.pixels, expected)
    assert checked.notes == ("left and right were exchanged in 1 frames",)


@pytest.mark.parametrize("limb", [(3, 5), (4, 6)])
def test_without_both_shoulders_another_limb_gives_the_scale(limb):
    wrong = keypoints()
    wrong.pixels[np.ix_([4], [5, 6])] = wrong.pixels[np.ix_([4], [6, 5])]
    picks = [limb[0], 5, 6]
    names = tuple(KEYPOINT_NAMES[pick] for pick in picks)
    checked = check_keypoints(Keypoints(names, wrong.pixels[:, picks], wrong.confidence[:, picks]))
    np.testing.assert_array_equal(checked.pixels, keypoints().pixels[:, picks])
    assert "left and right were exchanged in 1 frames" in checked.notes


def test_hands_alone_cannot_be_checked_and_that_is_said():
    alone = Keypoints(KEYPOINT_NAMES[5:], keypoints().pixels[:, 5:], keypoints().confidence[:, 5:])
    checked = check_keypoints(alone)
    np.testing.assert_array_equal(checked.pixels, alone.pixels)
    assert checked.notes == (
        "left, right and jumps were not checked, for want of a limb that is seen whole",
    )


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


def test_two_frames_are_left_alone():
    few = keypoints(2)
    assert check_keypoints(few) is few


def test_keypoints_of_nan_are_survived():
    lost = keypoints()
    lost.pixels[:] = np.nan
    assert check_keypoints(lost).notes == ()
