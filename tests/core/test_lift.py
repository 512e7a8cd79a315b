"""Lifting against hand-worked geometry: a drawn clip, a flat depth map, a known camera."""

import dataclasses

import numpy as np
import pytest

from tavid_core.camera import unproject
from tavid_core.errors import ShapeError
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.body import clean_path, travelled_share
from tavid_core.lifting.depth import SURFACE_TO_CENTER_SIDES, center_depth, sample_depth
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.lift import lift
from tavid_core.motion import CHANNELS
from tavid_core.types import CameraIntrinsics, PlanRequest, Rollout
from tests.drawn import CONTACT_FRAME, draw_reach

CAMERA = CameraIntrinsics(fx=90.0, fy=90.0, cx=47.5, cy=31.5, width=96, height=64)
FIT = FrameFit((64, 96), (64, 96))
TABLE_M, HAND_M = 1.0, 1.3


def depth_map(clip):
    """The table and the discs at one distance, the hand in frame 0 at another."""
    depth_m = np.full((64, 96), TABLE_M, dtype=np.float32)
    column, row = clip.hand_pixels[0].astype(int)
    depth_m[row - 3 : row + 4, column - 3 : column + 4] = HAND_M
    return depth_m


def request_for(clip, **changes):
    fields = {"depth_m": depth_map(clip), "intrinsics": CAMERA} | changes
    return PlanRequest(
        image=clip.frames[0], target_mask=clip.masks[1], prompt="lift the disc", **fields
    )


def lift_drawn(clip=None, keypoints=None, fit=FIT, **changes):
    clip = clip or draw_reach(1)
    rollout = Rollout(frames=clip.frames, fps=8.0)
    keypoints = keypoints or clip.keypoints()
    return lift(rollout, request_for(clip, **changes), keypoints, fit=fit)


def lift_seen_whole(clip, **changes):
    """With a head and shoulders, so that sides are checked and the arm is long enough."""
    places = {"right_hand": clip.hand_pixels, "left_shoulder": (66, 5), "right_shoulder": (36, 5)}
    pixels = np.stack([np.broadcast_to(place, (17, 2)) for place in places.values()], axis=1)
    keypoints = Keypoints(tuple(places), pixels.astype(np.float32), np.ones((17, 3), np.float32))
    return lift_drawn(clip, keypoints, **changes)


def test_target_is_where_depth_and_camera_put_it():
    motion = lift_drawn()
    side_m = np.sqrt(draw_reach(1).masks[1].sum()) * TABLE_M / 90.0
    center_m = TABLE_M + SURFACE_TO_CENTER_SIDES * side_m
    expected = [(46 - 47.5) / 90 * center_m, (50 - 31.5) / 90 * center_m, center_m]
    np.testing.assert_allclose(motion.target.positions_camera_m[0], expected, atol=2e-3)
    assert motion.scale_source == "sensor"
    assert motion.confidence["scale"] > 0.9


def test_target_rests_until_contact_and_then_goes_with_the_hand():
    motion = lift_drawn()
    target = motion.target.positions_camera_m
    (hand,) = motion.hands
    start = motion.contact.start_frame
    assert np.ptp(target[: start + 1], axis=0).tolist() == [0, 0, 0]
    # Without a texture only the hand tells how far away a held target is.
    way_m = hand.positions_camera_m[start:, 2] - hand.positions_camera_m[start, 2]
    np.testing.assert_allclose(target[start:, 2] - target[start, 2], way_m, atol=1e-5)
    # 16 pixels up at about 1.04 m and 90 pixels focal length are about 18 cm.
    assert target[0, 1] - target[-1, 1] == pytest.approx(0.185, abs=0.03)


def test_hand_goes_from_its_own_depth_to_the_targets():
    motion = lift_drawn()
    (hand,) = motion.hands
    depth_m = hand.positions_camera_m[:, 2]
    assert hand.name == "right_hand"
    # The palm's middle lies 3 cm behind its skin, and a touching hand on the target's near side.
    assert depth_m[0] == pytest.approx(HAND_M + 0.03, abs=0.02)
    target_m = motion.target.positions_camera_m[0, 2]
    assert depth_m[motion.contact.start_frame :] == pytest.approx(target_m - 0.03, abs=0.04)
    assert (np.diff(depth_m) <= 5e-3).all()


def test_contact_names_hand_frames_and_place():
    contact = lift_drawn().contact
    assert contact.touches_target
    assert contact.hand == "right_hand"
    assert abs(contact.start_frame - CONTACT_FRAME) <= 1
    assert contact.end_frame == 16
    np.testing.assert_allclose(
        contact.point_camera_m, unproject([46.0, 45.0], 1.04, CAMERA), atol=0.03
    )


