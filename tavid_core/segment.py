"""From a click to a mask: the protocol of segmenters, and which one to take."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import ConfigError
from tavid_core.segment_grabcut import GrabCutSegmenter
from tavid_core.segment_prompt import Segmentation
from tavid_core.segment_sam import MODEL_TYPES, SamSegmenter

__all__ = ["SEGMENT_METHODS", "Segmentation", "Segmenter", "check_method", "make_segmenter"]

SEGMENT_METHODS = ("auto", "sam", "grabcut")


class Segmenter(Protocol):
    """Answers many clicks on one image; numpy outside, whatever it needs inside."""

    def set_image(self, image: NDArray[np.uint8]) -> None:
        """Take an image, RGB, uint8 (H, W, 3)."""

    def segment(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
    ) -> Segmentation:
        """Mark the object that clicks or a box point at; see `TargetPrompt.of`."""


def make_segmenter(
    method: str = "auto",
    *,
    checkpoint: str | Path = "",
    model_type: str = "vit_b",
    device: str = "cpu",
) -> Segmenter:
    """Make the segmenter that settings ask for.

    Args:
        method: "sam", "grabcut", or "auto": segment-anything if a checkpoint is named, else
            GrabCut, which needs no download.
        checkpoint: Weights of segment-anything, .pth.
        model_type: Of the checkpoint: vit_b, vit_l or vit_h.
        device: Where segment-anything runs: cpu, cuda, cuda:1.

    Returns:
        The segmenter, loaded.

    Raises:
        ConfigError: If a setting is not possible, or "sam" has no checkpoint.
        MissingExtraError: If segment-anything is wanted but not installed.
        WeightsError: If the checkpoint is missing, damaged or of another model type.
    """
    if check_method(method, checkpoint=checkpoint, model_type=model_type) == "grabcut":
        return GrabCutSegmenter()
    return SamSegmenter(checkpoint, model_type=model_type, device=device)


def check_method(
    method: str = "auto", *, checkpoint: str | Path = "", model_type: str = "vit_b"
) -> str:
    """Tell what settings choose, without loading it.

    Args:
        method: "sam", "grabcut" or "auto", see `make_segmenter`.
        checkpoint: Weights of segment-anything.
        model_type: Of the checkpoint.

    Returns:
        "sam" or "grabcut".

    Raises:
        ConfigError: If a setting is not possible, or "sam" has no checkpoint.
    """
    if method not in SEGMENT_METHODS:
        raise ConfigError(
            f"method must be one of {', '.join(SEGMENT_METHODS)}, got {method!r}. Try auto."
        )
    if method == "grabcut" or (method == "auto" and not str(checkpoint)):
        return "grabcut"
    if model_type not in MODEL_TYPES:
        raise ConfigError(
            f"model_type must be one of {', '.join(MODEL_TYPES)}, got {model_type!r}. "
            "The name of the checkpoint says it."
        )
    if not str(checkpoint):
        raise ConfigError(
            "checkpoint must name segment-anything's weights for method 'sam', got none. "
            "Download one, or use method 'grabcut'."
        )
    return "sam"
