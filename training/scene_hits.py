"""Verdicts of single scenes as numbers, and the bootstrap over scenes.

Shapes: K draws, R rows or places, N scenes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAME_DIGITS", "draw_means", "scene_hits"]

NUM_DRAWS = 2000
# In which order a sum is added depends on the processor, and the last bits on that: what is kept
# of it is the same everywhere, or the committed tables would differ from one machine to the next.
SAME_DIGITS = 9


def scene_hits(seeds: Sequence[str]) -> NDArray[np.float64]:
    """Say of each scene how often its target was taken.

    Args:
        seeds: Of each seed the first letters of the verdicts, of the same scenes.

    Returns:
        Share of the seeds, 0..1, (N,).
    """
    return np.array([[letter == "t" for letter in letters] for letters in seeds]).mean(0)


def draw_means(hits_RN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw scenes again and again, the same ones for all rows: they were shown the same scenes.

    Args:
        hits_RN: What `scene_hits` gives.

    Returns:
        Means over the drawn scenes, (K, R); the same for the same input.
    """
    num_scenes = hits_RN.shape[1]
    rng = np.random.default_rng(0)
    counts_KN = rng.multinomial(num_scenes, np.full(num_scenes, 1 / num_scenes), size=NUM_DRAWS)
    return (counts_KN @ hits_RN.T / num_scenes).round(SAME_DIGITS)
