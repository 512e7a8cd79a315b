"""Contact from pictures: who touches what, when, and how sure that is."""

import numpy as np
import pytest

from tavid_core.errors import ShapeError
from tavid_core.lifting.contact import find_contact, find_hand_contact
from tavid_core.lifting.instances import (
    find_look_alikes,
    rank_instances,
    touched_instance,
    touched_look_alike,
)
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.target import TargetTrack, track_target
from tests.drawn import CONTACT_FRAME, draw_reach, hide_lifted


def contact_of(clip, index, confidence=0.9, hand_pixels=None):
    pixels = clip.hand_pixels if hand_pixels is None else hand_pixels
    track = track_target(clip.frames, clip.masks[index])
    return find_contact(
        pixels.astype(np.float32),
        np.full(len(pixels), confidence, dtype=np.float32),
        track,
        clip.masks[index],
        hand="right_hand",
    )


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("noise", [0, 6])
def test_the_lifted_one_of_three_look_alikes_is_the_touched_one(target, noise):
    clip = draw_reach(target, noise=noise)
    assert touched_instance(clip.frames, clip.keypoints(), clip.masks) == target


def test_contact_begins_when_the_hand_arrives_and_lasts():
    contact = contact_of(draw_reach(1), 1)
    assert abs(contact.start_frame - CONTACT_FRAME) <= 1
    assert contact.end_frame == 16
    assert contact.moves_target
    assert contact.confidence > 0.7
    assert contact.hand == "right_hand"


def test_target_that_is_blurred_while_it_is_lifted_was_touched_before():
    clip = draw_reach(1)
    sharp = contact_of(clip, 1)
    # On the way up nothing of its colour is seen, and the hand slows down once more.
    hidden = slice(CONTACT_FRAME + 1, CONTACT_FRAME + 6)
    clip.frames = hide_lifted(clip, hidden, color=(90, 90, 90))
    hand_pixels = clip.hand_pixels.copy()
    hand_pixels[CONTACT_FRAME + 1 : CONTACT_FRAME + 3] = hand_pixels[CONTACT_FRAME]
    hand_pixels[CONTACT_FRAME + 5 : CONTACT_FRAME + 7] = hand_pixels[CONTACT_FRAME + 4]
    contact = contact_of(clip, 1, hand_pixels=hand_pixels)
    assert contact.moves_target
    assert abs(contact.start_frame - CONTACT_FRAME) <= 1
    assert contact.timing > 0.7 * sharp.timing


def test_target_that_is_gone_after_a_hand_was_at_it_was_taken():
    clip = draw_reach(1)
    gone = hide_lifted(clip, slice(CONTACT_FRAME + 1, None))
    track = track_target(gone, clip.masks[1])
    assert track.has_gone
    assert not track_target(clip.frames, clip.masks[0]).has_gone
    # The hand stays: what it holds is not seen.
    hand_pixels = clip.hand_pixels.copy()
    hand_pixels[CONTACT_FRAME:] = hand_pixels[CONTACT_FRAME]
    for frames, reason in ((gone, "is then gone"), (clip.frames[:1].repeat(17, 0), "")):
        clip.frames = frames
        contact = contact_of(clip, 1, hand_pixels=hand_pixels)
        assert reason in contact.reason
        assert (contact.confidence > 0.5) == bool(reason)


def test_one_wild_keypoint_does_not_shift_the_contact():
    clip = draw_reach(1)
    hand_pixels = clip.hand_pixels.copy()
    hand_pixels[CONTACT_FRAME + 1] += 20
    contact = contact_of(clip, 1, hand_pixels=hand_pixels)
    assert abs(contact.start_frame - CONTACT_FRAME) <= 1


def test_noisy_keypoints_give_a_lower_confidence():
    clip = draw_reach(1)
    noise = np.random.default_rng(0).normal(0, 2.5, clip.hand_pixels.shape)
    noisy = contact_of(clip, 1, hand_pixels=clip.hand_pixels + noise)
    assert noisy.moves_target
    assert noisy.confidence < contact_of(clip, 1).confidence


def test_look_alike_beside_the_touched_one_is_not_touched():
    contact = contact_of(draw_reach(1), 0)
    assert not contact.is_contact
    assert contact.confidence == 0
    assert contact.reason == "no hand comes to the target"


def test_reach_that_stops_half_way_touches_nothing():
    clip = draw_reach(1, reach=0.5)
    assert touched_instance(clip.frames, clip.keypoints(), clip.masks) is None


def test_touch_without_motion_counts_but_is_less_sure():
    clip = draw_reach(1, lift=(0.0, 0.0))
    assert touched_instance(clip.frames, clip.keypoints(), clip.masks) == 1
    contact = contact_of(clip, 1)
    assert not contact.moves_target
    assert 0.2 < contact.confidence < 0.5
    assert "not seen to move" in contact.reason


def test_hand_that_waits_beside_the_target_from_the_start_is_not_a_touch():
    clip = draw_reach(1, reach=0.0)
    beside = np.repeat(clip.object_pixels[:1, 1] - [0, 7], 17, axis=0)
    contact = contact_of(clip, 1, hand_pixels=beside)
    assert contact.start_frame == 0
    assert contact.confidence < 0.2
    assert "from the first frame on" in contact.reason


def test_hand_that_comes_near_and_covers_nothing_is_not_a_touch():
    clip = draw_reach(1, reach=0.0)
    near = np.repeat(clip.object_pixels[:1, 1] - [0, 7], 17, axis=0)
    near[:6] -= [0, 20]
    contact = contact_of(clip, 1, hand_pixels=near)
    assert contact.confidence < 0.2
    assert "covers no part" in contact.reason