def test_every_channel_has_a_confidence_and_low_ones_a_reason():
    motion = lift_drawn()
    assert set(motion.confidence) == set(CHANNELS)
    for name, value in motion.confidence.items():
        assert 0 <= value <= 1
        assert (name in motion.reasons) == (value < 0.5)
    assert motion.target_dof == 3
    assert motion.target_quaternions_xyzw.tolist() == [[0, 0, 0, 1]] * 17


def test_no_actor_is_said_and_gives_no_hands():
    clip = draw_reach(1)
    motion = lift_drawn(clip, clip.keypoints(confidence=0.1))
    assert not motion.has_actor
    assert motion.body == ()
    assert motion.confidence["actor"] < 0.3
    assert motion.reasons["actor"].startswith("no actor is seen")
    assert not motion.contact.touches_target
    assert np.isfinite(motion.target.positions_camera_m).all()


def test_one_sure_hand_among_unseen_points_is_no_actor():
    clip = draw_reach(1)
    names = ("right_hand", "head", "left_shoulder", "right_shoulder", "left_elbow")
    pixels = np.repeat(clip.hand_pixels[:, None], 5, axis=1).astype(np.float32)
    confidence = np.tile(np.float32([0.4, 0.05, 0.2, 0.1, 0.05]), (17, 1))
    motion = lift_drawn(clip, Keypoints(names, pixels, confidence))
    assert not motion.has_actor
    assert motion.confidence["actor"] == pytest.approx(np.sqrt(0.4 * 0.16), abs=1e-3)


def test_detector_that_names_no_hand_is_no_actor():
    keypoints = Keypoints(("head",), np.zeros((17, 1, 2), np.float32), np.ones((17, 1), np.float32))
    assert not lift_drawn(keypoints=keypoints).has_actor


def test_without_depth_the_distance_is_assumed_and_said():
    motion = lift_drawn(depth_m=None)
    assert motion.scale_source == "none"
    assert motion.confidence["scale"] < 0.5
    assert "a distance of 1.2 m is assumed" in motion.reasons["scale"]
    assert motion.target.positions_camera_m[0, 2] == pytest.approx(1.2, abs=0.05)


def test_without_depth_the_shoulders_give_the_distance():
    clip = draw_reach(1)
    pixels = np.stack(
        [clip.hand_pixels, np.full((17, 2), (60, 5)), np.full((17, 2), (30, 5))], axis=1
    )
    keypoints = Keypoints(
        ("right_hand", "left_shoulder", "right_shoulder"),
        pixels.astype(np.float32),
        np.full((17, 3), 0.9, np.float32),
    )
    motion = lift_drawn(clip, keypoints, depth_m=None)
    # 90 * 0.365 / 30 = 1.10 m for the shoulders; hands work in front of them, at the target.
    shoulder, hand = motion.body[0].positions_camera_m, motion.hands[0].positions_camera_m
    assert shoulder[:, 2] == pytest.approx(1.10, abs=0.03)
    assert 0.6 < motion.target.positions_camera_m[0, 2] < 1.1
    touch = motion.contact.start_frame
    assert motion.target.positions_camera_m[0, 2] == pytest.approx(hand[touch, 2], abs=0.05)
    assert "shoulders 0.37 m wide" in motion.reasons["scale"]
    assert motion.scale_source == "height_prior"
    assert [track.name for track in motion.body] == ["left_shoulder", "right_shoulder"]


def test_without_intrinsics_the_field_of_view_is_assumed_and_said():
    motion = lift_drawn(intrinsics=None)
    assert motion.scale_source == "sensor"
    assert motion.confidence["scale"] < 0.5
    assert "a field of view of 60 degrees is assumed" in motion.reasons["scale"]


@pytest.mark.parametrize(
    "camera", [None, dataclasses.replace(CAMERA, has_distortion=True)], ids=["assumed", "bent"]
)
def test_an_assumed_distance_is_less_sure_still_without_a_known_lens(camera):
    known, unknown = lift_drawn(depth_m=None), lift_drawn(depth_m=None, intrinsics=camera)
    assert unknown.confidence["scale"] == pytest.approx(0.5 * known.confidence["scale"])


def test_places_at_an_assumed_distance_are_not_sure_but_the_touch_is():
    clip = draw_reach(1)
    measured, assumed = lift_seen_whole(clip), lift_seen_whole(clip, depth_m=None)
    for name, owner in (("hands", "their"), ("target", "its")):
        assert measured.confidence[name] > 0.5
        assert assumed.confidence[name] < 0.5
        assert f"{owner} distance is assumed, for want of depth" in assumed.reasons[name]
    assert assumed.contact.touches_target
    assert assumed.confidence["contact"] > 0.5
    assert assumed.contact.confidence > 0.5


