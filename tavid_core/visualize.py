"""Pictures of a plan: what was asked, what was imagined, and where things go."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, check_shape
from tavid_core.frame_fit import FrameFit
from tavid_core.types import InteractionMotion, PointTrack, Rollout
from tavid_core.video import enlarge

__all__ = ["TRACK_COLORS", "contact_sheet", "draw_motion", "draw_overlay"]

# RGB; the plan page uses the same.
TRACK_COLORS = {
    "target": (77, 208, 255),
    "left_hand": (255, 176, 59),
    "right_hand": (255, 105, 150),
    "gripper": (255, 105, 150),
}
OTHER_COLOR = (200, 205, 215)
CONTACT_COLOR = (120, 255, 170)
MASK_COLOR = TRACK_COLORS["target"]
OUTLINE_COLOR = (16, 18, 24)
SHEET_COLOR = (18, 20, 26)
TEXT_COLOR = (225, 230, 240)
HEAT_ALPHA = 0.75
MASK_ALPHA = 0.25
PATH_SHIFT = 4
MIN_TILE_HEIGHT_PX = 120
GAP_PX = 6
LABEL_PX = 18


def draw_overlay(
    image: NDArray[np.uint8],
    target_mask: NDArray[np.bool_],
    attention_map: NDArray[np.float32] | None = None,
    motion: InteractionMotion | None = None,
) -> NDArray[np.uint8]:
    """Show the target, where its token looked, and optionally the paths, on the input image.

    The attention map is laid over the centred window of the image that the model sees.

    Args:
        image: RGB, uint8 (H, W, 3).
        target_mask: bool (H, W).
        attention_map: float32 (h, w), 0..1, of the model's aspect, or None.
        motion: In this image's pixels, or None.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        ShapeError: If image and mask differ in size.
    """
    check_shape("image", image.shape, (None, None, 3), "Send an RGB image.")
    check_shape("target_mask", target_mask.shape, image.shape[:2], "Draw it on this image.")
    if attention_map is not None:
        canvas = _add_heat(image, attention_map)
    else:
        tint = np.array(MASK_COLOR, dtype=np.float32)
        canvas, inside = image.copy(), image[target_mask].astype(np.float32)
        canvas[target_mask] = ((1 - MASK_ALPHA) * inside + MASK_ALPHA * tint).astype(np.uint8)
    outlines, _ = cv2.findContours(
        target_mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    width = _line_width(image)
    cv2.drawContours(canvas, outlines, -1, OUTLINE_COLOR, width + 2 * (width > 1), cv2.LINE_AA)
    cv2.drawContours(canvas, outlines, -1, MASK_COLOR, width, cv2.LINE_AA)
    return canvas if motion is None else draw_motion(canvas, motion)


def draw_motion(
    image: NDArray[np.uint8], motion: InteractionMotion, last_frame: int | None = None
) -> NDArray[np.uint8]:
    """Draw the paths of hands and target, and the contact, on the input image.

    Paths begin thin and dark and grow bright towards their end.

    Args:
        image: RGB, uint8 (H, W, 3), the request's image.
        motion: In this image's pixels.
        last_frame: Where the paths end, or None for the whole motion.

    Returns:
        RGB, uint8 (H, W, 3).
    """
    canvas = image.copy()
    stop = motion.num_frames if last_frame is None else last_frame + 1
    width = _line_width(image)
    for track in (*motion.hands, motion.target):
        _draw_path(canvas, track, stop, width)
    contact = motion.contact
    if contact.touches_target and contact.start_frame is not None and contact.start_frame < stop:
        hand = next(hand for hand in motion.hands if hand.name == contact.hand)
        place = hand.pixels[contact.start_frame]
        if not np.isfinite(place).all():
            place = motion.target.pixels[contact.start_frame]
        _draw_ring(canvas, place, 4 * width + 5, width + 1)
    return canvas


def contact_sheet(rollout: Rollout, columns: int = 5, num_tiles: int = 10) -> NDArray[np.uint8]:
    """Lay frames of a rollout side by side, with their times.

    Args:
        rollout: What to show.
        columns: Tiles per row, at least 1.
        num_tiles: Frames to show, evenly spread, first and last included; at least 1.

    Returns:
        RGB, uint8.

    Raises:
        InputError: If columns or tiles are fewer than one.
    """
    if columns < 1 or num_tiles < 1:
        raise InputError(
            f"columns and num_tiles must be at least 1, got {columns} and {num_tiles}. "
            "Try 5 and 10."
        )
    num_frames = len(rollout.frames)
    shown = np.unique(
        np.linspace(0, num_frames - 1, min(num_tiles, num_frames)).round().astype(int)
    )
    tiles = [_tile(rollout.frames[t], f"{t / rollout.fps:.2f} s") for t in shown]
    tiles += [np.full_like(tiles[0], SHEET_COLOR)] * (-len(tiles) % min(columns, len(tiles)))
    columns = min(columns, len(tiles))
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    sheet = np.concatenate(rows, axis=0)
    framed = np.empty((sheet.shape[0] + GAP_PX, sheet.shape[1] + GAP_PX, 3), dtype=np.uint8)
    framed[:] = SHEET_COLOR
    framed[GAP_PX:, GAP_PX:] = sheet
    return framed


def _tile(frame: NDArray[np.uint8], label: str) -> NDArray[np.uint8]:
    picture = enlarge(frame, MIN_TILE_HEIGHT_PX)
    height, width = picture.shape[:2]
    tile = np.empty((height + LABEL_PX + GAP_PX, width + GAP_PX, 3), dtype=np.uint8)
    tile[:] = SHEET_COLOR
    tile[:height, :width] = picture
    at = (2, height + LABEL_PX - 4)
    cv2.putText(tile, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, TEXT_COLOR, 1, cv2.LINE_AA)
    return tile


def _add_heat(canvas: NDArray[np.uint8], attention_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    fit = FrameFit(canvas.shape[:2], attention_map.shape)
    heat = np.clip(fit.map_to_caller(attention_map), 0.0, 1.0)
    colors = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    # Where the token does not look the image stays as it is.
    alpha = (HEAT_ALPHA * heat)[..., None]
    return (canvas * (1 - alpha) + colors * alpha).astype(np.uint8)


def _draw_path(canvas: NDArray[np.uint8], track: PointTrack, stop: int, width: int) -> None:
    color = np.array(TRACK_COLORS.get(track.name, OTHER_COLOR), dtype=np.float64)
    known = [t for t in range(stop) if np.isfinite(track.pixels[t]).all()]
    for backdrop in (True, False):
        for before, after in itertools.pairwise(known):
            share = after / max(stop - 1, 1)
            tone = (
                OUTLINE_COLOR if backdrop else tuple(int(c) for c in color * (0.45 + 0.55 * share))
            )
            ends = [_fixed(track.pixels[t]) for t in (before, after)]
            thickness = width + (2 if backdrop and width > 1 else 0)
            cv2.line(canvas, *ends, tone, thickness, cv2.LINE_AA, PATH_SHIFT)
    if known:
        at, radius = _fixed(track.pixels[known[-1]]), (2 * width + 2) << PATH_SHIFT
        cv2.circle(
            canvas, at, radius + (1 << PATH_SHIFT), OUTLINE_COLOR, -1, cv2.LINE_AA, PATH_SHIFT
        )
        cv2.circle(canvas, at, radius, tuple(int(c) for c in color), -1, cv2.LINE_AA, PATH_SHIFT)


def _draw_ring(
    canvas: NDArray[np.uint8], place: NDArray[np.float32], radius_px: int, width: int
) -> None:
    at, radius = _fixed(place), radius_px << PATH_SHIFT
    cv2.circle(canvas, at, radius, OUTLINE_COLOR, width + 2, cv2.LINE_AA, PATH_SHIFT)
    cv2.circle(canvas, at, radius, CONTACT_COLOR, width, cv2.LINE_AA, PATH_SHIFT)


def _fixed(pixel: NDArray[np.float32]) -> tuple[int, int]:
    # Far outside the picture OpenCV's fixed-point coordinates would overflow.
    column, row = np.clip(pixel, -20000, 20000)
    return round(float(column) * (1 << PATH_SHIFT)), round(float(row) * (1 << PATH_SHIFT))


def _line_width(image: NDArray[np.uint8]) -> int:
    return max(1, round(min(image.shape[:2]) / 240))
