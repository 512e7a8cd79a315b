"""Quality of videos without networks: stand-ins for four measures of VBench, and the background.

VBench asks networks (DINO, CLIP, RAFT, AMT); these ask pixels and dense optical flow, so the
numbers have names of their own and compare rows of one table with each other, with nothing else.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import check_shape

__all__ = ["QUALITY_NAMES", "background_psnr_db", "measure_quality"]

QUALITY_NAMES = (
    "subject_consistency_histogram",
    "background_consistency_ssim",
    "motion_smoothness_warp",
    "dynamic_degree_dis",
    "background_psnr_real_db",
    "spurious_change_share",
)
# What differs from frame 0 by more is motion, not the decoder's noise; 0..255.
CHANGE_LEVELS = 24.0
NUM_BINS = 8
MAX_PSNR_DB = 60.0


def measure_quality(frames: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Measure one video, whose camera stands still.

    Args:
        frames: RGB, uint8 (T, H, W, 3), at least 3.
        truth: A real video that begins with the same picture, likewise; it may be longer.

    Returns:
        By the names of `QUALITY_NAMES`:
        - subject_consistency_histogram: likeness of the colours of what moves from frame to
          frame, 0..1;
        - background_consistency_ssim: structural similarity with the own frame 0 where nothing
          moves, -1..1;
        - motion_smoothness_warp: 1 less the error of a frame guessed from its two neighbours by
          half their flow, in shares of full scale;
        - dynamic_degree_dis: mean over time of the flow's 95th percentile, in shares of the
          diagonal per frame;
        - background_psnr_real_db: see `background_psnr_db`; blind to what changes by more than
          noise, which is counted by
        - spurious_change_share: of the pixels that stand still in the real video, those that
          change in this one, 0..1: other motion, or a background that breaks.

    Raises:
        ShapeError: If the videos are not such arrays of one size.
    """
    check_shape("frames", frames.shape, (None, None, None, 3), "Stack RGB frames.")
    check_shape("truth", truth.shape, (None, *frames.shape[1:]), "Give the real video.")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    is_moving = _moving(frames)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [flow.calc(a, b, None) for a, b in pairwise(grey)]
    diagonal = float(np.hypot(*frames.shape[1:3]))
    speeds = [np.percentile(np.linalg.norm(f, axis=-1), 95) for f in flows]
    return {
        "subject_consistency_histogram": _subject_consistency(frames, is_moving),
        "background_consistency_ssim": _background_ssim(grey, ~is_moving.any(axis=0)),
        "motion_smoothness_warp": _smoothness(grey, flow),
        "dynamic_degree_dis": float(np.mean(speeds)) / diagonal,
        "background_psnr_real_db": background_psnr_db(frames, truth),
        "spurious_change_share": _spurious_change(is_moving, _moving(truth)),
    }


def background_psnr_db(frames: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Say how well what does not move is kept.

    Args:
        frames: RGB, uint8 (T, H, W, 3).
        truth: A real video that begins with the same picture; what moves in either is left out.

    Returns:
        Decibels against frame 0 of `truth`; at most 60, and 0 if everything moves.
    """
    is_still = ~(_moving(frames).any(axis=0) | _moving(truth).any(axis=0))
    if not is_still.any():
        return 0.0
    error = (frames[1:].astype(np.float64) - truth[0])[:, is_still]
    mean = float(np.square(error).mean())
    return min(MAX_PSNR_DB, float(10 * np.log10(255.0**2 / max(mean, 1e-9))))


def _spurious_change(is_moving: NDArray[np.bool_], is_moving_really: NDArray[np.bool_]) -> float:
    stands_still = ~is_moving_really.any(axis=0)
    return float(is_moving[:, stands_still].any(axis=0).mean()) if stands_still.any() else 0.0


def _moving(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    change = np.abs(frames.astype(np.float32) - frames[:1]).max(axis=-1) > CHANGE_LEVELS
    disc = np.ones((3, 3), np.uint8)
    return np.stack([cv2.dilate(frame.astype(np.uint8), disc).astype(bool) for frame in change])


def _subject_consistency(frames: NDArray[np.uint8], is_moving: NDArray[np.bool_]) -> float:
    """Overlap of the colour histograms of consecutive frames' moving pixels; 1 without motion."""
    histograms = []
    for frame, moving in zip(frames, is_moving, strict=True):
        if not moving.any():
            continue
        bins = (frame[moving] // (256 // NUM_BINS)).astype(np.int64)
        codes = (bins[:, 0] * NUM_BINS + bins[:, 1]) * NUM_BINS + bins[:, 2]
        counts = np.bincount(codes, minlength=NUM_BINS**3)
        histograms.append(counts / counts.sum())
    overlaps = [float(np.minimum(a, b).sum()) for a, b in pairwise(histograms)]
    return float(np.mean(overlaps)) if overlaps else 1.0


def _background_ssim(grey: list[NDArray[np.uint8]], is_still: NDArray[np.bool_]) -> float:
    if not is_still.any():
        return 0.0
    values = [_ssim(grey[0], later)[is_still].mean() for later in grey[1:]]
    return float(np.mean(values))


def _ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity per pixel, with the usual constants and a window of sigma 1.5.

    References:
        Wang et al., Image quality assessment: from error visibility to structural similarity, 2004.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return cv2.GaussianBlur(image, (0, 0), 1.5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    cov = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    upper = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return upper / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def _smoothness(grey: list[NDArray[np.uint8]], flow: cv2.DenseOpticalFlow) -> float:
    rows, columns = np.indices(grey[0].shape, dtype=np.float32)
    errors = []
    for before, middle, after in zip(grey, grey[1:], grey[2:], strict=False):
        half = 0.5 * flow.calc(after, before, None)
        guess = cv2.remap(before, columns + half[..., 0], rows + half[..., 1], cv2.INTER_LINEAR)
        errors.append(np.abs(guess.astype(np.float32) - middle).mean() / 255.0)
    return 1.0 - float(np.mean(errors))
