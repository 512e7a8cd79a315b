"""Rollouts as mp4 files that browsers and players show."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.types import Rollout

__all__ = ["MIN_PLAYABLE_HEIGHT_PX", "encode_mp4", "enlarge"]

# Players scale small videos up with their own blur, and some refuse very small ones.
MIN_PLAYABLE_HEIGHT_PX = 256


def enlarge(image: NDArray[np.uint8], min_height_px: int) -> NDArray[np.uint8]:
    """Scale a small picture up by a whole factor; leave others as they are.

    Args:
        image: RGB, uint8 (H, W, 3).
        min_height_px: What the height must reach.

    Returns:
        RGB, uint8 (f H, f W, 3).
    """
    factor = max(1, -(-min_height_px // image.shape[0]))
    if factor == 1:
        return image
    size_wh = (image.shape[1] * factor, image.shape[0] * factor)
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_CUBIC)


def encode_mp4(rollout: Rollout) -> bytes:
    """Encode a rollout as H.264, 4:2:0, which every browser plays.

    Small frames are enlarged (`MIN_PLAYABLE_HEIGHT_PX`), odd sides lose their last pixel. The
    video is for eyes: it is lossy.

    Args:
        rollout: What to encode.

    Returns:
        The file.
    """
    frames = [enlarge(frame, MIN_PLAYABLE_HEIGHT_PX) for frame in rollout.frames]
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rollout.fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Every frame a key frame: scrubbing then lands on the frame that was asked for.
        stream.options = {"crf": "16", "preset": "veryfast", "g": "1"}
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
