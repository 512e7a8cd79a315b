"""Each rule of the cutter: what is kept, and what is left out for which reason."""

import numpy as np
import pytest

from tavid_core.errors import InputError
from tavid_core.frame_fit import FrameFit
from tests.drawn import CONTACT_FRAME
from tests.source_jobs import CAMERA, draw_recording
from training.sources.cut_rules import CutReason, CutRules
from training.sources.cutter import RejectedWindow, Window, cut

RULES = CutRules(num_frames=17, size_hw=(64, 96))
CONTACT = CONTACT_FRAME + 6


def cut_one(rules=RULES, **changes):
    (found,) = cut(draw_recording(**changes), rules)
    return found


def reason_of(rules=RULES, **changes):
    found = cut_one(rules, **changes)
    assert isinstance(found, RejectedWindow), found
    return found.reason


def test_clip_begins_before_the_contact_and_holds_it():
    window = cut_one()
    assert isinstance(window, Window)
    assert window.start == CONTACT - RULES.num_lead_frames == 7
    assert window.contact_frame == 7
    recording = draw_recording()
    np.testing.assert_array_equal(window.frames_THWC, recording.read_frames(7, 24))
    np.testing.assert_array_equal(window.target_mask, recording.target_masks[7])
    np.testing.assert_array_equal(window.actor_mask, recording.actor_masks[7])
    assert window.camera == CAMERA


def test_clip_is_fitted_as_the_planner_fits_its_image():
    recording = draw_recording(scale=2)
    window = cut_one(CutRules(num_frames=17, size_hw=(48, 64)), scale=2)
    fit = FrameFit((128, 192), (48, 64))
    np.testing.assert_array_equal(
        window.frames_THWC[0], fit.fit_image(recording.read_frames(window.start, 25)[0])
    )
    np.testing.assert_array_equal(
        window.target_mask, fit.fit_mask(recording.target_masks[window.start])
    )


def test_intrinsics_follow_the_crop():
    window = cut_one(CutRules(num_frames=17, size_hw=(32, 32), min_target_share=0.001))
    assert window.camera == FrameFit((64, 96), (32, 32)).fit_intrinsics(CAMERA)


def test_contact_is_found_in_the_picture_from_hands():
    window = cut_one(contact=None)
    # The hand's middle comes near the disc a little before it rests on it, never after.
    assert CONTACT - 2 <= window.start + window.contact_frame <= CONTACT


def test_contact_is_found_in_the_picture_from_masks():
    window = cut_one(contact=None, hand_pixels=None)
    assert CONTACT - 3 <= window.start + window.contact_frame <= CONTACT


def test_touch_in_the_picture_counts_only_if_the_target_moves():
    recording = draw_recording()
    hands = recording.hand_pixels.copy()
    hands[CONTACT:] = hands[CONTACT]
    masks = dict.fromkeys(recording.target_masks, recording.target_masks[0])
    still = {"contact": None, "target_masks": masks, "hand_pixels": hands}
    assert reason_of(**still) is CutReason.STILL_TARGET
    allowed = CutRules(num_frames=17, size_hw=(64, 96), allows_still_target=True)
    assert isinstance(cut_one(allowed, **still), Window)


def test_target_motion_is_seen_in_frames_where_masks_end_before_the_contact():
    masks = {t: m for t, m in draw_recording(scale=3).target_masks.items() if t < CONTACT - 3}
    window = cut_one(contact=None, target_masks=masks, scale=3)
    assert isinstance(window, Window)
    frames = draw_recording(scale=3).read_frames(0, 25)
    frozen = np.concatenate([frames[: CONTACT + 1], np.repeat(frames[CONTACT][None], 10, axis=0)])
    reason = reason_of(
        contact=None, target_masks=masks, scale=3, read_frames=lambda a, b: frozen[a:b]
    )
    assert reason is CutReason.STILL_TARGET


def test_contact_without_a_free_frame_before_it_is_no_clip():
    assert reason_of(contact=np.ones(25, bool)) is CutReason.ALWAYS_CONTACT
    assert reason_of(contact=np.arange(25) >= 2) is CutReason.NO_APPROACH


def test_no_contact_or_a_brief_one_is_no_clip():
    assert reason_of(contact=np.zeros(25, bool)) is CutReason.NO_CONTACT
    brief = np.isin(np.arange(25), [10, 11])
    assert reason_of(contact=brief) is CutReason.BRIEF_CONTACT


