"""The carried mask on drawn clips, whose every mask is a disc that is known."""

import dataclasses

import numpy as np
import pytest

from tavid_core.errors import ShapeError
from tavid_core.lifting.target import track_target
from tavid_core.lifting.target_mask import carry_mask
from tavid_core.lifting.target_sight import bridge_gaps, watch_target
from tests.drawn import CONTACT_FRAME, SKIN, draw_reach


def truth(clip, t, target=1):
    """Pixels of the disc in frame t that the hand does not hide."""
    height, width = clip.frames.shape[1:3]
    rows, columns = np.mgrid[:height, :width]
    column, row = clip.object_pixels[t, target]
    radius = np.sqrt(clip.masks[target].sum() / np.pi)
    is_skin = np.abs(clip.frames[t].astype(int) - SKIN).sum(axis=-1) < 60
    return (np.hypot(columns - column, rows - row) <= radius) & ~is_skin


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def carry(clip, target=1):
    mask = clip.masks[target]
    return carry_mask(clip.frames, mask, track_target(clip.frames, mask))


@pytest.mark.parametrize("scale", [1, 4])
def test_the_mask_goes_with_the_disc_and_leaves_out_the_hand(scale):
    clip = draw_reach(1, scale=scale)
    carried = carry(clip)
    assert not carried.is_lost.any()
    assert carried.reason == ""
    agreement = [iou(carried.masks[t], truth(clip, t)) for t in range(17)]
    # At scale 1 a ring of one pixel is a fifth of the disc.
    assert min(agreement[:CONTACT_FRAME]) > 0.8
    assert min(agreement) > 0.6
    assert np.mean(agreement) > 0.8


def test_a_resting_disc_keeps_its_mask():
    clip = draw_reach(1)
    carried = carry(clip, target=0)
    assert min(iou(mask, clip.masks[0]) for mask in carried.masks) > 0.8
    assert carried.area_ratio == pytest.approx(1, abs=0.2)
    assert carried.flow_error_px.max() < 0.5
    assert not carried.is_reset.any()


def test_a_mask_that_jumps_is_begun_again_where_the_look_is_found():
    clip = draw_reach(1, reach=0.0, scale=2)
    # In one frame the disc is four of its diameters away: no flow follows that.
    away = draw_reach(1, reach=0.0, scale=2, centers=((20, 46), (58, 34), (74, 45)))
    clip.frames[9:] = away.frames[9:]
    track = track_target(clip.frames, clip.masks[1])
    carried = carry_mask(clip.frames, clip.masks[1], track)
    found = np.flatnonzero(track.has_moved)
    assert len(found)
    assert carried.is_reset[found].any()
    for t in np.flatnonzero(carried.is_reset):
        assert carried.failures[t]
        assert 0 < carried.confidence[t] <= 0.6


def test_a_disc_that_vanishes_loses_its_mask_and_says_why():
    clip = draw_reach(1, reach=0.0)
    empty = draw_reach(1, reach=0.0, centers=((20, 46), (-90, -90), (74, 45)))
    clip.frames[8:] = empty.frames[8:]
    carried = carry(clip)
    assert carried.is_lost.tolist() == [False] * 8 + [True] * 9
    assert not carried.masks[8:].any()
    assert carried.reason.startswith("the target's mask is lost in 9 of 17 frames: ")


def test_frames_that_are_lost_have_no_mask():
    clip = draw_reach(1)
    clip.frames[5:7] = 0
    sight = watch_target(clip.frames, clip.masks[1])
    assert np.flatnonzero(sight.mask.is_lost).tolist() == [5, 6]
    assert not sight.mask.masks[5:7].any()
    assert "2 of 17 frames" in sight.mask.reason


def test_the_mask_bridges_frames_in_which_the_look_is_not_found():
    clip = draw_reach(1, scale=4)
    track = track_target(clip.frames, clip.masks[1])
    carried = carry_mask(clip.frames, clip.masks[1], track)
    is_gap = np.arange(17) >= 13
    gone = dataclasses.replace(
        track,
        pixels=np.where(is_gap[:, None], track.pixels[0], track.pixels),
        confidence=np.where(is_gap, 0.1, track.confidence).astype(np.float32),
        has_moved=track.has_moved & ~is_gap,
        rest_likeness=np.where(is_gap, 0.2, track.rest_likeness).astype(np.float32),
    )
    bridged = bridge_gaps(gone, carried)
    assert bridged.has_moved.tolist() == track.has_moved.tolist()
    error_px = np.linalg.norm(bridged.pixels - clip.object_pixels[:, 1], axis=-1)[is_gap]
    assert error_px.max() < 0.3 * track.side_px
    # A rest place that still looks like the target, or a doubtful mask, bridges nothing.
    at_rest = dataclasses.replace(gone, rest_likeness=np.full(17, 0.9, np.float32))
    assert bridge_gaps(at_rest, carried) is at_rest
    doubtful = dataclasses.replace(carried, confidence=np.full(17, 0.5, np.float32))
    assert bridge_gaps(gone, doubtful) is gone


def test_one_frame_and_one_pixel_do_not_fail():
    clip = draw_reach(1)
    single = watch_target(clip.frames[:1], clip.masks[1])
    assert single.mask.masks.shape == (1, 64, 96)
    assert single.mask.confidence.tolist() == [1.0]
    mask = np.zeros((64, 96), dtype=bool)
    mask[50, 46] = True
    assert watch_target(clip.frames, mask).mask.masks.shape == (17, 64, 96)


def test_mask_of_another_size_is_refused():
    clip = draw_reach(1)
    track = track_target(clip.frames, clip.masks[1])
    with pytest.raises(ShapeError, match=r"mask must have shape \(64, 96\), got \(32, 48\)"):
        carry_mask(clip.frames, np.ones((32, 48), dtype=bool), track)
