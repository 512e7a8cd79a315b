"""The target's mask carried through a rollout: by optical flow, then fitted again to the picture.

Flow alone drifts and takes parts of a hand along; a fit alone loses its way. So each frame's mask
is the last one moved by flow, its rim fitted again by colour, and checks say whether to believe it.
Where they fail the mask begins again from where the target's look of frame 0 is found.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import check_shape
from tavid_core.lifting.target import TargetTrack

__all__ = ["CarriedMask", "carry_mask"]

# The target's side at which masks are carried, pixels, and how far small pictures are enlarged.
WORKING_SIDE_PX = 40.0
MAX_UPSCALE = 4.0
# In target sides: room around the last mask, and the band along its rim that is fitted again.
MARGIN_SIDES, BAND_SIDES = 1.5, 0.14
MIN_CROP_PX = 48
# The checks. Flow that comes back farther off than this share of a side is not believed.
MAX_FLOW_ERROR_SIDES = 0.08
MIN_REFIT_IOU = 0.5
MAX_AREA_RATIO = 2.0
# Share of its own colours that the mask must still show.
MIN_COLOR_OVERLAP = 0.35
NUM_COLOR_BINS = 8
# From a look that is recognised less surely than this no mask begins again.
MIN_LOOK_CONFIDENCE = 0.33
RESET_CONFIDENCE = 0.6
# A mask and the target's look that are farther apart than this, in sides, contradict each other.
MAX_APART_SIDES = 0.6


@dataclasses.dataclass(frozen=True, kw_only=True)
class CarriedMask:
    """Where the target's visible pixels are in every frame.

    Args:
        masks: bool (T, h, w), rollout pixels; empty where it is lost.
        confidence: float32 (T,), 0..1; 0 where it is lost.
        area_ratio: Area after the fit by area in the frame before, float32 (T,).
        flow_error_px: Median distance by which flow there and back misses, float32 (T,), rollout
            pixels.
        refit_iou: Agreement of the moved and the fitted mask, float32 (T,), 0..1.
        is_reset: Frames in which it began again from the target's look, bool (T,).
        failures: Per frame which check the carried mask failed; empty where it passed.
    """

    masks: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    area_ratio: NDArray[np.float32]
    flow_error_px: NDArray[np.float32]
    refit_iou: NDArray[np.float32]
    is_reset: NDArray[np.bool_]
    failures: tuple[str, ...]

    @property
    def is_lost(self) -> NDArray[np.bool_]:
        """Frames without a mask, bool (T,)."""
        return self.confidence == 0

    @property
    def reason(self) -> str:
        """Why the mask is lost in some frames, in one sentence; empty if it is not."""
        why = [self.failures[t] for t in np.flatnonzero(self.is_lost)]
        if not why:
            return ""
        most = max(dict.fromkeys(why), key=why.count)
        return f"the target's mask is lost in {len(why)} of {len(self.failures)} frames: {most}"


@dataclasses.dataclass(frozen=True)
class _Step:
    """One mask carried one frame on, working pixels."""

    mask: NDArray[np.bool_]
    area_ratio: float
    flow_error_px: float
    refit_iou: float


@dataclasses.dataclass(frozen=True)
class _Row:
    """What is kept of one frame."""

    step: _Step
    confidence: float
    failure: str
    is_reset: bool


def carry_mask(
    frames: NDArray[np.uint8], mask: NDArray[np.bool_], track: TargetTrack
) -> CarriedMask:
    """Carry the target's mask through a rollout.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        mask: The target in frame 0, bool (h, w), not empty.
        track: Where the target's look is found; masks begin again there, and its lost frames are
            lost here too.

    Returns:
        The masks, and how each of them was checked.

    Raises:
        ShapeError: If frames and mask differ in size.
    """
    check_shape("mask", mask.shape, frames.shape[1:3], "Resize the mask to the rollout first.")
    carrier = _Carrier(frames, mask, track)
    for t in range(1, len(frames)):
        carrier.step(t)
    return carrier.result()


class _Carrier:
    """State of the forward pass, at working size."""

    def __init__(
        self, frames: NDArray[np.uint8], mask: NDArray[np.bool_], track: TargetTrack
    ) -> None:
        self._track, self._size_hw = track, mask.shape
        self._scale = min(WORKING_SIDE_PX / track.side_px, MAX_UPSCALE)
        self._side_px = track.side_px * self._scale
        size_wh = tuple(max(16, round(side * self._scale)) for side in mask.shape[::-1])
        way = cv2.INTER_LINEAR if self._scale > 1 else cv2.INTER_AREA
        self._frames = [cv2.resize(frame, size_wh, interpolation=way) for frame in frames]
        first = cv2.resize(mask.astype(np.float32), size_wh, interpolation=way) >= 0.5
        self._first = first if first.any() else cv2.resize(mask.astype(np.uint8), size_wh) > 0
        self._colors = _histogram(self._frames[0], self._first)
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        # The last mask that was believed, and the frame it is of.
        self._last, self._last_t = self._first, 0
        self._rows: list[_Row] = []
        first = _Step(self._first, 1.0, 0.0, 1.0)
        self._record(first, 1.0 if track.confidence[0] > 0 else 0.0, failure="")

    def step(self, t: int) -> None:
        """Carry the mask to frame t."""
        if self._track.confidence[t] == 0:
            self._record(None, 0.0, failure="the target is not in the picture")
            return
        step = self._carry(t)
        failure = self._failure(t, step)
        if step is not None and not failure:
            limit_px = MAX_FLOW_ERROR_SIDES * self._side_px
            confidence = step.refit_iou * (1.0 - 0.5 * step.flow_error_px / limit_px)
            self._last, self._last_t = step.mask, t
            self._record(step, confidence, failure="")
            return
        begun = self._begin_again(t)
        if begun is None:
            self._record(step, 0.0, failure=failure)
        else:
            self._last, self._last_t = begun.mask, t
            confidence = RESET_CONFIDENCE * begun.refit_iou
            self._record(begun, confidence, failure=failure, is_reset=True)

    def result(self) -> CarriedMask:
        """Bring what was found to the size of the rollout."""
        height, width = self._size_hw
        steps = [row.step for row in self._rows]
        masks = [cv2.resize(step.mask.astype(np.float32), (width, height)) >= 0.5 for step in steps]
        numbers = [(step.area_ratio, step.flow_error_px, step.refit_iou) for step in steps]
        area_ratio, error_px, refit_iou = np.array(numbers, dtype=np.float32).T
        confidence = np.array([row.confidence for row in self._rows], dtype=np.float32)
        is_lost = confidence == 0
        return CarriedMask(
            masks=np.stack(masks) & ~is_lost[:, None, None],
            confidence=confidence,
            area_ratio=area_ratio,
            flow_error_px=error_px / np.float32(self._scale),
            refit_iou=refit_iou,
            is_reset=np.array([row.is_reset for row in self._rows]),
            failures=tuple(row.failure for row in self._rows),
        )

    def _record(
        self, step: _Step | None, confidence: float, *, failure: str, is_reset: bool = False
    ) -> None:
        nothing = _Step(np.zeros_like(self._first), 0.0, 0.0, 0.0)
        confidence = float(np.clip(confidence, 0, 1))
        self._rows.append(_Row(step or nothing, confidence, failure, is_reset))

    def _carry(self, t: int) -> _Step | None:
        """Move the last believed mask by flow, then fit its rim."""
        before, now = self._frames[self._last_t], self._frames[t]
        box = self._box(self._last)
        back = self._flow.calc(_gray(now[box]), _gray(before[box]), None)
        there = self._flow.calc(_gray(before[box]), _gray(now[box]), None)
        moved = np.zeros_like(self._last)
        moved[box] = _warp(self._last[box].astype(np.float32), back) >= 0.5
        if moved.sum() < 4:
            return None
        returned = back + _warp(there, back)
        error_px = float(np.median(np.linalg.norm(returned, axis=-1)[moved[box]]))
        return self._fit(now, moved, error_px)

    def _fit(self, frame: NDArray[np.uint8], moved: NDArray[np.bool_], error_px: float) -> _Step:
        box = self._box(moved)
        fitted = np.zeros_like(moved)
        fitted[box] = _refit(frame[box], moved[box], max(1, round(BAND_SIDES * self._side_px)))
        iou = float((fitted & moved).sum() / max((fitted | moved).sum(), 1))
        ratio = float(fitted.sum() / max(self._last.sum(), 1))
        return _Step(fitted if iou >= MIN_REFIT_IOU else moved, ratio, error_px, iou)

    def _failure(self, t: int, step: _Step | None) -> str:
        """Which check a carried mask fails; empty if none."""
        if step is None:
            return "flow takes it out of the picture"
        if not 1 / MAX_AREA_RATIO <= step.area_ratio <= MAX_AREA_RATIO:
            return "its area jumps"
        if step.flow_error_px > MAX_FLOW_ERROR_SIDES * self._side_px:
            return "flow there and back does not meet"
        if step.refit_iou < MIN_REFIT_IOU:
            return "moved and fitted mask do not agree"
        likeness = _overlap(self._colors, _histogram(self._frames[t], step.mask))
        if likeness < MIN_COLOR_OVERLAP:
            return "its colours are no longer the target's"
        return "the target's look is seen elsewhere" if self._is_apart(t, step.mask) else ""

    def _is_apart(self, t: int, mask: NDArray[np.bool_]) -> bool:
        """Ask whether the target's look is surely seen somewhere else."""
        if self._track.confidence[t] < MIN_LOOK_CONFIDENCE:
            return False
        middle = np.argwhere(mask).mean(axis=0)[::-1]
        look = (self._track.pixels[t] + 0.5) * self._scale - 0.5
        return bool(np.linalg.norm(middle - look) > MAX_APART_SIDES * self._side_px)

    def _begin_again(self, t: int) -> _Step | None:
        """Put the mask of frame 0 where the target's look is found, and fit it there."""
        if self._track.confidence[t] < MIN_LOOK_CONFIDENCE:
            return None
        way = (self._track.pixels[t] - self._track.pixels[0]) * self._scale
        matrix = np.float32([[1, 0, way[0]], [0, 1, way[1]]])
        height, width = self._first.shape
        placed = cv2.warpAffine(self._first.astype(np.float32), matrix, (width, height)) >= 0.5
        if placed.sum() < 4:
            return None
        step = self._fit(self._frames[t], placed, 0.0)
        likeness = _overlap(self._colors, _histogram(self._frames[t], step.mask))
        is_it = likeness >= MIN_COLOR_OVERLAP and step.refit_iou >= MIN_REFIT_IOU
        return step if is_it else None

    def _box(self, mask: NDArray[np.bool_]) -> tuple[slice, slice]:
        rows, columns = np.nonzero(mask)
        margin = max(round(MARGIN_SIDES * self._side_px), MIN_CROP_PX // 2)
        return (
            slice(max(int(rows.min()) - margin, 0), int(rows.max()) + margin + 1),
            slice(max(int(columns.min()) - margin, 0), int(columns.max()) + margin + 1),
        )


def _refit(frame: NDArray[np.uint8], moved: NDArray[np.bool_], band_px: int) -> NDArray[np.bool_]:
    """Fit a mask's rim to the picture by GrabCut; what is deep inside or far outside stays."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band_px + 1, 2 * band_px + 1))
    inside = cv2.erode(moved.astype(np.uint8), kernel) > 0
    outside = cv2.dilate(moved.astype(np.uint8), kernel) == 0
    labels = np.where(moved, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inside], labels[outside] = cv2.GC_FGD, cv2.GC_BGD
    if not outside.any() or not inside.any():
        return moved
    picture = np.ascontiguousarray(frame[..., ::-1])
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, labels, None, *models, 1, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _gray(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def _warp(picture: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Look up every pixel where flow says that it was."""
    height, width = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    at = (grid + flow).astype(np.float32)
    return cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=0)


def _histogram(frame: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)
    bins = [NUM_COLOR_BINS] * 3
    counts = cv2.calcHist([lab], [0, 1, 2], mask.astype(np.uint8), bins, [0, 256] * 3)
    # Light changes by less than a bin's width: neighbours share.
    counts = cv2.GaussianBlur(counts.reshape(NUM_COLOR_BINS, -1), (3, 3), 0.7)
    return counts / max(float(counts.sum()), 1e-9)


def _overlap(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.minimum(first, second).sum())
