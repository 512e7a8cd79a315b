"""A robot's arm as the actor: what has changed in the picture since frame 0, its tip as the hand.

There is no body model. Before a camera that stands still only the arm and what it takes along
change the picture, so the arm is where its mask still looks as it did, and where something new
hangs together with it. What counts is the part of it that is nearest to the target; after the touch
it goes where the target goes.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import check_shape
from tavid_core.lifting.appearance import CHANGE_LAB, WorkingFrames, prepare_frames
from tavid_core.lifting.keypoints import GRIPPER, Keypoints
from tavid_core.lifting.target import TargetTrack

__all__ = ["follow_arm"]

# Of the arm's pixels: the tip is where the nearest of them are, not a single one.
TIP_SHARE = 0.03
# In areas of its mask: what is smaller or larger than these is not the arm.
MIN_AREA, MAX_AREA = 0.3, 4.0
# CIELAB: a grey gripper before a grey table differs by so little. It counts where it hangs together
# with what surely changed.
FAINT_LAB = 5.0
# In medians of the frame's change: a picture that flickers all over shows no arm by that.
SURE_MEDIANS, FAINT_MEDIANS = 5.0, 4.0
# In object sides: so wide a gap a blurred wrist leaves between hand and forearm.
GAP_SIDES = 0.3
# In areas of the mask: so large a change is the arm even where a blurred link is missing.
PART_AREA = 0.1
# In object sides: the rim of a target that has moved is blurred, and no arm.
RIM_SIDES = 0.15
# In working pixels: as far the blur carries what an arm that leaves its mask changes outside.
BLUR_PX = 1
SURE, HELD = 0.8, 0.6


def follow_arm(
    frames: NDArray[np.uint8],
    actor_mask: NDArray[np.bool_],
    track: TargetTrack,
    target_mask: NDArray[np.bool_],
) -> Keypoints:
    """Follow the tip of an arm.

    Args:
        frames: RGB, uint8 (T, h, w, 3); the camera stands still.
        actor_mask: The arm in frame 0, bool (h, w), rollout pixels.
        track: Where the target is in every frame.
        target_mask: The target in frame 0, bool (h, w), rollout pixels, not empty.

    Returns:
        One keypoint, `GRIPPER`. Its confidence falls with the share of the arm that is lost, to 0
        where the picture tells nothing.

    Raises:
        ShapeError: If frames and masks differ in size.
    """
    size = frames.shape[1:3]
    check_shape("actor_mask", actor_mask.shape, size, "Resize it to the rollout.")
    check_shape("target_mask", target_mask.shape, size, "Resize it to the rollout.")
    working = prepare_frames(frames, target_mask, max_upscale=1.0)
    arm = _ChangedArm(working, actor_mask, track)
    pixels = np.full((len(frames), 1, 2), np.nan, dtype=np.float32)
    confidence = np.zeros((len(frames), 1), dtype=np.float32)
    grip: NDArray[np.float32] | None = None
    for t in range(len(frames)):
        seen, kept = arm.at(t)
        if MIN_AREA <= kept <= MAX_AREA:
            pixels[t, 0] = working.to_rollout(_tip(seen, arm.target_center(t)))
            confidence[t, 0] = SURE * min(kept, 1.0)
        if track.has_moved[t]:
            # Held: the target is followed by its look, which drifts less than the arm's rim.
            if grip is None and np.isfinite(pixels[t, 0]).all():
                grip = pixels[t, 0] - track.pixels[t]
            if grip is not None:
                pixels[t, 0] = track.pixels[t] + grip
                confidence[t, 0] = HELD * track.confidence[t] + (1 - HELD) * confidence[t, 0]
    return Keypoints((GRIPPER,), pixels, np.clip(confidence, 0, 1))


class _ChangedArm:
    """Find the arm in each frame by what has changed since frame 0."""

    def __init__(
        self, working: WorkingFrames, actor_mask: NDArray[np.bool_], track: TargetTrack
    ) -> None:
        self._working, self._track = working, track
        height, width = working.mask.shape
        small = cv2.resize(
            actor_mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
        )
        self._first = (small >= 0.5) & ~working.mask
        self._left = cv2.dilate(self._first.astype(np.uint8), _disc(BLUR_PX)) > 0
        self._area = max(float(self._first.sum()), 1.0)
        rows, columns = np.nonzero(working.mask)
        self._center = np.array([columns.mean(), rows.mean()], dtype=np.float32)
        side_px = math.sqrt(float(working.mask.sum()))
        self._rim, self._gap = _disc(RIM_SIDES * side_px), _disc(GAP_SIDES * side_px)

    def target_center(self, t: int) -> NDArray[np.float32]:
        """Where the target is, column and row in working pixels, float32 (2,)."""
        pixels = self._track.pixels
        return self._center + (pixels[t] - pixels[0]) * self._working.scale

    def at(self, t: int) -> tuple[NDArray[np.bool_], float]:
        """Find the arm in one frame.

        Returns:
            Its pixels, bool (H, W) at the working size, and its area as a share of the mask's.
        """
        change = np.linalg.norm(self._working.lab[t] - self._working.lab[0], axis=-1)
        median = float(np.median(change))
        if median > CHANGE_LAB:
            # Most of the picture is another one.
            return np.zeros_like(self._first), 0.0
        is_sure = change > max(CHANGE_LAB, SURE_MEDIANS * median)
        is_new = change > max(FAINT_LAB, FAINT_MEDIANS * median)
        is_new &= ~self._left & ~self._moved_target(t)
        arm = is_new | self._first & ~is_sure
        joined = cv2.dilate((arm | self._first).astype(np.uint8), self._gap)
        num_parts, parts = cv2.connectedComponents(joined)
        sure_areas = np.bincount(parts[is_new & is_sure], minlength=num_parts)
        is_arm = sure_areas >= PART_AREA * self._area
        is_arm[parts[self._first]] = True
        arm &= is_arm[parts]
        return arm, float(arm.sum()) / self._area

    def _moved_target(self, t: int) -> NDArray[np.bool_]:
        """Where the target is and was, once it has left its place: both have changed by it."""
        mask = self._working.mask
        if not self._track.has_moved[t]:
            return np.zeros_like(mask)
        columns, rows = self.target_center(t) - self._center
        shift = np.array([[1, 0, columns], [0, 1, rows]], dtype=np.float32)
        moved = cv2.warpAffine(mask.astype(np.uint8), shift, mask.shape[::-1])
        return cv2.dilate(mask.astype(np.uint8) | moved, self._rim) > 0


def _disc(radius_px: float) -> NDArray[np.uint8]:
    reach = max(1, round(radius_px))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))


def _tip(arm: NDArray[np.bool_], target: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = np.nonzero(arm)
    places = np.stack([columns, rows], axis=-1).astype(np.float32)
    order = np.argsort(np.linalg.norm(places - target, axis=-1))
    return places[order[: max(1, round(TIP_SHARE * len(order)))]].mean(axis=0)
