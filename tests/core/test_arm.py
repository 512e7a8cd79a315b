"""A marked arm is followed by what it changes in the picture, and by nothing else."""

import cv2
import numpy as np
import pytest

from tavid_core.errors import ShapeError
from tavid_core.lifting.arm import follow_arm
from tavid_core.lifting.target import track_target
from tests.core.test_actor_parts import NOBODY, lift_clip
from tests.drawn import CONTACT_FRAME, SKIN, TABLE, WALL, draw_reach

TARGET = 1


def is_arm(frames):
    """Where the arm's colour is."""
    return np.abs(frames.astype(int) - SKIN).sum(axis=-1) < 60


def follow(clip, frames, actor_mask=None, target=TARGET):
    mask = clip.masks[target]
    actor_mask = is_arm(clip.frames[0]) if actor_mask is None else actor_mask
    return follow_arm(frames, actor_mask, track_target(frames, mask), mask)


def touch(clip, frames=None, target=TARGET):
    """Lift a clip whose arm is marked, and give the contact."""
    marked = {"actor_mask": is_arm(clip.frames[0]), "target_mask": clip.masks[target]}
    return lift_clip(clip, NOBODY, frames=frames, **marked).contact


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("noise", [0.0, 6.0])
@pytest.mark.parametrize("blur", [0.0, 1.2])
def test_tip_is_where_the_arm_is_nearest_to_the_target(scale, noise, blur):
    clip = draw_reach(TARGET, scale=scale, noise=noise, blur=blur)
    arm = is_arm(draw_reach(TARGET, scale=scale).frames[0])
    tip, confidence = follow(clip, clip.frames, arm).track("gripper")
    assert confidence[:CONTACT_FRAME].min() > 0.3
    for t in range(1, CONTACT_FRAME):
        rows, columns = np.nonzero(is_arm(draw_reach(TARGET, scale=scale).frames[t]))
        away = np.hypot(columns - clip.object_pixels[0, TARGET, 0], rows - 50 * scale)
        gap = np.linalg.norm(tip[t] - clip.object_pixels[0, TARGET])
        assert gap == pytest.approx(away.min(), abs=3.0 * scale)


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_touch_is_found_when_it_is(target, noise):
    clip = draw_reach(target)
    rng = np.random.default_rng(target)
    frames = (clip.frames + rng.normal(0, noise, clip.frames.shape)).clip(0, 255).astype(np.uint8)
    contact = touch(clip, frames, target)
    assert contact.touches_target
    assert contact.start_frame == pytest.approx(CONTACT_FRAME, abs=1)
    for other in {0, 1, 2} - {target}:
        assert not touch(clip, frames, other).touches_target


def test_arm_that_stops_on_its_way_touches_nothing():
    clip = draw_reach(TARGET, reach=0.6)
    assert not touch(clip).touches_target


def test_noise_over_a_still_picture_is_no_arm_that_comes():
    clip = draw_reach(TARGET)
    rng = np.random.default_rng(0)
    still = np.repeat(clip.frames[:1], len(clip.frames), axis=0)
    still = (still + rng.normal(0, 6, still.shape)).clip(0, 255).astype(np.uint8)
    assert not touch(clip, still).touches_target


def test_gripper_of_nearly_the_table_s_colour_is_seen():
    clip = draw_reach(TARGET)
    frames = clip.frames.copy()
    is_low = np.arange(frames.shape[1])[:, None] >= 30
    frames[is_arm(frames) & is_low] = np.array(TABLE) + 18
    contact = touch(clip, frames)
    assert contact.touches_target
    assert contact.start_frame == pytest.approx(CONTACT_FRAME, abs=1)


def test_arm_with_a_link_missing_is_still_the_arm():
    clip = draw_reach(TARGET)
    frames = clip.frames.copy()
    frames[1:, 14:20] = WALL
    assert touch(clip, frames).touches_target


def test_arm_that_is_gone_has_no_place():
    clip = draw_reach(TARGET)
    frames = clip.frames.copy()
    behind = np.where(np.arange(64)[:, None, None] < 28, WALL, TABLE)
    for frame in frames[5:]:
        with_rim = cv2.dilate(is_arm(frame).astype(np.uint8), np.ones((5, 5)))
        frame[:] = np.where(with_rim[..., None], behind, frame)
    tip = follow(clip, frames)
    assert np.isnan(tip.pixels[5:7]).all()
    assert not tip.confidence[5:7].any()


@pytest.mark.parametrize("name", ["actor_mask", "target_mask"])
def test_mask_of_another_size_is_refused(name):
    clip = draw_reach(TARGET)
    masks = {"actor_mask": is_arm(clip.frames[0]), "target_mask": clip.masks[TARGET]}
    track = track_target(clip.frames, clip.masks[TARGET])
    masks[name] = masks[name][:-1]
    with pytest.raises(ShapeError, match=f"{name} must .*Resize it to the rollout"):
        follow_arm(clip.frames, track=track, **masks)
