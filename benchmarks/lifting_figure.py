"""Draw a lifted clip over its video: hands, contact, and the target's axes; truth in white."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from benchmarks.lifting_clips import LiftingClip
from benchmarks.lifting_metrics import Truth
from tavid_core.camera import project
from tavid_core.motion import InteractionMotion
from training.sources.sim.motion import JOINT_NAMES

__all__ = ["draw_figure"]

NUM_PANELS = 4
AXIS_M = 0.09
AXIS_RGB = ((230, 60, 60), (60, 200, 80), (70, 110, 255))
HAND_RGB = {"left_hand": (255, 190, 40), "right_hand": (60, 220, 220)}
WHITE, DARK = (255, 255, 255), (30, 30, 30)


def draw_figure(path: Path, clip: LiftingClip, motion: InteractionMotion, truth: Truth) -> None:
    """Write the picture.

    Args:
        path: PNG.
        clip: What was lifted.
        motion: The result.
        truth: Of the clip.
    """
    start = motion.contact.start_frame or 0
    last = motion.num_frames - 1
    frames = sorted({0, start, (start + last) // 2, last})
    panels = [_panel(clip, motion, truth, t) for t in frames[:NUM_PANELS]]
    rows = [np.concatenate(panels[i : i + 2], axis=1) for i in range(0, len(panels), 2)]
    if len(rows) > 1 and rows[1].shape != rows[0].shape:
        rows = rows[:1]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def _panel(clip: LiftingClip, motion: InteractionMotion, truth: Truth, t: int) -> NDArray[np.uint8]:
    picture, camera = clip.frames[t].copy(), clip.intrinsics
    for hand in motion.hands:
        true_m = truth.joints_m[: t + 1, JOINT_NAMES.index(hand.name)]
        _path(picture, project(true_m, camera), WHITE, 6)
        _path(picture, hand.pixels[: t + 1], HAND_RGB[hand.name], 3)
    turns = Rotation.from_quat(motion.target_quaternions_xyzw).as_matrix()
    _axes(picture, clip, truth.target_m[t], truth.target_rotations[t], None)
    _axes(picture, clip, motion.target.positions_camera_m[t], turns[t], AXIS_RGB)
    away_cm = 100 * np.linalg.norm(motion.target.positions_camera_m[t] - truth.target_m[t])
    contact = motion.contact
    touches = contact.touches_target and contact.start_frame <= t <= contact.end_frame
    state = f"touched by the {contact.hand.replace('_', ' ')}" if touches else "not touched"
    text = f"frame {t}: target {state}, {away_cm:.1f} cm off"
    cv2.rectangle(picture, (0, 0), (picture.shape[1], 30), DARK, -1)
    cv2.putText(picture, text, (10, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.6, WHITE, 1, cv2.LINE_AA)
    return picture


def _path(
    picture: NDArray[np.uint8],
    pixels: NDArray[np.floating],
    rgb: tuple[int, int, int],
    thickness: int,
) -> None:
    known = pixels[np.isfinite(pixels).all(axis=-1)]
    if len(known):
        points = np.rint(known).astype(np.int32)
        cv2.polylines(picture, [points], False, rgb, thickness, cv2.LINE_AA)
        cv2.circle(picture, points[-1].tolist(), thickness + 4, rgb, -1, cv2.LINE_AA)


def _axes(
    picture: NDArray[np.uint8],
    clip: LiftingClip,
    center_m: NDArray[np.floating],
    rotation: NDArray[np.floating],
    colors: tuple[tuple[int, int, int], ...] | None,
) -> None:
    if not np.isfinite(center_m).all():
        return
    ends = project(np.vstack([center_m, center_m + AXIS_M * rotation.T]), clip.intrinsics)
    points = np.rint(ends).astype(int).tolist()
    for axis in range(3):
        rgb = WHITE if colors is None else colors[axis]
        cv2.line(picture, points[0], points[axis + 1], rgb, 6 if colors is None else 3, cv2.LINE_AA)
