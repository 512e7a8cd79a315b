"""Several people in one picture: all are found, and the one that acts is taken or it is unsure."""

import dataclasses

import cv2
import numpy as np
import pytest

from tavid_core.lifting.keypoints import KEYPOINT_NAMES, Keypoints
from tavid_core.lifting.people import find_people
from tests.core.test_actor_parts import NOBODY, arm_mask, lift_clip
from tests.drawn import draw_reach

BLOB_HW = (20, 12)


def person_at(left, num_frames=17, confidence=0.9, hand=None):
    """A person whose points are in a box of 12 x 20 pixels; the right hand goes its own way."""
    offsets = np.float32([[6, 0], [10, 5], [2, 5], [11, 10], [1, 10], [11, 15], [1, 15]])
    pixels = np.tile(np.add(offsets, (left, 2)), (num_frames, 1, 1)).astype(np.float32)
    if hand is not None:
        pixels[:, KEYPOINT_NAMES.index("right_hand")] = hand
    return Keypoints(KEYPOINT_NAMES, pixels, np.full((num_frames, 7), confidence, np.float32))


def detect_blob(frames):
    """A detector of one person: the largest red blob of each frame."""
    pixels = np.full((len(frames), 7, 2), np.nan, np.float32)
    confidence = np.zeros((len(frames), 7), np.float32)
    for t, frame in enumerate(frames):
        red = ((frame[..., 0] > 200) & (frame[..., 1] < 50)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(red)
        if count > 1:
            left = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax(), cv2.CC_STAT_LEFT]
            pixels[t], confidence[t] = person_at(left, 1).pixels[0], 0.9
    return Keypoints(KEYPOINT_NAMES, pixels, confidence)


def draw_blobs(*lefts, num_frames=9):
    frames = np.full((num_frames, 40, 160, 3), 90, np.uint8)
    for index, left in enumerate(lefts):
        frames[:, 2 : 2 + BLOB_HW[0] - index, left : left + BLOB_HW[1]] = (255, 0, 0)
    return frames


@pytest.mark.parametrize("lefts", [(), (20,), (20, 120), (120, 20, 70)])
def test_every_person_is_found_once(lefts):
    found = find_people(detect_blob, draw_blobs(*lefts))
    people = [one for one in (found, *found.others) if one.confidence.any()]
    assert [one.pixels[0, 0, 0] - 6 for one in people] == list(lefts)


def test_one_person_is_not_looked_for_twice_in_every_frame():
    seen = []

    def detect(frames):
        seen.append(len(frames))
        return detect_blob(frames)

    find_people(detect, draw_blobs(20, num_frames=30))
    assert seen == [30, 3]


def two_people(near_hand, far_left=4):
    """The one that the detector prefers sits still; another one's hand does the work."""
    return dataclasses.replace(person_at(far_left), others=(person_at(40, hand=near_hand),))


def test_the_one_whose_hand_goes_to_the_target_acts():
    clip = draw_reach(1)
    motion = lift_clip(clip, two_people(clip.hand_pixels))
    assert motion.contact.touches_target
    assert motion.contact.hand == "right_hand"
    assert motion.confidence["actor"] > 0.8
    assert motion.reasons["actor"] == (
        "2 people are seen; the one whose hand goes to the target is taken"
    )
    hand = next(hand for hand in motion.hands if hand.name == "right_hand")
    np.testing.assert_allclose(hand.pixels, clip.hand_pixels, atol=4)


def test_two_hands_of_two_people_at_the_target_are_unsure():
    clip = draw_reach(1)
    keypoints = dataclasses.replace(
        person_at(20, hand=np.add(clip.hand_pixels, (0.5, 0))),
        others=(person_at(60, hand=clip.hand_pixels),),
    )
    motion = lift_clip(clip, keypoints)
    assert 0.4 <= motion.confidence["actor"] < 0.5
    assert "more than one has a hand at the target" in motion.reasons["actor"]
    alone = lift_clip(clip, person_at(60, hand=clip.hand_pixels))
    for name in ("hands", "contact"):
        assert motion.confidence[name] < alone.confidence[name]


def test_nobody_at_the_target_is_unsure():
    keypoints = dataclasses.replace(person_at(2), others=(person_at(80),))
    motion = lift_clip(draw_reach(1, reach=0.0), keypoints)
    assert not motion.contact.touches_target
    assert "none has a hand at the target" in motion.reasons["actor"]


def test_a_mask_says_who_acts():
    clip = draw_reach(1)
    mask = np.zeros((64, 96), bool)
    mask[2:20, 4:17] = True
    motion = lift_clip(clip, two_people(clip.hand_pixels), actor_mask=mask)
    assert motion.reasons["actor"] == "2 people are seen; the marked one is taken"
    assert not motion.contact.touches_target


def test_a_marked_arm_goes_before_a_person_beside_it():
    clip = draw_reach(1)
    motion = lift_clip(clip, person_at(80), actor_mask=arm_mask(clip))
    assert motion.actor_kind == "arm"
    assert motion.contact.touches_target


def test_somebody_hardly_seen_does_not_count():
    clip = draw_reach(1)
    faint = dataclasses.replace(person_at(60, confidence=0.1))
    keypoints = dataclasses.replace(person_at(40, hand=clip.hand_pixels), others=(faint,))
    assert "actor" not in lift_clip(clip, keypoints).reasons
    assert lift_clip(clip, dataclasses.replace(NOBODY, others=(faint,))).actor_kind == "none"
