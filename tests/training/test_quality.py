"""Quality without networks: each number falls, or rises, with what it is named after."""

import numpy as np
import pytest

from tavid_core.errors import ShapeError
from tests.drawn import draw_reach
from training.quality import QUALITY_NAMES, background_psnr_db, measure_quality


@pytest.fixture(scope="module")
def frames():
    return draw_reach(1).frames


def spoil(frames, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, frames.shape)
    noise[0] = 0
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def test_all_measures_are_named(frames):
    assert tuple(measure_quality(frames)) == QUALITY_NAMES


def test_a_still_video_is_perfect_and_has_no_motion(frames):
    still = measure_quality(np.repeat(frames[:1], 5, axis=0))
    assert still["dynamic_degree_dis"] == pytest.approx(0.0, abs=1e-4)
    assert still["background_psnr_db"] == 60.0
    for name in QUALITY_NAMES[:3]:
        assert still[name] == pytest.approx(1.0, abs=1e-3)


def test_noise_lowers_what_it_should(frames):
    clean, noisy = measure_quality(frames), measure_quality(spoil(frames, 4.0))
    for name in ("background_consistency_ssim", "motion_smoothness_warp", "background_psnr_db"):
        assert noisy[name] < clean[name], name
    assert noisy["background_psnr_db"] == pytest.approx(20 * np.log10(255 / 4.0), abs=1.0)


def test_more_motion_is_a_higher_degree(frames):
    slow = np.repeat(frames, 2, axis=0)
    assert (
        measure_quality(slow)["dynamic_degree_dis"] < measure_quality(frames)["dynamic_degree_dis"]
    )


def test_a_subject_that_changes_colour_is_less_consistent(frames):
    flicker = frames.copy()
    moving = np.abs(frames.astype(int) - frames[:1]).max(axis=-1) > 24
    flicker[1::2][moving[1::2]] = 255 - flicker[1::2][moving[1::2]]
    name = "subject_consistency_histogram"
    assert measure_quality(flicker)[name] < measure_quality(frames)[name] - 0.2


def test_a_background_is_compared_with_the_real_one(frames):
    shifted = np.clip(frames.astype(int) + 10, 0, 255).astype(np.uint8)
    assert background_psnr_db(shifted) > 40
    assert background_psnr_db(shifted, frames) == pytest.approx(20 * np.log10(25.5), abs=0.5)


def test_frames_must_be_pictures():
    with pytest.raises(ShapeError, match="frames"):
        measure_quality(np.zeros((4, 8, 8), np.uint8))
