"""A target that is seen nowhere is in the hand that took it, and only then."""

import dataclasses

import numpy as np
import pytest

from tavid_core.lifting.carried import carry_unseen
from tavid_core.lifting.contact import ContactInterval
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.target import TargetTrack
from tests.core.test_actor_parts import lift_clip
from tests.drawn import CONTACT_FRAME, draw_reach, hide_lifted

START, LEFT, NUM_FRAMES = 4, 6, 12
TAKEN = ContactInterval(hand="hand", start_frame=START, end_frame=11, confidence=0.5)


def hand_path(confidence=0.8):
    """Comes to (20, 30) by frame 4, rests until frame 5 and rises by 2 pixels a frame."""
    t = np.arange(NUM_FRAMES)
    rows = 30.0 - 5 * np.clip(START - t, 0, None) - 2 * np.clip(t - 5, 0, None)
    pixels = np.stack([np.full(NUM_FRAMES, 20.0), rows], axis=-1)[:, None].astype(np.float32)
    return Keypoints(("hand",), pixels, np.full((NUM_FRAMES, 1), confidence, np.float32))


def gone_track(**changes):
    """At (20, 34), covered from frame 4 on, its place empty from frame 6 on."""
    t = np.arange(NUM_FRAMES)
    fields = {
        "pixels": np.tile(np.float32([20, 34]), (NUM_FRAMES, 1)),
        "confidence": np.where(t < LEFT, 0.9, 0.1).astype(np.float32),
        "has_moved": np.zeros(NUM_FRAMES, bool),
        "rest_likeness": np.where(t < START, 0.9, np.where(t < LEFT, 0.4, 0.1)),
        "rest_emptiness": np.where(t < LEFT, 0.1, 0.8),
        "side_px": 8.0,
        "contrast_lab": 40.0,
    }
    return TargetTrack(**{**fields, **changes})


def test_it_goes_where_the_hand_goes_from_when_its_place_is_empty():
    track = carry_unseen(gone_track(), TAKEN, hand_path())
    assert track.carried_from == LEFT
    assert track.pixels[:LEFT, 1].tolist() == [34.0] * LEFT
    assert track.pixels[LEFT:, 1].tolist() == [32.0, 30.0, 28.0, 26.0, 24.0, 22.0]
    assert track.has_moved.tolist() == [False] * LEFT + [True] * (NUM_FRAMES - LEFT)
    assert track.confidence[LEFT:] == pytest.approx(np.full(NUM_FRAMES - LEFT, 0.2))


def test_it_goes_on_from_where_it_was_last_seen():
    seen = np.arange(NUM_FRAMES) == 8
    pixels = gone_track().pixels.copy()
    pixels[seen] = (25, 29)
    track = gone_track(
        pixels=pixels, has_moved=seen, confidence=np.where(seen, 0.6, 0.1).astype(np.float32)
    )
    carried = carry_unseen(track, dataclasses.replace(TAKEN, moves_target=True), hand_path())
    assert carried.pixels[8].tolist() == [25, 29]
    assert carried.confidence[8] == pytest.approx(0.6)
    assert carried.pixels[9:].tolist() == [[25, 27], [25, 25], [25, 23]]


@pytest.mark.parametrize(
    ("track", "interval", "hand"),
    [
        (gone_track(), ContactInterval(), hand_path()),
        (gone_track(rest_emptiness=np.full(NUM_FRAMES, 0.1)), TAKEN, hand_path()),
        (gone_track(), TAKEN, hand_path(confidence=0.1)),
        (gone_track(confidence=np.zeros(NUM_FRAMES, np.float32)), TAKEN, hand_path()),
        (gone_track(has_moved=np.arange(NUM_FRAMES) >= LEFT), TAKEN, hand_path()),
    ],
    ids=["nobody took it", "its place is not empty", "no hand is seen", "lost", "seen moving"],
)
def test_otherwise_nothing_is_made_up(track, interval, hand):
    assert carry_unseen(track, interval, hand) is track


def test_the_plan_says_that_it_is_taken_to_be_in_the_hand():
    clip = draw_reach(1)
    frames = hide_lifted(clip, slice(CONTACT_FRAME + 1, None))
    motion = lift_clip(clip, clip.keypoints(), frames=frames)
    assert motion.contact.touches_target
    assert "it is taken to be in the hand" in motion.reasons["target"]
    rows_m = motion.target.positions_camera_m[:, 1]
    true_px = clip.object_pixels[-1, 1, 1] - clip.object_pixels[0, 1, 1]
    assert motion.target.pixels[-1, 1] - motion.target.pixels[0, 1] == pytest.approx(true_px, abs=5)
    assert rows_m[-1] < rows_m[0] - 0.1
    assert motion.target.confidence[-1] < 0.5