def test_lens_that_nobody_undid_is_said():
    motion = lift_drawn(intrinsics=dataclasses.replace(CAMERA, has_distortion=True))
    assert motion.confidence["scale"] < 0.5
    assert "bent by its lens and not rectified" in motion.reasons["scale"]


@pytest.mark.parametrize("unknown", [np.nan, 0.0, -1.0, np.inf])
def test_depth_map_without_any_depth_is_like_none(unknown):
    motion = lift_drawn(depth_m=np.full((64, 96), unknown, dtype=np.float32))
    assert motion.scale_source == "none"
    assert np.isfinite(motion.target.positions_camera_m).all()
    assert np.isfinite(motion.hands[0].positions_camera_m).all()


def test_glass_without_depth_takes_that_of_its_surroundings():
    clip = draw_reach(1)
    depth_m = depth_map(clip)
    depth_m[clip.masks[1]] = 0
    motion = lift_drawn(clip, depth_m=depth_m)
    assert motion.target.positions_camera_m[0, 2] == pytest.approx(TABLE_M)
    assert "surroundings" in motion.reasons["scale"]


def test_hand_measured_on_the_wall_behind_is_not_believed():
    clip = draw_reach(1)
    depth_m = depth_map(clip)
    depth_m[depth_m == HAND_M] = 4.0
    motion = lift_drawn(clip, depth_m=depth_m)
    assert np.abs(motion.hands[0].positions_camera_m[:, 2] - TABLE_M).max() < 0.05


def test_actor_mask_keeps_the_background_out_of_the_hands_depth():
    clip = draw_reach(1)
    depth_m = depth_map(clip)
    depth_m[depth_m == HAND_M] = 1.8
    actor_mask = np.zeros((64, 96), dtype=bool)
    column, row = clip.hand_pixels[0].astype(int)
    actor_mask[row, column] = True
    depth_m[row, column] = HAND_M
    motion = lift_drawn(clip, depth_m=depth_m, actor_mask=actor_mask)
    assert motion.hands[0].positions_camera_m[0, 2] == pytest.approx(HAND_M + 0.03, abs=0.02)


def test_results_are_in_the_callers_pixels_whatever_the_rollouts_size():
    clip, large = draw_reach(1), draw_reach(1, scale=4)
    request = PlanRequest(image=large.frames[0], target_mask=large.masks[1], prompt="lift it")
    fit = FrameFit((256, 384), (64, 96))
    rollout = Rollout(frames=clip.frames, fps=8.0)
    motion = lift(rollout, request, clip.keypoints(), fit=fit)
    np.testing.assert_allclose(motion.target.pixels[0], [184, 200], atol=1.0)
    assert motion.contact.touches_target


def test_single_frame_is_lifted_without_contact():
    clip = draw_reach(1)
    clip.frames, clip.hand_pixels = clip.frames[:1], clip.hand_pixels[:1]
    motion = lift_drawn(clip)
    assert motion.num_frames == 1
    assert not motion.contact.touches_target
    assert motion.reasons["contact"]


def test_hand_that_touches_nothing_keeps_its_depth():
    motion = lift_drawn(draw_reach(1, reach=0.4))
    assert not motion.contact.touches_target
    assert motion.contact.hand is None
    assert np.ptp(motion.hands[0].positions_camera_m[:, 2]) < 0.03


def test_jumping_hand_is_doubted():
    clip = draw_reach(1)
    clip.hand_pixels[::2] = (5.0, 5.0)
    motion = lift_drawn(clip)
    assert motion.confidence["hands"] < 0.5
    assert "jumps" in motion.reasons["hands"]


def test_keypoints_of_another_rollout_are_refused():
    keypoints = draw_reach(1, num_frames=11).keypoints()
    with pytest.raises(ShapeError, match=r"keypoints.confidence must have shape \(17, 1\)"):
        lift_drawn(keypoints=keypoints)


def test_short_gaps_are_closed_and_long_ones_stay():
    pixels = np.stack([np.arange(9.0), np.zeros(9)], axis=1).astype(np.float32)
    confidence = np.array([1, 0, 1, 1, 0, 0, 0, 1, 1], dtype=np.float32)
    cleaned, sureness = clean_path(pixels, confidence)
    assert cleaned[1].tolist() == [1, 0]
    assert sureness.tolist() == [1, 0.5, 1, 1, 0, 0, 0, 1, 1]
    assert np.isnan(cleaned[4:7]).all()


