"""The tracker on drawn pictures with look-alikes, small and large, clean and noisy."""

import time

import numpy as np
import pytest

from tavid_core.errors import InputError, ShapeError
from tavid_core.lifting.target import track_target
from tests.drawn import CONTACT_FRAME, draw_reach


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize(("scale", "noise", "blur"), [(1, 0, 0), (1, 6, 0.8), (4, 4, 0), (7, 0, 0)])
def test_only_the_lifted_disc_moves_and_its_path_is_found(target, scale, noise, blur):
    clip = draw_reach(target, scale=scale, noise=noise, blur=blur)
    tracks = [track_target(clip.frames, mask) for mask in clip.masks]
    assert [bool(track.has_moved.any()) for track in tracks] == [i == target for i in range(3)]
    error_px = np.linalg.norm(tracks[target].pixels - clip.object_pixels[:, target], axis=-1)
    # A quarter of a side (9 px at scale 1) is what counts as rest.
    assert error_px.max() < 0.3 * tracks[target].side_px
    assert error_px[-1] < 0.12 * tracks[target].side_px
    assert CONTACT_FRAME < tracks[target].onset_frame <= CONTACT_FRAME + 3


def test_resting_object_stays_exactly_where_it_is():
    clip = draw_reach(1, noise=4)
    track = track_target(clip.frames, clip.masks[0])
    assert np.ptp(track.pixels, axis=0).tolist() == [0, 0]
    np.testing.assert_allclose(track.pixels[0], [20, 46], atol=0.3)
    assert track.confidence.min() > 0.6
    assert track.onset_frame is None


def test_object_carried_past_a_look_alike_is_not_confused_with_it():
    clip = draw_reach(0, lift=(54.0, -8.0), num_frames=25)
    tracks = [track_target(clip.frames, mask) for mask in clip.masks]
    assert np.linalg.norm(tracks[0].pixels[-1] - clip.object_pixels[-1, 0]) < 3.0
    assert not tracks[1].has_moved.any()


def test_hidden_object_is_kept_in_place_with_low_confidence():
    clip = draw_reach(1, reach=0.0)
    clip.frames[6:9, 40:60, 36:56] = (225, 175, 145)
    track = track_target(clip.frames, clip.masks[1])
    assert not track.has_moved.any()
    assert track.confidence[6:9].max() < 0.3
    assert track.confidence[[0, 5, 9, 16]].min() > 0.9
    assert np.ptp(track.pixels, axis=0).tolist() == [0, 0]


def test_vanished_object_has_not_moved_but_its_place_is_empty():
    clip = draw_reach(1, reach=0.0)
    empty = draw_reach(1, reach=0.0, centers=((20, 46), (-90, -90), (74, 45)))
    clip.frames[8:] = empty.frames[8:]
    track = track_target(clip.frames, clip.masks[1])
    assert not track.has_moved.any()
    assert track.rest_emptiness[8:].min() > 0.8 > 0.2 > track.rest_emptiness[:8].max()
    assert track.confidence[-1] < 0.3


def test_brightness_drift_of_the_whole_picture_is_no_motion():
    clip = draw_reach(1, reach=0.0)
    drift = np.linspace(0, 35, 17)[:, None, None, None]
    frames = (clip.frames + drift).clip(0, 255).astype(np.uint8)
    assert not track_target(frames, clip.masks[1]).has_moved.any()


def test_single_frame_is_a_track_at_rest():
    clip = draw_reach(1)
    track = track_target(clip.frames[:1], clip.masks[1])
    assert track.pixels.shape == (1, 2)
    assert track.confidence[0] == pytest.approx(1.0)


def test_one_pixel_object_does_not_fail():
    clip = draw_reach(1)
    mask = np.zeros((64, 96), dtype=bool)
    mask[50, 46] = True
    assert track_target(clip.frames, mask).pixels[0].tolist() == pytest.approx([46, 50], abs=0.5)


def test_four_objects_take_less_than_half_a_second():
    clip = draw_reach(1)
    masks = [*clip.masks, clip.masks[0]]
    begin = time.process_time()
    for mask in masks:
        track_target(clip.frames, mask)
    assert time.process_time() - begin < 0.5


def test_empty_mask_is_refused():
    clip = draw_reach(1)
    with pytest.raises(InputError, match="mask must be bool and mark the target"):
        track_target(clip.frames, np.zeros((64, 96), dtype=bool))


def test_mask_of_another_size_is_refused():
    clip = draw_reach(1)
    with pytest.raises(ShapeError, match=r"mask must have shape \(64, 96\), got \(32, 48\)"):
        track_target(clip.frames, np.ones((32, 48), dtype=bool))
