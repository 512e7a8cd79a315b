"""Follow the target through a rollout by its own look in frame 0.

The target rests until something moves it. That it moved is concluded from two facts together: its
rest place no longer looks like it, and it is seen elsewhere at the end of a path of small steps,
over pixels that have changed since frame 0. The second fact is what tells it from a look-alike.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, check_shape
from tavid_core.lifting.appearance import OBJECT_SIDE_PX, Appearance, prepare_frames

__all__ = ["TargetTrack", "track_target"]

# All lengths below are in object sides.
MAX_STEP = 0.7
MAX_WINDOW = 1.6
REST_JITTER = 0.12
MOVED_DISTANCE = 0.25
# All likenesses below are 0..1.
REST_LIKENESS = 0.62
FOUND_LIKENESS = 0.33
LIKENESS_GAIN = 0.12
LOST_CONFIDENCE = 0.1
NEWS_WEIGHT = 0.7
STEP_PENALTY = 0.12
MIN_MOVED_FRAMES = 2
# By how much more an empty rest place looks like what is around it than like the target.
GONE_GAP = 0.3
# A centre that is on its way to here from the rim, in object sides, is leaving.
RIM_SIDES = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetTrack:
    """Where the target is in every frame.

    Args:
        pixels: Centre, column and row in rollout pixels, float32 (T, 2); the last known place
            where it is hidden.
        confidence: float32 (T,), 0..1; low where it is hidden or lost.
        has_moved: Whether it is away from its rest place, bool (T,).
        rest_likeness: How much the rest place looks like the target, float32 (T,), 0..1.
        rest_emptiness: How much the rest place looks like what is around it, float32 (T,), 0..1.
        side_px: Square root of the target's area in frame 0, rollout pixels.
        contrast_lab: Colour distance of the target from its surroundings, CIELAB.
        left_frame: First frame from which on it is out of the picture, or None.
        carried_from: First frame in which it is taken to be in a hand, unseen, or None.
    """

    pixels: NDArray[np.float32]
    confidence: NDArray[np.float32]
    has_moved: NDArray[np.bool_]
    rest_likeness: NDArray[np.float32]
    rest_emptiness: NDArray[np.float32]
    side_px: float
    contrast_lab: float
    left_frame: int | None = None
    carried_from: int | None = None

    @property
    def onset_frame(self) -> int | None:
        """First frame in which the target is away from its rest place, or None."""
        frames = np.flatnonzero(self.has_moved)
        return int(frames[0]) if len(frames) else None

    @property
    def has_gone(self) -> bool:
        """Whether its rest place looks empty at the end, wherever it is then."""
        late = slice(-max(2, len(self.confidence) // 6), None)
        return float(np.median((self.rest_emptiness - self.rest_likeness)[late])) > GONE_GAP

    def without(self, is_lost: NDArray[np.bool_]) -> TargetTrack:
        """Declare frames lost.

        Args:
            is_lost: bool (T,).

        Returns:
            The track with confidence 0 there, and no motion.
        """
        if not is_lost.any():
            return self
        return dataclasses.replace(
            self,
            confidence=np.where(is_lost, 0.0, self.confidence).astype(np.float32),
            has_moved=self.has_moved & ~is_lost,
        )

    @property
    def displacement_px(self) -> NDArray[np.float32]:
        """Distance from the rest place, float32 (T,), rollout pixels."""
        return np.linalg.norm(self.pixels - self.pixels[:1], axis=-1).astype(np.float32)


def track_target(frames: NDArray[np.uint8], mask: NDArray[np.bool_]) -> TargetTrack:
    """Follow one object.

    Args:
        frames: RGB, uint8 (T, h, w, 3); the camera stands still.
        mask: The object in frame 0, bool (h, w).

    Returns:
        The track, one row per frame.

    Raises:
        InputError: If the mask is empty or not bool.
        ShapeError: If frames and mask differ in size.
    """
    check_shape("frames", frames.shape, (None, None, None, 3), "Stack RGB frames.")
    check_shape("mask", mask.shape, frames.shape[1:3], "Resize the mask to the rollout first.")
    if mask.dtype != np.bool_ or not mask.any():
        raise InputError(
            f"mask must be bool and mark the target, got {mask.dtype} with {int(mask.sum())} "
            "pixels marked. Use tavid_core.mask.fit_mask."
        )
    working = prepare_frames(frames, mask)
    walker = _Walker(Appearance(working))
    for lab in working.lab:
        walker.step(lab)
    offsets = np.array(walker.offsets, dtype=np.float32)
    has_moved = _drop_short_runs(np.array(walker.has_moved), MIN_MOVED_FRAMES)
    offsets[~has_moved] = 0.0
    pixels = working.to_rollout(walker.appearance.center + offsets)
    confidence = np.array(walker.confidence, dtype=np.float32)
    left_frame = _left_frame(pixels, confidence, mask)
    if left_frame is not None:
        confidence[left_frame:] = 0.0
    return TargetTrack(
        pixels=pixels,
        confidence=confidence,
        left_frame=left_frame,
        has_moved=has_moved,
        rest_likeness=np.array(walker.rest_likeness, dtype=np.float32),
        rest_emptiness=np.array(walker.rest_emptiness, dtype=np.float32),
        side_px=float(np.sqrt(mask.sum())),
        contrast_lab=walker.appearance.contrast_lab,
    )


class _Walker:
    """State of the forward pass: where the target was, and for how long it is unseen."""

    def __init__(self, appearance: Appearance) -> None:
        self.appearance = appearance
        self.offsets: list[NDArray[np.float32]] = []
        self.has_moved: list[bool] = []
        self.confidence: list[float] = []
        self.rest_likeness: list[float] = []
        self.rest_emptiness: list[float] = []
        self._at = np.zeros(2, dtype=np.float32)
        self._velocity = np.zeros(2, dtype=np.float32)
        self._num_unseen = 0
        jitter = max(1, round(REST_JITTER * OBJECT_SIDE_PX))
        self._rest_grid = _grid(jitter, 1)

    def step(self, lab: NDArray[np.float32]) -> None:
        """Look at the next frame."""
        likeness, _ = self.appearance.similarity(lab, self._rest_grid)
        at_rest = float(likeness.max())
        self.rest_likeness.append(at_rest)
        self.rest_emptiness.append(self.appearance.background_similarity(lab))
        if at_rest >= REST_LIKENESS:
            self._record(np.zeros(2, dtype=np.float32), at_rest, is_moved=False)
            return
        offset, likeness_there = self._search(lab)
        is_away = float(np.linalg.norm(offset)) > MOVED_DISTANCE * OBJECT_SIDE_PX
        is_found = likeness_there >= max(FOUND_LIKENESS, at_rest + LIKENESS_GAIN)
        if is_away and is_found:
            self._record(offset, likeness_there, is_moved=True)
        else:
            self._miss(at_rest)

    def _record(self, offset: NDArray[np.float32], likeness: float, *, is_moved: bool) -> None:
        # Coming back into view is no velocity to extrapolate.
        was_seen = self._num_unseen == 0
        self._velocity = offset - self._at if was_seen else np.zeros(2, dtype=np.float32)
        self._at, self._num_unseen = offset, 0
        self.offsets.append(offset)
        self.has_moved.append(is_moved)
        self.confidence.append(likeness)

    def _miss(self, at_rest: float) -> None:
        self._num_unseen += 1
        was_moved = bool(self.has_moved and self.has_moved[-1])
        self.offsets.append(self._at)
        self.has_moved.append(was_moved)
        self.confidence.append(LOST_CONFIDENCE if was_moved else max(0.5 * at_rest, 0.1))

    def _search(self, lab: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """Find the best place near the last one, coarse to fine."""
        reach = min(MAX_STEP * (1 + self._num_unseen), MAX_WINDOW) * OBJECT_SIDE_PX
        expected = self._at + self._velocity
        best, _, _ = self._best(lab, np.rint(expected), _grid(round(reach), 2), expected, reach)
        best, likeness, score = self._best(lab, best, _grid(2, 1), expected, reach)
        # A place that only an unmoved look-alike explains is no place at all.
        return best.astype(np.float32), likeness if score > 0.5 * likeness else 0.0

    def _best(
        self,
        lab: NDArray[np.float32],
        around: NDArray[np.float32],
        grid: NDArray[np.int64],
        expected: NDArray[np.float32],
        reach: float,
    ) -> tuple[NDArray[np.float32], float, float]:
        offsets = grid + np.rint(around).astype(np.int64)
        likeness, news = self.appearance.similarity(lab, offsets)
        distance = np.linalg.norm(offsets - expected, axis=-1) / reach
        score = likeness * (1 - NEWS_WEIGHT * (1 - news)) - STEP_PENALTY * distance**2
        index = int(score.argmax())
        return offsets[index].astype(np.float32), float(likeness[index]), float(score[index])


def _left_frame(
    pixels: NDArray[np.float32], confidence: NDArray[np.float32], mask: NDArray[np.bool_]
) -> int | None:
    """First frame from which on it is unseen to the end, having gone to the rim before."""
    seen = np.flatnonzero(confidence > LOST_CONFIDENCE)
    if not len(seen) or seen[-1] == len(pixels) - 1:
        return None
    last = int(seen[-1])
    step = pixels[last] - pixels[max(last - 1, 0)]
    if not step.any():
        return None
    ahead = pixels[last] + step
    rim = np.array(mask.shape[::-1]) - 1
    to_rim_px = float(np.minimum(ahead, rim - ahead).min())
    return last + 1 if to_rim_px < RIM_SIDES * np.sqrt(mask.sum()) else None


def _grid(reach: int, step: int) -> NDArray[np.int64]:
    side = np.arange(-reach, reach + 1, step)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.int64)


def _drop_short_runs(flags: NDArray[np.bool_], min_length: int) -> NDArray[np.bool_]:
    kept = flags.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        # A run that the end of the rollout cuts off may well have gone on.
        if stop - start < min_length and stop < len(flags):
            kept[start:stop] = False
    return kept
