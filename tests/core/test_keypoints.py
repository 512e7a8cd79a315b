"""Keypoints: what is refused, and what a missing point looks like."""

import numpy as np
import pytest

from tavid_core.errors import InputError, ShapeError
from tavid_core.lifting.keypoints import BODY_NAMES, HAND_NAMES, KEYPOINT_NAMES, Keypoints


def make(names=("head", "left_hand"), num_frames=3, confidence=0.5):
    pixels = np.arange(num_frames * len(names) * 2, dtype=np.float32)
    return Keypoints(
        names=names,
        pixels=pixels.reshape(num_frames, len(names), 2),
        confidence=np.full((num_frames, len(names)), confidence, dtype=np.float32),
    )


def test_hands_and_body_share_all_names():
    assert sorted(HAND_NAMES + BODY_NAMES) == sorted(KEYPOINT_NAMES)


def test_track_picks_the_named_column():
    pixels, confidence = make().track("left_hand")
    assert pixels.tolist() == [[2, 3], [6, 7], [10, 11]]
    assert confidence.tolist() == [0.5, 0.5, 0.5]


def test_unknown_name_is_a_point_never_seen():
    pixels, confidence = make().track("right_hand")
    assert np.isnan(pixels).all()
    assert not confidence.any()


def test_lost_pixel_has_no_confidence():
    keypoints = make()
    keypoints.pixels[1, 1, 0] = np.nan
    assert keypoints.track("left_hand")[1].tolist() == [0.5, 0.0, 0.5]


def test_name_twice_is_refused():
    with pytest.raises(InputError, match="names must be unique"):
        make(names=("head", "head"))


@pytest.mark.parametrize("confidence", [-0.1, 1.1, np.nan])
def test_confidence_out_of_range_is_refused(confidence):
    with pytest.raises(InputError, match=r"confidence must be in 0\.\.1"):
        make(confidence=confidence)


def test_wrong_shape_is_refused():
    with pytest.raises(ShapeError, match=r"pixels must have shape \(3, 2, 2\)"):
        Keypoints(("head", "left_hand"), np.zeros((3, 1, 2), np.float32), np.zeros((3, 2)))