def test_object_swallowed_by_the_hand_is_the_touched_one():
    clip = draw_reach(1, lift=(0.0, 0.0))
    gone = draw_reach(1, lift=(0.0, 0.0), centers=((20, 46), (-90, -90), (74, 45)))
    away = draw_reach(1, reach=0.0, centers=((20, 46), (-90, -90), (74, 45)))
    clip.frames[11:] = gone.frames[0]
    clip.frames[12:] = away.frames[12:]
    assert touched_instance(clip.frames, clip.keypoints(), clip.masks) == 1


def test_one_frame_of_nearness_is_no_contact():
    clip = draw_reach(1, reach=0.0)
    hand_pixels = clip.hand_pixels.copy()
    hand_pixels[8] = clip.object_pixels[8, 1]
    assert not contact_of(clip, 1, hand_pixels=hand_pixels).is_contact


def test_object_that_moves_without_a_hand_is_not_touched():
    clip = draw_reach(1)
    far = np.full((17, 2), 5.0)
    assert not contact_of(clip, 1, hand_pixels=far).is_contact


def test_unseen_hand_is_said_to_be_unseen():
    contact = contact_of(draw_reach(1), 1, confidence=0.1)
    assert not contact.is_contact
    assert contact.reason == "the hand is not seen"


def test_hand_lost_behind_the_object_still_touches():
    clip = draw_reach(1)
    hand_pixels = clip.hand_pixels.copy()
    hand_pixels[CONTACT_FRAME + 1 :] = np.nan
    contact = contact_of(clip, 1, hand_pixels=hand_pixels)
    assert contact.moves_target
    assert contact.start_frame <= contact.end_frame


def test_motion_alone_decides_where_no_hand_is_seen_at_all():
    clip = draw_reach(2)
    assert touched_instance(clip.frames, clip.keypoints(confidence=0.0), clip.masks) == 2


def test_the_surer_hand_is_chosen():
    clip = draw_reach(1)
    pixels = np.stack([np.full((17, 2), 5.0), clip.hand_pixels], axis=1).astype(np.float32)
    keypoints = Keypoints(("left_hand", "right_hand"), pixels, np.full((17, 2), 0.9, np.float32))
    track = track_target(clip.frames, clip.masks[1])
    assert find_hand_contact(keypoints, track, clip.masks[1]).hand == "right_hand"


def test_ranking_names_every_instance_once_best_first():
    clip = draw_reach(0)
    ranked = rank_instances(clip.frames, clip.keypoints(), clip.masks)
    assert sorted(touch.index for touch in ranked) == [0, 1, 2]
    assert [touch.score for touch in ranked] == sorted((t.score for t in ranked), reverse=True)
    assert ranked[0].score > ranked[1].score + 0.4


def test_no_masks_no_touch():
    clip = draw_reach(0)
    assert touched_instance(clip.frames, clip.keypoints(), []) is None


def test_single_frame_has_no_contact():
    clip = draw_reach(0)
    clip.frames, clip.hand_pixels = clip.frames[:1], clip.hand_pixels[:1]
    assert touched_instance(clip.frames, clip.keypoints(), clip.masks) is None


def test_hand_with_another_number_of_frames_is_refused():
    clip = draw_reach(0)
    with pytest.raises(ShapeError, match=r"hand_pixels must have shape \(17, 2\)"):
        contact_of(clip, 0, hand_pixels=clip.hand_pixels[:5])


def test_look_alikes_are_found_where_they_stand():
    clip = draw_reach(1, noise=3)
    found = find_look_alikes(clip.frames[0], clip.masks[1])
    centers = sorted(np.argwhere(mask).mean(axis=0)[::-1].tolist() for mask in found)
    np.testing.assert_allclose(centers, [[20, 46], [74, 45]], atol=2.0)


def test_the_look_alike_that_is_taken_instead_is_named():
    clip = draw_reach(2)
    touch = touched_look_alike(
        clip.frames, clip.keypoints(), clip.masks[1], hand_names=("right_hand",)
    )
    assert touch.contact.hand == "right_hand"
    np.testing.assert_allclose(touch.track.pixels[0], [74, 45], atol=2.5)
    # Nothing that only looks on is taken.
    still = draw_reach(2, reach=0.3)
    hands = {"hand_names": ("right_hand",)}
    assert touched_look_alike(still.frames, still.keypoints(), still.masks[1], **hands) is None


@pytest.mark.parametrize(("sureness", "earliest", "latest"), [(0.2, 6, 8), (0.9, 10, 14)])
def test_a_target_that_is_lost_while_it_is_lifted_was_touched_before(sureness, earliest, latest):
    """The hand takes it in frame 7; it is seen again in frame 14, high up with the hand."""
    clip, frames = draw_reach(1), np.arange(17)
    rest = np.array([46.0, 50.0])
    up = np.stack([0 * frames, -3.0 * np.clip(frames - 9, 0, 7)], axis=1)
    come = np.stack([8.0 * np.clip(7 - frames, 0, 4), 0 * frames], axis=1)
    has_moved = frames >= 14
    track = TargetTrack(
        pixels=(rest + np.where(has_moved[:, None], up, 0)).astype(np.float32),
        confidence=np.where((frames >= 10) & ~has_moved, sureness, 0.9).astype(np.float32),
        has_moved=has_moved,
        rest_likeness=np.where(frames < 10, 1.0, 0.2).astype(np.float32),
        rest_emptiness=np.zeros(17, np.float32),
        side_px=9.0,
        contrast_lab=40.0,
    )
    hand = (rest + np.array([0, -4]) + up + come).astype(np.float32)
    contact = find_contact(hand, np.full(17, 0.9, np.float32), track, clip.masks[1])
    assert contact.moves_target
    assert earliest <= contact.start_frame <= latest