def test_flicker_of_a_contact_is_one_contact():
    flicker = (np.arange(25) >= CONTACT) & (np.arange(25) != CONTACT + 2)
    assert isinstance(cut_one(contact=flicker), Window)


def test_two_contacts_make_two_clips():
    times = np.arange(60)
    contact = ((times >= 10) & (times < 18)) | ((times >= 36) & (times < 44))
    windows = list(cut(draw_recording(num_frames=60, contact=contact), RULES))
    assert [window.start for window in windows] == [3, 29]
    assert [window.contact_frame for window in windows] == [7, 7]


def test_length_decides():
    assert reason_of(num_frames=16, contact=np.arange(16) >= 8) is CutReason.TOO_SHORT
    late = np.arange(25) >= 24
    assert reason_of(contact=late) is CutReason.ENDS_TOO_SOON


def test_nothing_known_about_contact_is_no_clip():
    nothing = {"contact": None, "hand_pixels": None, "actor_masks": {}}
    assert reason_of(**nothing) is CutReason.UNKNOWN_CONTACT


def test_target_has_to_be_there_large_enough_and_in_view():
    assert reason_of(target_masks={}) is CutReason.NO_TARGET
    strict = CutRules(num_frames=17, size_hw=(64, 96), min_target_share=0.02)
    assert reason_of(strict) is CutReason.SMALL_TARGET
    narrow = CutRules(num_frames=17, size_hw=(64, 32))
    assert reason_of(narrow, target=0) is CutReason.CUT_OFF_TARGET


def test_sparse_masks_decide_where_a_clip_begins():
    masks = {4: draw_recording().target_masks[4]}
    window = cut_one(target_masks=masks)
    assert window.start == 4


def test_actor_has_to_be_there():
    empty = {t: np.zeros((64, 96), bool) for t in range(25)}
    assert reason_of(actor_masks=empty) is CutReason.NO_ACTOR
    assert reason_of(actor_masks={}, hand_pixels=None) is CutReason.NO_ACTOR
    assert isinstance(cut_one(actor_masks={}), Window)
    allowed = CutRules(num_frames=17, size_hw=(64, 96), allows_unknown_actor=True)
    assert isinstance(cut_one(allowed, actor_masks={}, hand_pixels=None), Window)


def test_moving_camera_is_no_clip():
    frames = textured_frames()
    moving = np.stack([np.roll(frame, t, axis=1) for t, frame in enumerate(frames)])
    assert reason_of(scale=3, read_frames=lambda a, b: moving[a:b]) is CutReason.MOVING_CAMERA
    assert isinstance(cut_one(scale=3, read_frames=lambda a, b: frames[a:b]), Window)


def textured_frames():
    """Spots on wall and table, which the drawn pictures lack."""
    frames = draw_recording(scale=3).read_frames(0, 25).astype(int)
    spots = np.random.default_rng(0).integers(-40, 40, (48, 72)).repeat(4, 0).repeat(4, 1)
    is_background = (frames == frames[0]).all(axis=(0, 3))
    frames[:, is_background] += spots[is_background][None, :, None]
    return frames.clip(0, 255).astype(np.uint8)


def test_scene_cut_is_no_clip():
    frames = draw_recording().read_frames(0, 25).copy()
    frames[18:] = 255 - frames[18:]
    assert reason_of(read_frames=lambda a, b: frames[a:b]) is CutReason.SCENE_CUT


def test_a_source_that_breaks_its_word_is_told():
    with pytest.raises(InputError, match="recording must have 8 frames per second, got 30"):
        cut_one(fps=30.0)
    with pytest.raises(InputError, match="target_mask must have shape"):
        cut_one(size_hw=(60, 96))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("num_frames", 16, "num_frames must be 8n"),
        ("size_hw", (65, 96), "size must be even"),
        ("size_hw", (8, 96), "size must be 16"),
        ("fps", 0.0, "fps must be"),
        ("min_target_share", 1.5, "min_target_share must be"),
        ("min_contact_sec", 9.0, "min_contact_sec must be shorter"),
    ],
)
def test_rules_are_checked(field, value, told):
    with pytest.raises(InputError, match=told):
        CutRules(**{field: value})
