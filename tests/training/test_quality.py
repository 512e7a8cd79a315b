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
    assert tuple(measure_quality(frames, frames)) == QUALITY_NAMES


def test_a_still_video_is_perfect_and_has_no_motion(frames):
    still = measure_quality(np.repeat(frames[:1], 5, axis=0), frames)
    assert still["dynamic_degree_dis"] == pytest.approx(0.0, abs=1e-4)
    assert still["background_psnr_real_db"] == 60.0
    assert still["spurious_change_share"] == 0.0
    for name in QUALITY_NAMES[:3]:
        assert still[name] == pytest.approx(1.0, abs=1e-3)


def test_noise_lowers_what_it_should(frames):
    clean, noisy = measure_quality(frames, frames), measure_quality(spoil(frames, 4.0), frames)
    for name in (
        "background_consistency_ssim",
        "motion_smoothness_warp",
        "background_psnr_real_db",
    ):
        assert noisy[name] < clean[name], name
    assert noisy["background_psnr_real_db"] == pytest.approx(20 * np.log10(255 / 4.0), abs=1.0)


def test_more_motion_is_a_higher_degree(frames):
    slow = measure_quality(np.repeat(frames, 2, axis=0), frames)
    assert slow["dynamic_degree_dis"] < measure_quality(frames, frames)["dynamic_degree_dis"]


def test_a_subject_that_changes_colour_is_less_consistent(frames):
    flicker = frames.copy()
    moving = np.abs(frames.astype(int) - frames[:1]).max(axis=-1) > 24
    flicker[1::2][moving[1::2]] = 255 - flicker[1::2][moving[1::2]]
    name = "subject_consistency_histogram"
    assert measure_quality(flicker, frames)[name] < measure_quality(frames, frames)[name] - 0.2


def test_a_background_is_compared_with_the_real_one(frames):
    shifted = np.clip(frames.astype(int) + 10, 0, 255).astype(np.uint8)
    assert background_psnr_db(shifted, shifted) > 40
    assert background_psnr_db(shifted, frames) == pytest.approx(20 * np.log10(25.5), abs=0.5)
    # A picture of noise that stands still was perfect while it was compared with itself.
    noise = np.random.default_rng(0).integers(0, 256, frames[:1].shape, dtype=np.uint8)
    assert background_psnr_db(np.repeat(noise, 5, axis=0), frames) < 15


def test_a_background_that_breaks_is_not_taken_for_motion(frames):
    broken = np.repeat(frames[:1], 5, axis=0)
    broken[2:, :, : broken.shape[2] // 2] ^= 0x60
    found = measure_quality(broken, frames)
    assert found["background_psnr_real_db"] == 60.0
    assert found["spurious_change_share"] == pytest.approx(0.5, abs=0.1)
    # All of it: there is no background left.
    assert (
        background_psnr_db(
            frames ^ np.arange(len(frames), dtype=np.uint8)[:, None, None, None] * 60, frames
        )
        == 0.0
    )


def test_frames_must_be_pictures(frames):
    with pytest.raises(ShapeError, match="frames"):
        measure_quality(np.zeros((4, 8, 8), np.uint8), frames)
    with pytest.raises(ShapeError, match="truth"):
        measure_quality(frames, frames[:, :4])
