"""From a label to a mask: a detector finds the box, a segmenter marks what is in it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.segment import Segmenter
from tavid_core.segment_detect import LabelDetector, clean_label
from tavid_core.segment_prompt import Segmentation

__all__ = ["segment_label"]

# Detectors cut close, and a segmenter takes nothing beyond the box.
BOX_MARGIN = 0.04


def segment_label(
    segmenter: Segmenter, detector: LabelDetector, image: NDArray[np.uint8], label: str
) -> Segmentation:
    """Mark what a label names; of several things that it names the likeliest.

    Args:
        segmenter: Which has this image.
        detector: Finds the box.
        image: RGB, uint8 (H, W, 3).
        label: One to a few words, "red mug".

    Returns:
        The mask; its method names both, its note says what was found where.

    Raises:
        InputError: If nothing is found, or nothing stands out in its box.
    """
    found = detector.detect(image, label)
    best = found[0]
    height, width = image.shape[:2]
    x0, y0, x1, y1 = best.box
    margin = max(1.0, BOX_MARGIN * float(max(x1 - x0, y1 - y0)))
    box = np.array([x0 - margin, y0 - margin, x1 + margin, y1 + margin])
    marked = segmenter.segment(box=box.clip(0, [width, height, width, height]))
    times = "once" if len(found) == 1 else f"{len(found)} times, the likeliest"
    place = f"({(x0 + x1) / 2:.0f}, {(y0 + y1) / 2:.0f})"
    return dataclasses.replace(
        marked,
        method=f"{detector.name}+{marked.method}",
        note=f"'{clean_label(label)}' found {times} at {place} with {best.score:.2f}",
    )
