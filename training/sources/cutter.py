"""From a recording to clips: an actor who does not touch the target in frame 0 and does later.

Shapes: T frames, H x W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.frame_fit import FrameFit
from tavid_core.types import CameraIntrinsics
from training.sources.cut_rules import CutReason, CutRules
from training.sources.recording import Recording
from training.sources.steadiness import background_motion_px, find_scene_cut, target_change_share
from training.sources.touch import (
    NOT_TOUCHING,
    TOUCHING,
    UNKNOWN,
    find_touch,
    list_runs,
    masks_in,
    steady_touch,
)

__all__ = ["RejectedWindow", "Window", "cut"]

READ_CHUNK = 8
# How many starts are decoded and looked at before the window of a contact is given up.
MAX_STARTS = 3

Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """A stretch that makes a clip, cropped and resized.

    Args:
        recording: Where it is from.
        start: First frame in the recording.
        contact_frame: First frame with contact, from 0 within the window.
        frames_THWC: RGB, uint8 (T, H, W, 3).
        target_mask: Of frame 0, bool (H, W).
        actor_mask: Of frame 0, bool (H, W); or None if unknown.
        camera: Intrinsics for (H, W); or None if unknown.
        truth: Arrays by name.
    """

    recording: Recording
    start: int
    contact_frame: int
    frames_THWC: NDArray[np.uint8]
    target_mask: Mask
    actor_mask: Mask | None
    camera: CameraIntrinsics | None
    truth: Mapping[str, NDArray[np.generic]] | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RejectedWindow:
    """A stretch that makes no clip.

    Args:
        recording: Where it is from.
        start: First frame in the recording.
        reason: Why not.
        detail: Values that decided, or "".
    """

    recording: Recording
    start: int
    reason: CutReason
    detail: str = ""


class _RejectedError(Exception):
    def __init__(self, reason: CutReason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason, self.detail = reason, detail


def cut(recording: Recording, rules: CutRules) -> Iterator[Window | RejectedWindow]:
    """Find the clips of a recording; at most one for each contact.

    Args:
        recording: At the rate of the rules.
        rules: What makes a clip.

    Yields:
        Windows and rejected windows, in the order of their contacts. A recording without any
        contact counts as one rejected window.

    Raises:
        InputError: If the recording has another rate, or its frames or masks another size than it
            says.
    """
    if abs(recording.fps - rules.fps) > 1e-6:
        raise InputError(
            f"recording must have {rules.fps:g} frames per second, got {recording.fps:g}. "
            "Resample it."
        )
    touch = steady_touch(find_touch(recording, rules), rules.num_contact_frames)
    contacts = [(start, stop) for start, stop in list_runs(touch == TOUCHING) if start > 0]
    if recording.num_frames < rules.num_frames or not contacts:
        yield RejectedWindow(recording=recording, start=0, reason=_whole_reason(touch, rules))
        return
    for contact, stop in contacts:
        yield _cut_contact(recording, rules, touch, contact, stop)


def _whole_reason(touch: NDArray[np.int8], rules: CutRules) -> CutReason:
    if len(touch) < rules.num_frames:
        return CutReason.TOO_SHORT
    if (touch == UNKNOWN).all():
        return CutReason.UNKNOWN_CONTACT
    return CutReason.ALWAYS_CONTACT if (touch == TOUCHING).any() else CutReason.NO_CONTACT


def _cut_contact(
    recording: Recording, rules: CutRules, touch: NDArray[np.int8], contact: int, stop: int
) -> Window | RejectedWindow:
    wanted = contact - rules.num_lead_frames
    first_rejection = None
    num_decoded = 0
    try:
        starts = _list_starts(recording, rules, touch, contact, stop)
    except _RejectedError as rejected:
        starts, first_rejection = [], (max(wanted, 0), rejected)
    for start in starts:
        try:
            masks = _fit_masks(recording, rules, start)
            num_decoded += 1
            return _make_window(recording, rules, start, contact, masks)
        except _RejectedError as rejected:
            first_rejection = first_rejection or (start, rejected)
        if num_decoded >= MAX_STARTS:
            break
    assert first_rejection is not None
    start, rejected = first_rejection
    return RejectedWindow(
        recording=recording, start=start, reason=rejected.reason, detail=rejected.detail
    )


def _list_starts(
    recording: Recording, rules: CutRules, touch: NDArray[np.int8], contact: int, stop: int
) -> list[int]:
    """List where a window of this contact may start, the best first."""
    if stop - contact < rules.num_contact_frames and stop < recording.num_frames:
        raise _RejectedError(CutReason.BRIEF_CONTACT, f"{stop - contact} frames")
    free = contact
    while free > 0 and touch[free - 1] == NOT_TOUCHING:
        free -= 1
    earliest = max(free, contact + rules.num_contact_frames - rules.num_frames)
    latest = contact - rules.num_approach_frames
    if earliest > latest:
        raise _RejectedError(CutReason.NO_APPROACH, f"{contact - free} frames before the contact")
    latest = min(latest, recording.num_frames - rules.num_frames)
    if earliest > latest:
        raise _RejectedError(
            CutReason.ENDS_TOO_SOON, f"{recording.num_frames - contact} frames after the contact"
        )
    wanted = contact - rules.num_lead_frames
    starts = sorted(range(earliest, latest + 1), key=lambda start: (abs(start - wanted), start))
    # Where masks are sparse, only frames that have one can begin a clip.
    return [start for start in starts if start in recording.target_masks] or starts[:1]


def _fit_masks(recording: Recording, rules: CutRules, start: int) -> tuple[Mask, Mask | None]:
    target = recording.target_masks.get(start)
    if target is None or not target.any():
        raise _RejectedError(CutReason.NO_TARGET)
    fit = FrameFit(recording.size_hw, rules.size_hw)
    try:
        fitted = fit.fit_mask(target)
    except InputError as error:
        # A mask of another size is the source's fault, not a property of the window.
        if target.shape != tuple(recording.size_hw):
            raise
        raise _RejectedError(CutReason.CUT_OFF_TARGET, str(error)) from error
    share = float(fitted.mean())
    if share < rules.min_target_share:
        raise _RejectedError(CutReason.SMALL_TARGET, f"{share:.2%} of the picture")
    return fitted, _fit_actor(recording, rules, start, fit)


def _fit_actor(recording: Recording, rules: CutRules, start: int, fit: FrameFit) -> Mask | None:
    actor = recording.actor_masks.get(start)
    if actor is not None:
        share = float(actor.mean())
        if share < rules.min_actor_share:
            raise _RejectedError(CutReason.NO_ACTOR, f"{share:.2%} of the picture")
        try:
            return fit.fit_mask(actor, name="actor_mask", may_be_cut=True)
        except InputError as error:
            if actor.shape != tuple(recording.size_hw):
                raise
            raise _RejectedError(CutReason.NO_ACTOR, str(error)) from error
    has_hands = recording.hand_pixels is not None
    if has_hands and np.isfinite(recording.hand_pixels[start]).all(axis=-1).any():
        return None
    if has_hands or recording.actor_masks or not rules.allows_unknown_actor:
        raise _RejectedError(CutReason.NO_ACTOR)
    return None


def _make_window(
    recording: Recording,
    rules: CutRules,
    start: int,
    contact: int,
    masks: tuple[Mask, Mask | None],
) -> Window:
    stop = start + rules.num_frames
    fit = FrameFit(recording.size_hw, rules.size_hw)
    frames_THWC = np.stack(
        [
            fit.fit_image(frame)
            for first in range(start, stop, READ_CHUNK)
            for frame in recording.read_frames(first, min(first + READ_CHUNK, stop))
        ]
    )
    target_mask, actor_mask = masks
    _check_steadiness(frames_THWC, rules, target_mask, actor_mask)
    if recording.contact is None and not rules.allows_still_target:
        _check_target_moves(recording, rules, start, contact, frames_THWC, target_mask)
    return Window(
        recording=recording,
        start=start,
        contact_frame=contact - start,
        frames_THWC=frames_THWC,
        target_mask=target_mask,
        actor_mask=actor_mask,
        camera=None if recording.camera is None else fit.fit_intrinsics(recording.camera),
        truth=None if recording.read_truth is None else recording.read_truth(start, stop),
    )


def _check_steadiness(
    frames_THWC: NDArray[np.uint8], rules: CutRules, target: Mask, actor: Mask | None
) -> None:
    scene_cut = find_scene_cut(frames_THWC)
    if scene_cut is not None:
        raise _RejectedError(CutReason.SCENE_CUT, f"at frame {scene_cut}")
    foreground = target if actor is None else target | actor
    moved_share = background_motion_px(frames_THWC, foreground) / rules.size_hw[0]
    if moved_share > rules.max_background_share:
        raise _RejectedError(CutReason.MOVING_CAMERA, f"by {moved_share:.1%} of the height")


def _check_target_moves(
    recording: Recording,
    rules: CutRules,
    start: int,
    contact: int,
    frames_THWC: NDArray[np.uint8],
    target: Mask,
) -> None:
    """Believe a touch that was seen in the picture only if the target moves after it."""
    stop = start + rules.num_frames
    after = dict(masks_in(recording.target_masks, contact, stop))
    # Masks that end soon after the touch do not say what became of the target.
    if after and max(after) >= (contact + stop) // 2:
        centers = [np.argwhere(mask).mean(axis=0) for mask in after.values()]
        before = recording.target_masks[start]
        offsets = np.array(centers) - np.argwhere(before).mean(axis=0)
        moved_px = float(np.linalg.norm(offsets, axis=1).max())
        moved_share = moved_px / float(np.sqrt(before.sum()))
    else:
        moved_share = target_change_share(frames_THWC[max(0, contact - start - 1) :], target)
    if moved_share < rules.min_motion_share:
        raise _RejectedError(CutReason.STILL_TARGET, f"{moved_share:.2f} of its own size")
