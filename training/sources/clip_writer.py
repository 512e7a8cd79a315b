"""Write a window of a recording as a clip of the one clip format, and pictures for the report."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.frame_fit import FrameFit
from training.clips import ClipRecord, write_frames
from training.sources.cutter import RejectedWindow, Window

__all__ = ["draw_clip", "draw_rejected", "write_clip", "write_picture"]

CLIPS, MASKS, ACTORS, TRUTH = "clips", "masks", "actors", "truth"
PICTURE_WIDTH_PX = 200
TARGET_RGB, ACTOR_RGB = (255, 140, 0), (0, 170, 255)

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def write_clip(window: Window, out: Path, job_name: str) -> ClipRecord:
    """Write video, masks and truth of a window.

    Args:
        window: What the cutter kept.
        out: The clip folder.
        job_name: Names the subfolder; safe as a file name.

    Returns:
        The record for `metadata.jsonl`.
    """
    recording = window.recording
    stem = f"{job_name}/{recording.name}_{window.start:06d}"
    names = {
        CLIPS: f"{CLIPS}/{stem}.mp4",
        MASKS: f"{MASKS}/{stem}.png",
        ACTORS: None if window.actor_mask is None else f"{ACTORS}/{stem}.png",
        TRUTH: None if window.truth is None else f"{TRUTH}/{stem}.npz",
    }
    for name in names.values():
        if name is not None:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
    _write_mask(out / names[MASKS], window.target_mask)
    if window.actor_mask is not None:
        _write_mask(out / names[ACTORS], window.actor_mask)
    if window.truth is not None:
        np.savez_compressed(out / names[TRUTH], **window.truth)
    write_frames(out / names[CLIPS], window.frames_THWC, recording.fps)
    return ClipRecord(
        file_name=names[CLIPS],
        text=recording.caption,
        fps=float(recording.fps),
        mask_file=names[MASKS],
        actor_mask_file=names[ACTORS],
        contact_frame=window.contact_frame,
        camera=window.camera,
        source=recording.source,
        licence=recording.licence,
        truth_file=names[TRUTH],
    )


def _write_mask(path: Path, mask: Mask) -> None:
    write_picture(path, np.repeat(mask[..., None], 3, axis=-1).astype(np.uint8) * 255)


def write_picture(path: Path, image: Image) -> None:
    """Write a picture; the ending decides how.

    Args:
        path: `.png` or `.jpg`.
        image: RGB, uint8 (H, W, 3).

    Raises:
        InputError: If it cannot be written.
    """
    is_grey = bool((image == image[..., :1]).all())
    pixels = image[..., 0] if is_grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(path.suffix, pixels)
    if not done:
        raise InputError(f"{path.name} must be a picture OpenCV can write. Use png or jpg.")
    path.write_bytes(data.tobytes())


def draw_clip(window: Window) -> Image:
    """Draw frame 0 with its masks, the frame of the contact, and the last one, side by side.

    Args:
        window: A clip.

    Returns:
        RGB, uint8 (H, W, 3).
    """
    frames = window.frames_THWC
    first = _draw_masks(_shrink(frames[0]), window.target_mask, window.actor_mask)
    others = [_shrink(frames[at]) for at in (window.contact_frame, len(frames) - 1)]
    return np.concatenate([first, *others], axis=1)


def draw_rejected(window: RejectedWindow, size_hw: tuple[int, int]) -> Image | None:
    """Draw the first frame of a rejected window with the masks that are known there.

    Args:
        window: What the cutter left out.
        size_hw: What a clip would have, pixels.

    Returns:
        RGB, uint8 (H, W, 3); or None if the frame cannot be read.
    """
    recording, at = window.recording, window.start
    try:
        frame = recording.read_frames(at, at + 1)[0]
        fit = FrameFit(recording.size_hw, size_hw)
        picture = _shrink(fit.fit_image(frame))
    except InputError:
        return None
    masks = (_crop_mask(found.get(at), fit) for found in _masks_of(window))
    return _draw_masks(picture, *masks)


def _masks_of(window: RejectedWindow) -> tuple:
    return window.recording.target_masks, window.recording.actor_masks


def _crop_mask(mask: Mask | None, fit: FrameFit) -> Mask | None:
    if mask is None or mask.shape != tuple(fit.image_size_hw):
        return None
    top, left, rows, columns = fit.window
    return mask[top : top + rows, left : left + columns]


def _shrink(image: Image) -> Image:
    height, width = image.shape[:2]
    size_wh = (PICTURE_WIDTH_PX, max(1, round(height * PICTURE_WIDTH_PX / width)))
    shrinks = width > PICTURE_WIDTH_PX
    return cv2.resize(
        image, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    )


def _draw_masks(picture: Image, target: Mask | None, actor: Mask | None) -> Image:
    drawn = picture.copy()
    for mask, color in ((actor, ACTOR_RGB), (target, TARGET_RGB)):
        if mask is None:
            continue
        size_wh = picture.shape[1::-1]
        small = cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, color, 2)
    return drawn
