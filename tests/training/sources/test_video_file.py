"""Frames of video files by time: whole ones, cut-off ones, damaged ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tests.training.sources.drawn_touch import write_video
from training.sources.frame_choice import choose_frames, join_by_time
from training.sources.video_file import VideoFile


def draw_counting_frames(num_frames):
    """Frame i has the brightness 4 i, so that a frame tells its number."""
    levels = (4 * np.arange(num_frames)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, 48, 64, 3)).copy()


def numbers_of(frames):
    return np.rint(frames.reshape(len(frames), -1).mean(axis=1) / 4).astype(int).tolist()


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "counting.mp4"
    write_video(path, draw_counting_frames(60), 30, {"crf": "10", "bf": "2", "g": "12"})
    return path


@pytest.mark.parametrize("indices", [[0, 1, 2], [59], [5, 5, 6], [58, 59, 0], [30, 20, 10]])
def test_frames_come_in_any_order(counting, indices):
    video = VideoFile(counting)
    assert (len(video), video.size_hw, video.num_missing) == (60, (48, 64), 0)
    np.testing.assert_allclose(video.times_sec, np.arange(60) / 30, atol=1e-4)
    assert numbers_of(video.read(indices)) == indices


def test_far_jumps_land_on_the_right_frame(tmp_path):
    frames = np.zeros((400, 16, 16, 3), np.uint8)
    frames[:, :8] = (np.arange(400) % 20 * 12).astype(np.uint8)[:, None, None, None]
    frames[:, 8:] = (np.arange(400) // 20 * 12).astype(np.uint8)[:, None, None, None]
    write_video(tmp_path / "long.mp4", frames, 30, {"crf": "1", "g": "40"})
    video = VideoFile(tmp_path / "long.mp4")
    for index in (390, 3, 200, 399, 0, 81):
        read = video.read([index])[0].astype(int)
        assert np.rint(read[2:6].mean() / 12) == index % 20
        assert np.rint(read[10:14].mean() / 12) == index // 20


def test_frames_out_of_range_are_refused(counting):
    with pytest.raises(InputError, match=r"frame must be in 0\.\.59 of counting\.mp4, got 60"):
        VideoFile(counting).read([60])


def test_cut_off_video_gives_what_it_holds_and_says_what_is_missing(counting, tmp_path):
    data = counting.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 3 // 4])
    video = VideoFile(path)
    assert 0 < len(video) < 60
    assert video.num_missing == 60 - len(video)
    kept = list(range(len(video)))
    assert numbers_of(video.read(kept)) == kept


@pytest.mark.parametrize("size", [0, 100, 500])
def test_video_without_frames_is_refused(counting, tmp_path, size):
    path = tmp_path / "stub.mp4"
    path.write_bytes(counting.read_bytes()[:size])
    with pytest.raises(InputError, match=r"stub\.mp4 must"):
        VideoFile(path)


def test_missing_video_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be a readable video"):
        VideoFile(tmp_path / "none.mp4")


def test_sound_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match="must be a readable video"):
        VideoFile(tmp_path / "text.mp4")


@given(
    rate=st.floats(8.0, 60.0),
    num_frames=st.integers(1, 300),
    start=st.floats(-1e5, 1e5, width=32),
)
def test_choice_keeps_pace_with_time(rate, num_frames, start):
    times = start + np.arange(num_frames) / rate
    pieces = choose_frames(times, 8.0)
    assert len(pieces) == 1
    chosen = times[pieces[0]]
    assert np.abs(chosen - (times[0] + np.arange(len(chosen)) / 8)).max() <= 0.5 / rate + 1e-6
    assert len(chosen) == int(np.floor((times[-1] - times[0]) * 8 + 1e-6)) + 1


@given(
    times=st.lists(st.floats(0, 20), min_size=1, max_size=100, unique=True).map(sorted),
    fps=st.floats(1.0, 30.0),
)
def test_no_piece_jumps_over_a_hole(times, fps):
    try:
        pieces = choose_frames(times, fps)
    except InputError:
        return
    for piece in pieces:
        chosen = np.array(times)[piece]
        assert (np.diff(chosen) >= 0).all()
        assert (np.abs(np.diff(chosen) - 1 / fps) <= 1.5 / fps + 1e-6).all()


def test_hole_splits_a_recording():
    times = np.concatenate([np.arange(0, 2, 1 / 30), np.arange(4, 6, 1 / 30)])
    first, second = choose_frames(times, 8.0)
    assert times[first].max() < 2
    assert times[second].min() >= 4 - 1e-9


def test_slow_recordings_are_refused():
    with pytest.raises(InputError, match="must have at least 8 frames per second, got 1"):
        choose_frames(np.arange(20), 8.0)
    assert len(choose_frames(np.arange(20), 1.0)[0]) == 20


@pytest.mark.parametrize("times", [[0, 1, 1], [0, 2, 1], [0, np.nan]])
def test_times_must_rise(times):
    with pytest.raises(InputError, match="frame times must rise"):
        choose_frames(times, 1.0)


def test_a_clock_that_jumps_by_years_is_refused():
    with pytest.raises(InputError, match="must last at most 250000 s"):
        choose_frames([*np.arange(20) / 30, 1e12], 8.0)


def test_no_frames_is_no_recording():
    with pytest.raises(InputError, match="must have frames"):
        choose_frames([], 8.0)


@given(
    times=st.lists(st.floats(-10, 10), max_size=30),
    others=st.lists(st.floats(-10, 10), max_size=30),
    tolerance=st.floats(0, 2),
)
def test_join_finds_the_nearest_or_none(times, others, tolerance):
    joined = join_by_time(times, others, tolerance)
    for index, time in enumerate(times):
        distances = [abs(other - time) for other in others]
        if distances and min(distances) <= tolerance:
            assert distances[joined[index]] == min(distances)
        else:
            assert index not in joined
