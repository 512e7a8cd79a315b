"""Segmentation by segment-anything (extra `sam`): an image is embedded once for many clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import (
    ConfigError,
    InputError,
    MissingExtraError,
    NotReadyError,
    WeightsError,
)
from tavid_core.segment_prompt import Segmentation, TargetPrompt, check_segment_image

__all__ = ["MODEL_TYPES", "SamSegmenter"]

MODEL_TYPES = ("vit_b", "vit_l", "vit_h")


class SamSegmenter:
    """segment-anything behind the protocol of `tavid_core.segment.Segmenter`.

    Args:
        checkpoint: Weights, .pth (read as tensors only) or .safetensors.
        model_type: vit_b, vit_l or vit_h.
        device: cpu, cuda, cuda:1.

    Raises:
        MissingExtraError: If segment-anything or torchvision are not installed.
        WeightsError: If the checkpoint is missing, damaged or of another model type.
        ConfigError: If torch cannot use the device.

    References:
        github.com/facebookresearch/segment-anything, predictor.py. Its own loader would run a
        pickle, so the model is built without weights and filled here.
    """

    def __init__(
        self, checkpoint: str | Path, *, model_type: str = "vit_b", device: str = "cpu"
    ) -> None:
        try:
            from segment_anything import SamPredictor, sam_model_registry
        except ImportError as error:
            raise MissingExtraError.of(error.name or "segment_anything", "sam") from error
        except RuntimeError as error:
            raise MissingExtraError(
                f"torchvision must be built for the installed torch, got: {error}. Install it "
                "from where torch came from, with the same option --index-url."
            ) from error
        from tavid_core.weights_file import read_tensors

        path = Path(checkpoint).expanduser()
        tensors = read_tensors(path)
        model = sam_model_registry[model_type](checkpoint=None)
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(
                f"{path} must be a checkpoint of segment-anything {model_type}, got other weights. "
                "Give the model_type that its name says."
            ) from error
        try:
            model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(
                f"device must be one that torch can use here, got {device!r}: {error}. Try cpu."
            ) from error
        self._predictor: Any = SamPredictor(model)
        self._size_hw: tuple[int, int] | None = None

    def set_image(self, image: NDArray[np.uint8]) -> None:
        """Embed an image; the slow part, once for all clicks on it.

        Args:
            image: RGB, uint8 (H, W, 3).

        Raises:
            InputError: If it is something else.
        """
        check_segment_image(image)
        self._size_hw = None
        self._predictor.set_image(np.ascontiguousarray(image), image_format="RGB")
        self._size_hw = image.shape[:2]

    def segment(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
    ) -> Segmentation:
        """Mark the object that clicks or a box point at.

        Args:
            points: Column and row of each click, (N, 2), pixels, or None.
            labels: 1 = on the target, 0 = not on it, (N,); None = all on it.
            box: x0, y0, x1, y1, pixels, around the target, or None.

        Returns:
            The mask that the model itself believes in most.

        Raises:
            NotReadyError: If no image was set.
            InputError: If the prompt is unusable, or marks nothing or everything.
        """
        if self._size_hw is None:
            raise NotReadyError(
                "image must be set before a click, got none. Call set_image() first."
            )
        prompt = TargetPrompt.of(points, labels, box, self._size_hw)
        has_points = len(prompt.points) > 0
        # One click can mean a part or the whole; more say which, and the model has one answer.
        masks, scores, _ = self._predictor.predict(
            point_coords=prompt.points if has_points else None,
            point_labels=prompt.labels.astype(np.int32) if has_points else None,
            box=prompt.box,
            multimask_output=len(prompt.points) == 1 and prompt.box is None,
        )
        order = np.argsort(np.nan_to_num(scores, nan=-1.0))[::-1]
        usable = [index for index in order if masks[index].any() and not masks[index].all()]
        if not usable:
            raise InputError(
                "points must select an object, got nothing or everything. Click on its middle, "
                "or draw a box."
            )
        best = usable[0]
        score = float(np.clip(np.nan_to_num(scores[best]), 0.0, 1.0))
        return Segmentation(mask=masks[best].astype(np.bool_), score=score, method="sam")
