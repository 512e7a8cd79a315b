"""Who acts: a person, an arm that is marked, or nobody; bad input never gives sure numbers."""

import dataclasses

import numpy as np
import pytest

from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.body_model import load_body_model
from tavid_core.lifting.keypoints import KEYPOINT_NAMES, Keypoints
from tavid_core.lifting.lift import lift
from tavid_core.types import PlanRequest, Rollout
from tests.core.test_lift import CAMERA, depth_map
from tests.drawn import draw_reach

SIDES = ("left", "right")
FIT = FrameFit((64, 96), (64, 96))
NOBODY = Keypoints(
    KEYPOINT_NAMES, np.full((17, 7, 2), np.nan, np.float32), np.zeros((17, 7), np.float32)
)


def lift_clip(clip, keypoints, frames=None, **changes):
    fields = {"target_mask": clip.masks[1], "depth_m": depth_map(clip), "intrinsics": CAMERA}
    fields |= changes
    body_model = fields.pop("body_model", None)
    request = PlanRequest(image=clip.frames[0], prompt="lift the disc", **fields)
    rollout = Rollout(frames=clip.frames if frames is None else frames, fps=8.0)
    return lift(rollout, request, keypoints, fit=FIT, body_model=body_model)


def arm_mask(clip):
    """What is drawn as the hand in frame 0."""
    rows, columns = np.indices((64, 96))
    column, row = clip.hand_pixels[0]
    return np.hypot(columns - column, rows - row) < 6


def test_marked_arm_is_followed_to_the_target_and_with_it():
    clip = draw_reach(1)
    motion = lift_clip(clip, NOBODY, actor_mask=arm_mask(clip))
    assert motion.actor_kind == "arm"
    assert [hand.name for hand in motion.hands] == ["gripper"]
    assert motion.body == ()
    assert motion.body_fit is None
    tip, target = motion.hands[0], motion.target
    assert motion.contact.touches_target
    start = motion.contact.start_frame
    gap_m = np.linalg.norm(tip.positions_camera_m - target.positions_camera_m, axis=-1)
    # The tip is on the rim of the disc, which is 12 cm wide.
    assert gap_m[start:].max() < 0.15
    # It rises with the target.
    assert tip.pixels[start, 1] - tip.pixels[-1, 1] > 8


def test_person_goes_before_a_marked_arm():
    clip = draw_reach(1)
    motion = lift_clip(clip, clip.keypoints(), actor_mask=arm_mask(clip))
    assert motion.actor_kind == "person"


def test_nobody_is_nobody():
    motion = lift_clip(draw_reach(1), NOBODY)
    assert motion.actor_kind == "none"
    assert motion.hands == ()
    assert motion.confidence["actor"] == motion.confidence["hands"] == 0
    assert "no actor" in motion.reasons["actor"]


@pytest.mark.parametrize("value", [0, 255])
def test_frames_of_one_colour_have_no_contact(value):
    clip = draw_reach(1)
    frames = np.full_like(clip.frames, value)
    frames[0] = clip.frames[0]
    motion = lift_clip(clip, NOBODY, frames=frames, actor_mask=arm_mask(clip))
    assert not motion.contact.touches_target
    assert motion.confidence["contact"] == 0


def test_hand_that_is_lost_for_long_has_no_place():
    clip = draw_reach(1)
    keypoints = clip.keypoints()
    keypoints.pixels[6:12] = np.nan
    motion = lift_clip(clip, keypoints)
    (hand,) = motion.hands
    assert np.isnan(hand.positions_camera_m[6:12]).all()
    assert not hand.confidence[6:12].any()


def test_body_is_fitted_only_where_a_torso_is_seen():
    clip = draw_reach(1)
    unfitted = lift_clip(clip, clip.keypoints(), body_model=load_body_model())
    assert unfitted.body_fit is None
    reason = "no body was fitted: neither both shoulders nor both hips are seen"
    assert unfitted.reasons["actor"] == reason
    assert "actor" not in lift_clip(clip, clip.keypoints()).reasons
    arm = lift_clip(clip, NOBODY, actor_mask=arm_mask(clip), body_model=load_body_model())
    assert "no body was fitted: an arm has none" in arm.reasons["actor"]
    shoulders = np.tile(np.float32([[60, 5], [30, 5]]), (17, 1, 1))
    pixels = np.concatenate([clip.hand_pixels[:, None], shoulders], axis=1).astype(np.float32)
    names = ("right_hand", "left_shoulder", "right_shoulder")
    keypoints = Keypoints(names, pixels, np.full((17, 3), 0.9, np.float32))
    fit = lift_clip(clip, keypoints, body_model=load_body_model()).body_fit
    assert fit.model == "STANDIN"
    assert fit.joint_rotations.shape == (17, 55, 3)
    assert np.isfinite(fit.pelvis_camera_m).all()


def test_exchanged_hands_are_told_in_the_plan():
    pixels = np.tile(np.float32([[60, 5], [30, 5], [62, 30], [28, 30]]), (17, 1, 1))
    pixels[8, [2, 3]] = pixels[8, [3, 2]]
    names = ("left_shoulder", "right_shoulder", "left_hand", "right_hand")
    motion = lift_clip(
        draw_reach(1), Keypoints(names, pixels, np.full((17, 4), 0.6, np.float32)), depth_m=None
    )
    assert motion.confidence["hands"] < 0.5
    assert "left and right were exchanged in 1 frames" in motion.reasons["hands"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("exchange", "left and right were exchanged in 1 frames"),
        ("jump", "a point jumps away and back in 1 frames"),
    ],
)
def test_what_was_mended_is_told_of_sure_hands_too(fault, told):
    clip = draw_reach(1)
    pixels = np.tile(np.float32([[66, 5], [36, 5], [88, 20], [0, 0], [77, 12], [0, 0]]), (17, 1, 1))
    # With its elbow halfway the touching arm is seen whole, and its hand is sure.
    pixels[:, 3] = clip.hand_pixels
    pixels[:, 5] = (clip.hand_pixels + pixels[:, 1]) / 2
    if fault == "exchange":
        pixels[8, [2, 3]] = pixels[8, [3, 2]]
    else:
        pixels[5, 2] = (60, 60)
    names = tuple(f"{side}_{part}" for part in ("shoulder", "hand", "elbow") for side in SIDES)
    motion = lift_clip(clip, Keypoints(names, pixels, np.ones((17, 6), np.float32)))
    assert motion.confidence["hands"] > 0.5
    assert told in motion.reasons["hands"]


def test_assumed_turn_of_a_hand_is_told_and_costs_nothing():
    clip = draw_reach(1)
    names = ("left_shoulder", "right_shoulder", "right_elbow", "right_hand")
    pixels = np.tile(np.float32([[66, 5], [36, 5], [0, 0], [0, 0]]), (17, 1, 1))
    pixels[:, 2], pixels[:, 3] = np.add(clip.hand_pixels, (36, 5)) / 2, clip.hand_pixels
    seen = Keypoints(names, pixels, np.ones((17, 4), np.float32))
    motion = lift_clip(clip, seen)
    remark = "how a hand is turned about its forearm is assumed in 17 of 17 frames"
    assert motion.confidence["hands"] > 0.5
    assert motion.reasons["hands"] == remark
    without = dataclasses.replace(seen, confidence=seen.confidence * np.float32([1, 1, 0, 1]))
    # Without the elbow no orientation is given, so that none is assumed.
    assert "hands" not in lift_clip(clip, without).reasons
