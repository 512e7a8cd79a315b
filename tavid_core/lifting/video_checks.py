"""Faults of a video that no measurement in it survives: cuts, blank frames, a moving camera.

All lifting takes for granted that the camera stands still and that the video is one shot.
"""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.lifting.point_tracks import follow_points

__all__ = ["VideoFaults", "check_video"]

CHECK_WIDTH_PX = 240
BLANK_SPREAD = 3.0
# A cut changes most of the picture's colours and most of its places at once.
MIN_CUT_DIFFERENCE, MAX_CUT_CORRELATION = 22.0, 0.6
NUM_BINS = 8
MIN_POINTS = 12
# Of the diagonal. When the camera stands still at least a fifth of what is seen does.
MAX_CAMERA_SHIFT = 0.015
STILL_QUANTILE = 0.2
MAX_KEY_FRAMES = 17


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoFaults:
    """Faults of a video.

    Args:
        cut_frame: First frame of another shot, or None.
        is_blank: Frames without a picture, bool (T,).
        camera_shift: How far the stillest part of the picture went, as a share of the diagonal;
            NaN where too little can be followed to say.
    """

    cut_frame: int | None
    is_blank: NDArray[np.bool_]
    camera_shift: float

    @property
    def is_lost(self) -> NDArray[np.bool_]:
        """Frames that do not show the scene of frame 0, bool (T,)."""
        lost = self.is_blank.copy()
        if self.cut_frame is not None:
            lost[self.cut_frame :] = True
        return lost

    @property
    def camera_moves(self) -> bool:
        """Whether the camera is seen to move."""
        return bool(self.camera_shift > MAX_CAMERA_SHIFT)

    @property
    def reason(self) -> str:
        """What is wrong, in one sentence; empty if nothing is."""
        if self.is_blank.all():
            return "the video is blank"
        if self.cut_frame is not None:
            return f"the picture changes all at once at frame {self.cut_frame}, as in a cut"
        if self.is_blank.any():
            return f"{int(self.is_blank.sum())} of {len(self.is_blank)} frames are blank"
        if self.camera_moves:
            return f"the camera moves, by {self.camera_shift:.1%} of the picture's diagonal"
        return ""

    @property
    def factor(self) -> float:
        """By how much it lowers what is measured in the video, 0..1."""
        if self.is_blank.all():
            return 0.0
        return 0.4 if self.reason else 1.0


def check_video(frames: NDArray[np.uint8]) -> VideoFaults:
    """Look for faults.

    Args:
        frames: RGB, uint8 (T, h, w, 3).

    Returns:
        What was found.
    """
    scale = min(1.0, CHECK_WIDTH_PX / frames.shape[2])
    size_wh = tuple(max(16, round(side * scale)) for side in frames.shape[2:0:-1])
    small = [cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA) for frame in frames]
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]
    is_blank = np.array([gray.std() < BLANK_SPREAD for gray in grays])
    cut_frame = next((t for t in range(1, len(small)) if _is_cut(small, is_blank, t)), None)
    last = len(grays) if cut_frame is None else cut_frame
    seen = [t for t in range(last) if not is_blank[t]]
    shift = _camera_shift([grays[t] for t in _key_frames(seen)])
    return VideoFaults(cut_frame=cut_frame, is_blank=is_blank, camera_shift=shift)


def _is_cut(small: list[NDArray[np.uint8]], is_blank: NDArray[np.bool_], t: int) -> bool:
    if is_blank[t] or is_blank[t - 1]:
        return False
    difference = cv2.absdiff(small[t], small[t - 1])
    if float(np.median(difference.max(axis=2))) < MIN_CUT_DIFFERENCE:
        return False
    histograms = [
        cv2.calcHist([frame], [0, 1, 2], None, [NUM_BINS] * 3, [0, 256] * 3).ravel()
        for frame in small[t - 1 : t + 1]
    ]
    return cv2.compareHist(*histograms, cv2.HISTCMP_CORREL) < MAX_CUT_CORRELATION


def _key_frames(seen: list[int]) -> list[int]:
    """Choose frames so close that flow does not lose its way between them."""
    step = max(1, -(-len(seen) // MAX_KEY_FRAMES))
    return sorted({*seen[::step], *seen[-1:]})


def _camera_shift(grays: list[NDArray[np.uint8]]) -> float:
    found = cv2.goodFeaturesToTrack(grays[0], 200, 0.01, 4) if grays else None
    if found is None:
        return float("nan")
    first = now = found[:, 0]
    farthest = float("nan")
    # Step by step: a pan goes farther than flow can follow at once, and would not be noticed.
    for gray, later in itertools.pairwise([grays[0], *grays]):
        there, is_believed = follow_points(gray, later, now)
        first, now = first[is_believed], there[is_believed]
        if len(now) < MIN_POINTS:
            break
        way = np.linalg.norm(now - first, axis=-1)
        shift = float(np.quantile(way, STILL_QUANTILE) / np.hypot(*gray.shape))
        farthest = shift if np.isnan(farthest) else max(farthest, shift)
    return farthest
