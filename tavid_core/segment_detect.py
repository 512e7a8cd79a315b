"""From a label to a box: zero-shot detectors of transformers (OWL-ViT, OWLv2, Grounding DINO).

Legend of shapes: N found boxes.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import ConfigError, InputError, WeightsError
from tavid_core.segment_prompt import check_segment_image

__all__ = ["Detection", "LabelDetector", "ZeroShotDetector", "clean_label", "make_detector"]

DEFAULT_MIN_SCORE = 0.1
MAX_LABEL_CHARACTERS = 128
EXAMPLE_ID = "google/owlvit-base-patch32"
# Grounding DINO reads its words as a sentence; the others are asked like an image's caption.
SENTENCE_MODELS = ("grounding-dino", "mm-grounding-dino")
CAPTION_MODELS = ("owlvit", "owlv2")
# What transformers raises for a folder that is not whole.
_LOAD_ERRORS = (OSError, ImportError, KeyError, RuntimeError, TypeError, ValueError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detection:
    """One place that may show what was named.

    Args:
        box: x0, y0, x1, y1, float32, pixels, inside the image.
        score: 0..1, of the detector.
    """

    box: NDArray[np.float32]
    score: float


class LabelDetector(Protocol):
    """Finds what a label names."""

    @property
    def name(self) -> str:
        """What the answer calls it, as "owlvit"."""

    def detect(self, image: NDArray[np.uint8], label: str) -> list[Detection]:
        """Find it, RGB uint8 (H, W, 3); the likeliest first, never empty."""


def make_detector(
    model: str | Path, *, device: str = "cpu", min_score: float = DEFAULT_MIN_SCORE
) -> LabelDetector:
    """Load the detector that settings name.

    Args:
        model: Folder or name on the Hub; empty is refused with advice.
        device: cpu, cuda, cuda:1.
        min_score: Below it a place does not count, 0..1.

    Returns:
        The detector.

    Raises:
        WeightsError: If there is none, or it is damaged.
        ConfigError: If a setting is not possible.
    """
    if not str(model):
        raise ConfigError(
            "detector must name a model for a label, got none. Click, or download one with: "
            f"hf download {EXAMPLE_ID} --local-dir FOLDER, and give FOLDER as detector."
        )
    return ZeroShotDetector(model, device=device, min_score=min_score)


class ZeroShotDetector:
    """A zero-shot detector of transformers behind the protocol `LabelDetector`.

    Args:
        model: Folder of the model, or its name on the Hub; a name is looked up on this machine
            only while the variable HF_HUB_OFFLINE is set.
        device: cpu, cuda, cuda:1.
        min_score: Below it a place does not count, 0..1.

    Raises:
        WeightsError: If there is no such model, or it is damaged.
        ConfigError: If it is no zero-shot detector, or torch cannot use the device.

    References:
        Minderer et al., Simple open-vocabulary object detection, 2022; Liu et al., Grounding
        DINO, 2023.
    """

    def __init__(
        self, model: str | Path, *, device: str = "cpu", min_score: float = DEFAULT_MIN_SCORE
    ) -> None:
        if not 0.0 <= min_score < 1.0:
            raise ConfigError(f"min_score must be in 0..1, got {min_score}. Try 0.1.")
        from safetensors import SafetensorError
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        source = _find_source(model)
        try:
            processor = AutoProcessor.from_pretrained(source)
            network = AutoModelForZeroShotObjectDetection.from_pretrained(
                source, use_safetensors=True
            )
        except (*_LOAD_ERRORS, SafetensorError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise WeightsError(
                f"detector must be a whole folder of OWL-ViT, OWLv2 or Grounding DINO, or its name "
                f"on the Hub, got {str(model)!r}: {reason} Download it with: "
                f"hf download {EXAMPLE_ID} --local-dir FOLDER"
            ) from error
        self._kind: str = network.config.model_type
        if self._kind not in (*SENTENCE_MODELS, *CAPTION_MODELS):
            raise ConfigError(
                f"detector must be one of {', '.join((*CAPTION_MODELS, *SENTENCE_MODELS))}, got "
                f"{self._kind!r}. Try {EXAMPLE_ID}."
            )
        try:
            self._network: Any = network.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(
                f"device must be one that torch can use here, got {device!r}: {error}. Try cpu."
            ) from error
        self._processor: Any = processor
        self._min_score = min_score

    @property
    def name(self) -> str:
        """The kind of model."""
        return self._kind

    def detect(self, image: NDArray[np.uint8], label: str) -> list[Detection]:
        """Find what a label names.

        Args:
            image: RGB, uint8 (H, W, 3).
            label: One to a few words, "red mug".

        Returns:
            Places, the likeliest first; at least one.

        Raises:
            InputError: If the image or the label is unusable, or nothing is found.
        """
        import torch
        from PIL import Image

        check_segment_image(image)
        label = clean_label(label)
        is_sentence = self._kind in SENTENCE_MODELS
        text = f"{label.lower()}." if is_sentence else [[f"a photo of a {label}"]]
        inputs = self._processor(text=text, images=Image.fromarray(image), return_tensors="pt").to(
            self._network.device
        )
        limit = getattr(self._network.config.text_config, "max_position_embeddings", None)
        if limit is not None and inputs["input_ids"].shape[1] > limit:
            raise InputError(
                f"label must be short enough for {self._kind} ({limit} tokens), got {label!r}. "
                "Use fewer words."
            )
        with torch.inference_mode():
            outputs = self._network(**inputs)
        post_process = self._processor.post_process_grounded_object_detection
        more = {"input_ids": inputs["input_ids"], "text_threshold": 0.0} if is_sentence else {}
        (answer,) = post_process(outputs, threshold=0.0, target_sizes=[image.shape[:2]], **more)
        boxes = answer["boxes"].float().cpu().numpy().reshape(-1, 4)
        scores = answer["scores"].float().cpu().numpy()
        return self._choose(boxes, scores, label, image.shape[:2])

    def _choose(
        self,
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        label: str,
        size_hw: tuple[int, int],
    ) -> list[Detection]:
        height, width = size_hw
        boxes = boxes.clip(0, [width, height, width, height]).astype(np.float32)
        is_place = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
        is_place &= (boxes[:, 2:] - boxes[:, :2] >= 2).all(axis=1)
        order = [index for index in np.argsort(scores)[::-1] if is_place[index]]
        if not order or scores[order[0]] < self._min_score:
            best = f"{scores[order[0]]:.2f} at best" if order else "nothing"
            raise InputError(
                f"label must name something in the image, got {label!r} with {best} (from "
                f"{self._min_score:g} on it counts). Use other words, or click."
            )
        found: list[Detection] = []
        for index in order:
            is_new = all(_overlap(boxes[index], other.box) < 0.5 for other in found)
            if scores[index] >= self._min_score and is_new:
                score = float(np.clip(scores[index], 0.0, 1.0))
                found.append(Detection(box=boxes[index], score=score))
        return found


def clean_label(label: str) -> str:
    """Check a label, and drop the space around it.

    Args:
        label: As a user wrote it.

    Returns:
        Words, one space between two.

    Raises:
        InputError: If it is empty, too long, or holds what does not print.
    """
    words = " ".join(label.split())
    if not (1 <= len(words) <= MAX_LABEL_CHARACTERS and words.isprintable()):
        raise InputError(
            f"label must have 1 to {MAX_LABEL_CHARACTERS} printable characters, got {words[:40]!r} "
            f"({len(words)}). Name the object in a few words."
        )
    return words


def _find_source(model: str | Path) -> str:
    """Tell a folder from a name on the Hub, so that a wrong path is not looked up there."""
    text = str(model)
    folder = Path(text).expanduser()
    if folder.is_dir():
        return str(folder)
    if text.startswith((".", "~", os.sep)) or text.count("/") != 1:
        raise WeightsError(
            f"detector must be a folder, or a name on the Hub like {EXAMPLE_ID}, got {text!r}. "
            "Check the path."
        )
    return text


def _overlap(box: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    shared = float(np.prod((high - low).clip(0)))
    areas = [float(np.prod(b[2:] - b[:2])) for b in (box, other)]
    return shared / max(sum(areas) - shared, 1e-6)
