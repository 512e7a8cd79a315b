"""A robot's arm as the actor: its mask carried by the motion in the picture, its tip as the hand.

There is no body model: what counts is the part of the arm that is nearest to the target, and after
the touch it goes where the target goes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import check_shape
from tavid_core.lifting.keypoints import GRIPPER, Keypoints
from tavid_core.lifting.target import TargetTrack

__all__ = ["follow_arm"]

# Of the pixels of the mask: the tip is where the nearest of them are, not a single one.
TIP_SHARE = 0.03
# A mask that shrinks or grows beyond these is no longer the arm.
MIN_AREA, MAX_AREA = 0.4, 2.5
SURE, HELD = 0.8, 0.6


def follow_arm(
    frames: NDArray[np.uint8], actor_mask: NDArray[np.bool_], track: TargetTrack
) -> Keypoints:
    """Follow the tip of an arm.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        actor_mask: The arm in frame 0, bool (h, w), rollout pixels.
        track: Where the target is in every frame.

    Returns:
        One keypoint, `GRIPPER`. Its confidence falls with the share of the mask that is lost, to 0
        where the mask tells nothing.

    Raises:
        ShapeError: If frames and mask differ in size.
    """
    check_shape("actor_mask", actor_mask.shape, frames.shape[1:3], "Resize it to the rollout.")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    mask = actor_mask.astype(np.float32)
    pixels = np.full((len(frames), 1, 2), np.nan, dtype=np.float32)
    confidence = np.zeros((len(frames), 1), dtype=np.float32)
    grip: NDArray[np.float32] | None = None
    for t in range(len(frames)):
        if t > 0:
            mask = _carry(mask, flow.calc(grey[t], grey[t - 1], None))
        kept = float((mask > 0.5).sum()) / float(actor_mask.sum())
        if MIN_AREA <= kept <= MAX_AREA:
            pixels[t, 0] = _tip(mask > 0.5, track.pixels[t])
            confidence[t, 0] = SURE * min(kept, 1.0 / kept)
        if track.has_moved[t]:
            # Held: the target is followed by its look, which drifts less than the flow.
            if grip is None and np.isfinite(pixels[t, 0]).all():
                grip = pixels[t, 0] - track.pixels[t]
            if grip is not None:
                pixels[t, 0] = track.pixels[t] + grip
                confidence[t, 0] = HELD * track.confidence[t] + (1 - HELD) * confidence[t, 0]
    return Keypoints((GRIPPER,), pixels, np.clip(confidence, 0, 1))


def _carry(mask: NDArray[np.float32], backward: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fetch every pixel of the mask from where the flow says it was."""
    rows, columns = np.indices(mask.shape, dtype=np.float32)
    carried = cv2.remap(mask, columns + backward[..., 0], rows + backward[..., 1], cv2.INTER_LINEAR)
    return (carried > 0.5).astype(np.float32)


def _tip(mask: NDArray[np.bool_], target: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = np.nonzero(mask)
    places = np.stack([columns, rows], axis=-1).astype(np.float32)
    order = np.argsort(np.linalg.norm(places - target, axis=-1))
    return places[order[: max(1, round(TIP_SHARE * len(order)))]].mean(axis=0)
