"""Videos that must not be believed: cut, blank, or from a camera that moves."""

import numpy as np
import pytest

from tavid_core.lifting.video_checks import check_video
from tests.drawn import draw_reach


@pytest.fixture(scope="module")
def frames():
    """A still room with things in it, and an arm that moves."""
    clip = draw_reach(1, scale=2)
    rng = np.random.default_rng(2)
    for row, column in rng.integers([60, 0], [120, 180], (40, 2)):
        clip.frames[:, row : row + 4, column : column + 5] = rng.integers(0, 255, 3)
    return clip.frames


def test_a_still_camera_and_one_shot_are_fine(frames):
    faults = check_video(frames)
    assert faults.reason == ""
    assert faults.factor == 1.0
    assert not faults.is_lost.any()
    assert faults.camera_shift < 0.005


def test_a_camera_that_moves_is_noticed(frames):
    moving = np.stack([np.roll(frame, t, axis=1) for t, frame in enumerate(frames)])
    faults = check_video(moving)
    assert faults.camera_moves
    assert faults.reason.startswith("the camera moves")
    assert faults.factor < 0.5


def test_a_cut_is_noticed_and_all_after_it_is_lost(frames):
    cut = frames.copy()
    cut[9:] = 255 - frames[9:, ::-1]
    faults = check_video(cut)
    assert faults.cut_frame == 9
    assert faults.is_lost.tolist() == [False] * 9 + [True] * 8
    assert "as in a cut" in faults.reason


def test_blank_frames_are_lost(frames):
    dark = frames.copy()
    dark[5:7] = 0
    faults = check_video(dark)
    assert np.flatnonzero(faults.is_lost).tolist() == [5, 6]
    assert faults.cut_frame is None
    assert faults.reason == "2 of 17 frames are blank"


def test_a_blank_video_is_worth_nothing(frames):
    faults = check_video(np.zeros_like(frames))
    assert faults.factor == 0.0
    assert faults.reason == "the video is blank"
    assert check_video(frames[:1]).reason == ""