def test_smoothing_halves_a_single_jolt():
    pixels = np.zeros((5, 2), dtype=np.float32)
    pixels[2] = 4
    assert clean_path(pixels, np.ones(5, np.float32))[0][:, 0].tolist() == [0, 1, 2, 1, 0]


def test_waiting_hand_does_not_approach():
    pixels = np.array([[0, 0], [0, 0], [0, 0], [10, 0], [20, 0], [20, 0]], dtype=np.float32)
    assert travelled_share(pixels, 4).tolist() == [0, 0, 0, 0.5, 1, 1]


def test_hand_that_stays_in_place_approaches_with_time():
    pixels = np.zeros((5, 2), dtype=np.float32)
    assert travelled_share(pixels, 4).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert travelled_share(np.full((5, 2), np.nan), 4).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_sampled_depth_is_the_median_of_what_is_known():
    depth_m = np.full((9, 9), np.nan, dtype=np.float32)
    depth_m[3:6, 3:6] = [[1, 2, 0], [3, 50, np.inf], [2, 0, 2]]
    assert sample_depth(depth_m, np.array([4.0, 4.0]), 1.0) == 2.0
    assert np.isnan(sample_depth(depth_m, np.array([0.0, 0.0]), 1.0))
    assert np.isnan(sample_depth(depth_m, np.array([-50.0, 400.0]), 1.0))
    assert np.isnan(sample_depth(depth_m, np.array([np.nan, 4.0]), 1.0))


def test_center_lies_behind_the_surface():
    mask = np.zeros((64, 96), dtype=bool)
    mask[20:30, 20:30] = True
    center_m, share = center_depth(np.full((64, 96), 0.9, np.float32), mask, CAMERA)
    # A side of 10 px at 0.9 m and 90 px focal length is 0.1 m.
    assert center_m == pytest.approx(0.9 + 0.38 * 0.1, abs=1e-6)
    assert share == 1.0


def test_a_look_alike_that_is_taken_instead_is_said():
    clip = draw_reach(2)
    motion = lift_drawn(clip)
    assert not motion.contact.touches_target
    assert motion.contact.touches_other
    assert motion.contacts == (motion.contact,)
    assert motion.confidence["contact"] == 0
    assert "looks like the target instead" in motion.reasons["contact"]
    assert motion.segments == ()


def test_contact_point_is_in_the_targets_own_frame():
    motion = lift_drawn()
    contact = motion.contact
    center_m = motion.target.positions_camera_m[contact.start_frame]
    np.testing.assert_allclose(contact.point_target_m, contact.point_camera_m - center_m, atol=1e-6)
    assert motion.contacts == (contact,)
    assert [part.name for part in motion.segments][:2] == ["approach", "grasp"]


def test_without_texture_the_orientation_is_held_and_said():
    motion = lift_drawn()
    assert motion.target_dof == 3
    assert motion.confidence["rotation"] == 0
    assert "its orientation of frame 0 is kept" in motion.reasons["rotation"]


def test_after_a_cut_the_target_is_lost_and_the_channels_say_why():
    clip = draw_reach(1)
    clip.frames[12:] = 255 - clip.frames[12:, ::-1, ::-1]
    motion = lift_drawn(clip)
    assert np.isnan(motion.target.positions_camera_m[12:]).all()
    assert (motion.target.confidence[12:] == 0).all()
    for name in ("hands", "target", "contact"):
        assert motion.confidence[name] < 0.5
        assert "as in a cut" in motion.reasons[name]


def test_a_black_video_gives_nothing_that_looks_sure():
    clip = draw_reach(1)
    clip.frames[:] = 0
    motion = lift_drawn(clip)
    assert not motion.contact.touches_target
    assert max(v for name, v in motion.confidence.items() if name != "scale") == 0
    assert motion.reasons["target"] == "the video is blank"


def test_a_target_that_leaves_the_picture_is_lost_from_there():
    clip = draw_reach(1, lift=(0.0, -64.0), num_frames=25)
    motion = lift_drawn(clip)
    assert np.isnan(motion.target.positions_camera_m[-1]).all()
    assert np.isfinite(motion.target.positions_camera_m[0]).all()
    assert motion.target.confidence[-1] == 0
    assert motion.confidence["target"] < 0.9


def test_depth_of_every_frame_must_fit_the_rollout():
    clip = draw_reach(1)
    rollout = Rollout(frames=clip.frames, fps=8.0)
    with pytest.raises(ShapeError, match=r"later_depth_m must have shape \(17, 64, 96\)"):
        lift(
            rollout,
            request_for(clip),
            clip.keypoints(),
            fit=FIT,
            later_depth_m=np.ones((16, 64, 96), np.float32),
        )
