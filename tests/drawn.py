"""A drawn stand-in for a rollout: equal discs on a table, and a hand that lifts one of them."""

import dataclasses

import cv2
import numpy as np

from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.lift import lift
from tavid_core.types import (
    BodyFit,
    CameraIntrinsics,
    Contact,
    InteractionPlan,
    MotionSegment,
    PlanRequest,
    Rollout,
)

WALL, TABLE, DISC, SKIN = (150, 150, 165), (120, 85, 60), (30, 90, 200), (225, 175, 145)
START_FRAME, CONTACT_FRAME = 2, 8


@dataclasses.dataclass
class DrawnClip:
    """Frames with their truth, all in the pixels of the frames."""

    frames: np.ndarray
    masks: list[np.ndarray]
    hand_pixels: np.ndarray
    object_pixels: np.ndarray

    def keypoints(self, confidence=0.9):
        """Make keypoints of a detector that sees the right hand only."""
        shape = (len(self.frames), 1)
        return Keypoints(
            ("right_hand",),
            self.hand_pixels[:, None].astype(np.float32),
            np.full(shape, confidence, dtype=np.float32),
        )


def draw_reach(
    target=1,
    *,
    scale=1,
    num_frames=17,
    centers=((20, 46), (46, 50), (74, 45)),
    lift=(0.0, -16.0),
    reach=1.0,
    noise=0.0,
    blur=0.0,
):
    """Draw a hand that reaches for disc `target` (share `reach` of the way) and lifts it."""
    height, width, radius = 64 * scale, 96 * scale, 5 * scale
    centers = np.array(centers, dtype=float) * scale
    goal = centers[target] + np.array([0, -5]) * scale
    rest = np.array([50.0, 22.0]) * scale
    t = np.arange(num_frames)
    go = np.clip((t - START_FRAME) / (CONTACT_FRAME - START_FRAME), 0, 1)[:, None] * reach
    up = np.clip((t - CONTACT_FRAME) / (num_frames - 1 - CONTACT_FRAME), 0, 1)[:, None]
    up = up * (reach == 1.0) * np.array(lift) * scale
    hand = rest + go * (goal - rest) + up
    objects = np.repeat(centers[None], num_frames, axis=0)
    objects[:, target] += up
    rng = np.random.default_rng(0)
    frames = np.stack(
        [_draw(height, width, radius, objects[i], hand[i]) for i in range(num_frames)]
    ).astype(np.float32)
    if blur:
        frames = np.stack([cv2.GaussianBlur(frame, (0, 0), blur) for frame in frames])
    frames += rng.normal(0, noise, frames.shape) if noise else 0
    rows, columns = np.mgrid[:height, :width]
    masks = [np.hypot(columns - x, rows - y) <= radius for x, y in centers]
    frames = frames.clip(0, 255).round().astype(np.uint8)
    return DrawnClip(frames, masks, hand, objects)


def hide_lifted(clip, frames, color=None):
    """Paint over disc 1 of a clip of 64x96 in some frames: with what is behind it, or a colour."""
    is_blue = clip.frames[..., 2].astype(int) - clip.frames[..., 0] > (20 if color is None else 60)
    near = np.abs(np.arange(96) - clip.object_pixels[0, 1, 0]) < 9
    behind = np.where(np.arange(64)[:, None, None] < 28, WALL, TABLE)
    hidden = clip.frames.copy()
    hidden[frames] = np.where(
        (is_blue & near)[frames, ..., None], behind if color is None else color, hidden[frames]
    )
    return hidden


def _draw(height, width, radius, objects, hand):
    frame = np.full((height, width, 3), WALL, dtype=np.uint8)
    frame[int(0.45 * height) :] = TABLE
    for center in objects:
        _disc(frame, center, radius, DISC)
    shoulder = (width * 0.5, -0.05 * height)
    points = [(round(x * 16), round(y * 16)) for x, y in (shoulder, hand)]
    cv2.line(frame, *points, SKIN, max(2, radius // 2), cv2.LINE_AA, shift=4)
    _disc(frame, hand, 0.7 * radius, SKIN)
    return frame


def _disc(frame, center, radius, color):
    at = tuple(round(float(c) * 16) for c in center)
    cv2.circle(frame, at, round(radius * 16), color, -1, cv2.LINE_AA, shift=4)


def draw_plan(hand_confidence=0.9, prompt="A person lifts the middle disc.", **changes):
    """Lift a drawn clip into a whole plan, with depth and a known camera."""
    clip = draw_reach(1)
    request = PlanRequest(
        image=clip.frames[0],
        target_mask=clip.masks[1],
        prompt=prompt,
        seed=7,
        **{
            "depth_m": np.full((64, 96), 1.1, dtype=np.float32),
            "intrinsics": CameraIntrinsics(fx=90, fy=90, cx=47.5, cy=31.5, width=96, height=64),
        }
        | changes,
    )
    attention_map = np.linspace(0, 1, 96, dtype=np.float32).reshape(8, 12)
    rollout = Rollout(frames=clip.frames, fps=8.0, attention_map=attention_map)
    fit = FrameFit((64, 96), (64, 96))
    return InteractionPlan(
        request=request,
        rollout=rollout,
        motion=lift(rollout, request, clip.keypoints(hand_confidence), fit=fit),
        provenance={"model": "mini", "model_sha256": "0" * 64, "versions": {"torch": "2"}},
        planning_time_sec=3.25,
    )


def fill_plan(plan):
    """Give a plan every part that a request and a motion can have."""
    motion, rng = plan.motion, np.random.default_rng(0)
    num_frames = motion.num_frames
    quaternions = rng.normal(size=(num_frames, 4)).astype(np.float32)
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    quaternions[2] = np.nan
    hand = dataclasses.replace(motion.hands[0], quaternions_xyzw=quaternions)
    aperture_m = np.linspace(0.1, 0.04, num_frames, dtype=np.float32)
    aperture_m[5] = np.nan
    point = np.float32([0.01, -0.02, 0.03])
    further = (plan.request.target_mask, np.roll(plan.request.target_mask, 3, axis=1))
    return dataclasses.replace(
        plan,
        request=dataclasses.replace(plan.request, extra_masks=further),
        motion=dataclasses.replace(
            motion,
            hands=(hand, *motion.hands[1:]),
            contacts=(
                dataclasses.replace(motion.contact, point_target_m=point),
                Contact(hand=hand.name, start_frame=1, end_frame=2, touches_other=True),
            ),
            apertures_m={hand.name: aperture_m},
            segments=(
                MotionSegment(name="approach", hand=hand.name, start_frame=0, end_frame=7),
                MotionSegment(
                    name="transport", hand=hand.name, start_frame=8, end_frame=num_frames - 1
                ),
            ),
            body_fit=BodyFit(
                model="STANDIN",
                joint_rotations=rng.normal(size=(num_frames, 55, 3)).astype(np.float32),
                betas=np.zeros(10, dtype=np.float32),
                pelvis_camera_m=np.ones((num_frames, 3), dtype=np.float32),
                residual_px=np.full(num_frames, np.nan, dtype=np.float32),
            ),
            actor_kind="arm",
        ),
    )


def draw_many_discs():
    """Draw a disc where each box of an untrained OWL-ViT lies, see tests/tiny_detector.py."""
    picture = np.full((256, 256, 3), TABLE, dtype=np.uint8)
    for row in range(64, 257, 64):
        for column in range(64, 257, 64):
            _disc(picture, (column, row), 18, DISC)
    return picture
