"""A drawn scene in which an actor comes, touches a target and carries it off; and writers of it."""

import dataclasses
from fractions import Fraction

import av
import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class DrawnTouch:
    """Frames (T, H, W, 3), masks (T, H, W), the middles of hand and target as (column, row)."""

    frames: np.ndarray
    target_masks: np.ndarray
    actor_masks: np.ndarray
    hand_pixels: np.ndarray
    target_pixels: np.ndarray
    contact: int


def draw_touch(num_frames=60, contact=30, size_hw=(96, 128), seed=0):
    """An arm comes from the right at a steady pace, touches the disc, and pushes it to the left."""
    height, width = size_hw
    generator = np.random.default_rng(seed)
    small = generator.integers(40, 160, (height // 8, width // 8, 3)).astype(np.uint8)
    background = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    radius = height // 8
    start = np.array([0.45 * width, 0.6 * height])
    pace = 0.4 * width / contact
    frames, targets, actors, hands, middles = [], [], [], [], []
    for index in range(num_frames):
        reach = (contact - index) * pace
        # Past the contact the reach is negative: the target is pushed that far.
        middle = start + np.array([min(0.0, reach) * 0.5, 0])
        hand = middle + np.array([radius + max(0.0, reach), 0])
        frame = background.copy()
        target, actor = (np.zeros(size_hw, np.uint8) for _ in range(2))
        cv2.circle(target, tuple(int(v) for v in np.rint(middle)), radius, 1, -1)
        left_top = (round(hand[0]) + 1, round(hand[1] - radius / 2))
        cv2.rectangle(actor, left_top, (width, round(hand[1] + radius / 2)), 1, -1)
        frame[target > 0] = (220, 40, 40)
        frame[actor > 0] = (230, 200, 60)
        target[actor > 0] = 0
        for values, value in zip(
            (frames, targets, actors, hands, middles),
            (frame, target > 0, actor > 0, hand, middle),
            strict=True,
        ):
            values.append(value)
    arrays = (np.stack(values) for values in (frames, targets, actors, hands, middles))
    return DrawnTouch(*arrays, contact=contact)


def write_video(path, frames, fps=30, options=None):
    """Write H.264 as cameras do: 4:2:0, with B-frames, the index at the front."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = options or {"crf": "10", "preset": "ultrafast", "bf": "2"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_mask_video(path, masks, fps=30):
    """Write masks as a grey video."""
    write_video(path, np.repeat(masks[..., None] * np.uint8(255), 3, axis=3), fps)


def write_mask(path, mask):
    """Write a mask as a picture; the ending names the kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask.astype(np.uint8) * 255)


def write_picture(path, frame):
    """Write a frame as a picture; the ending names the kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(frame[..., ::-1]))


def overlap(mask, other):
    """Intersection over union."""
    return float((mask & other).sum() / max(1, (mask | other).sum()))
