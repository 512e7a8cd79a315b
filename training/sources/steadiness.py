"""Whether the camera stands still, and whether the target moves; from a window's own frames.

Shapes: T frames, H x W pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["background_motion_px", "find_scene_cut", "target_change_share"]

SMALL_WH = (64, 48)
# A picture that changes more than this, and far more than usual, is another one; grey levels.
MIN_CUT_DIFFERENCE = 25.0
MIN_CUT_RATIO = 6.0
MIN_NUM_POINTS = 8
MAX_RETURN_PX = 0.7
NUM_LOOKS = 6
# More than noise and a lamp make, grey levels.
MIN_CHANGE = 25
# So many points may be lost or belong to somebody who moves.
STILL_SHARE = 0.4
WINDOW_WH = (15, 15)

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def find_scene_cut(frames_THWC: Frames) -> int | None:
    """Find a hard cut.

    Args:
        frames_THWC: RGB, uint8 (T, H, W, 3).

    Returns:
        The first frame behind the cut, or None.
    """
    small = np.stack(
        [
            cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), SMALL_WH, interpolation=cv2.INTER_AREA)
            for f in frames_THWC
        ]
    ).astype(np.float32)
    changes = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2))
    worst = int(changes.argmax())
    is_cut = changes[worst] > max(MIN_CUT_DIFFERENCE, MIN_CUT_RATIO * float(np.median(changes)))
    return worst + 1 if is_cut else None


def background_motion_px(frames_THWC: Frames, foreground: Mask) -> float:
    """Measure how far the background moves from frame 0; 0 where it has nothing to hold on to.

    A camera that moves takes all of the background along. So the points that moved least decide,
    and an actor who walks before the others does not count as a moving camera.

    Args:
        frames_THWC: RGB, uint8 (T, H, W, 3).
        foreground: What is not background in frame 0, bool (H, W).

    Returns:
        Pixels; infinite when the background is lost.
    """
    first = cv2.cvtColor(frames_THWC[0], cv2.COLOR_RGB2GRAY)
    near_px = max(2, first.shape[0] // 60)
    grown = cv2.dilate(foreground.astype(np.uint8), np.ones((2 * near_px + 1,) * 2, np.uint8))
    apart_px = max(3, first.shape[0] // 40)
    points = cv2.goodFeaturesToTrack(first, 300, 0.02, apart_px, mask=1 - grown, blockSize=3)
    if points is None or len(points) < MIN_NUM_POINTS:
        return 0.0
    looks = np.unique(np.linspace(1, len(frames_THWC) - 1, NUM_LOOKS).round().astype(int))
    return max(_shift_px(first, frames_THWC[look], points) for look in looks)


def _shift_px(first: Frames, image: Frames, points: NDArray[np.float32]) -> float:
    moved, is_kept = _track(first, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), points)
    shifts_px = np.where(is_kept, np.linalg.norm((moved - points)[:, 0], axis=-1), np.inf)
    return float(np.sort(shifts_px)[int(STILL_SHARE * len(points))])


def _track(
    first: Frames, second: Frames, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Follow points there and back; kept are those that come back to where they were."""
    # A level at which the window covers a good part of the picture sees the actor everywhere.
    levels = max(0, min(3, int(np.log2(min(first.shape) / (4 * WINDOW_WH[0])))))
    how = {"winSize": WINDOW_WH, "maxLevel": levels}
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, **how)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, **how)
    miss_px = np.linalg.norm((back - points)[:, 0], axis=-1)
    return there, (found[:, 0] > 0) & (found_back[:, 0] > 0) & (miss_px < MAX_RETURN_PX)


def target_change_share(frames_THWC: Frames, target: Mask) -> float:
    """Measure how much of the target's place looks different in the end.

    A hand that only passes before the target leaves it as it was; one that moves it does not.

    Args:
        frames_THWC: RGB, uint8 (T, H, W, 3), from before the touch on.
        target: The target in the first of them, bool (H, W).

    Returns:
        Share of its pixels, 0..1; the median over the last third of the frames.
    """
    first = frames_THWC[0][target].astype(np.int16)
    late = frames_THWC[-max(1, len(frames_THWC) // 3) :]
    changes = [np.abs(frame[target].astype(np.int16) - first).max(axis=-1) for frame in late]
    return float(np.median([(change > MIN_CHANGE).mean() for change in changes]))
