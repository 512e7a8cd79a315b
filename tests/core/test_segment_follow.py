"""Following a target between clicks: moves are followed, and a lost target is told."""

import numpy as np
import pytest

from tavid_core.errors import InputError
from tavid_core.segment_follow import TargetFollower
from tests.drawn import TABLE, draw_reach


def middle_of(mask):
    return np.argwhere(mask).mean(axis=0)[::-1]


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("scale", [1, 4])
def test_a_lifted_disc_is_followed_until_the_hand_hides_it(scale, noise):
    clip = draw_reach(1, scale=scale, noise=noise)
    follower = TargetFollower(clip.frames[0], clip.masks[1])
    num_found = 0
    for frame, place in zip(clip.frames[1:], clip.object_pixels[1:, 1], strict=True):
        found = follower.follow(frame)
        if found is None:
            break
        num_found += 1
        assert found.method == "grabcut"
        # Never the disc beside it, which is 26 pixels away.
        assert np.linalg.norm(middle_of(found.mask) - place) < 4 * scale
    assert num_found >= 8


def test_a_moving_camera_is_followed():
    clip = draw_reach(1, scale=4)
    follower = TargetFollower(clip.frames[0], clip.masks[1])
    for step in range(1, 8):
        moved = np.roll(clip.frames[0], (2 * step, 3 * step), axis=(0, 1))
        found = follower.follow(moved)
        assert found is not None
        truth = np.roll(clip.masks[1], (2 * step, 3 * step), axis=(0, 1))
        assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.8


def test_a_hidden_target_is_found_again_where_it_was_and_nothing_else_is():
    clip = draw_reach(1, scale=4)
    follower = TargetFollower(clip.frames[0], clip.masks[1])
    assert follower.follow(clip.frames[0]) is not None
    hidden = clip.frames[0].copy()
    rows, columns = np.nonzero(clip.masks[1])
    hidden[rows.min() - 3 : rows.max() + 4, columns.min() - 3 : columns.max() + 4] = TABLE
    # Its look-alikes stay in view all the time.
    assert [follower.follow(hidden) for _ in range(3)] == [None] * 3
    found = follower.follow(clip.frames[0])
    assert found is not None
    truth = clip.masks[1]
    assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.8


def test_another_scene_is_no_target():
    clip = draw_reach(1, scale=4)
    follower = TargetFollower(clip.frames[0], clip.masks[1])
    noise = np.random.default_rng(0).integers(0, 256, clip.frames[0].shape, dtype=np.uint8)
    assert follower.follow(noise) is None


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (300, 16), (40, 24)])
def test_small_and_narrow_pictures_are_followed_or_lost(size):
    image = np.random.default_rng(0).integers(0, 60, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, dtype=np.bool_)
    mask[4:12, 4:12] = True
    image[mask] = (250, 200, 10)
    follower = TargetFollower(image, mask)
    found = follower.follow(image)
    assert found is None or (found.mask & mask).any()


def test_unusable_input_is_refused():
    clip = draw_reach(1)
    with pytest.raises(InputError, match="mask must mark at least one pixel"):
        TargetFollower(clip.frames[0], np.zeros((64, 96), dtype=np.bool_))
    with pytest.raises(InputError, match="mask must have shape"):
        TargetFollower(clip.frames[0], np.zeros((64, 90), dtype=np.bool_))
    follower = TargetFollower(clip.frames[0], clip.masks[1])
    with pytest.raises(InputError, match="Click again on the new size"):
        follower.follow(clip.frames[0][:40])
