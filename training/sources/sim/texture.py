"""The print on textured objects: spots of several sizes that a tracker can hold on to."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["MIN_PRINT_RGB", "draw_print"]

SIDE_PX = 256
SPOT_SIDES_PX = (6, 14, 36)
# The print multiplies the object's colour: on black nothing of it would be seen.
MIN_PRINT_RGB = 0.35


def draw_print(seed: int = 0) -> bytes:
    """Draw the picture that every textured object carries.

    Args:
        seed: Of the spots.

    Returns:
        A PNG, RGB, square.
    """
    rng = np.random.default_rng([20251122, seed])
    total = np.zeros((SIDE_PX, SIDE_PX, 3), np.float32)
    for side in SPOT_SIDES_PX:
        num_spots = -(-SIDE_PX // side)
        coarse = rng.uniform(-1.0, 1.0, (num_spots, num_spots, 3)).astype(np.float32)
        total += cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(0.62 + 0.3 * total, 0.1, 1.0)
    is_written, encoded = cv2.imencode(".png", np.rint(picture * 255).astype(np.uint8))
    assert is_written
    return encoded.tobytes()
