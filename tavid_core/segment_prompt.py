"""What points at a target, checked once, and what a segmenter answers."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import InputError, ShapeError, check_shape
from tavid_core.types import MAX_IMAGE_SIDE_PX

__all__ = ["MAX_POINTS", "MIN_IMAGE_SIDE_PX", "Segmentation", "TargetPrompt", "check_segment_image"]

MIN_IMAGE_SIDE_PX = 16
MAX_POINTS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation:
    """A mask with its origin.

    Args:
        mask: The target, bool (H, W), neither empty nor all marked.
        score: 0..1. Of "sam" its own estimate of the overlap with the truth; of "grabcut" how
            clearly the target stands out and how little the click's place matters. The two do not
            compare.
        method: "sam" or "grabcut"; for a label with the detector before it, "owlvit+grabcut".
        note: What else is worth telling, or "".
    """

    mask: NDArray[np.bool_]
    score: float
    method: str
    note: str = ""

    def describe(self) -> str:
        """Say in one line what was marked, by which method, and how sure it is.

        Returns:
            A sentence without a full stop.
        """
        num_pixels = int(self.mask.sum())
        line = (
            f"{num_pixels} pixels ({100 * num_pixels / self.mask.size:.1f} %) marked by "
            f"{self.method}, score {self.score:.2f}"
        )
        return f"{line}; {self.note}" if self.note else line


@dataclasses.dataclass(frozen=True)
class TargetPrompt:
    """Clicks and a box on one image, checked against its size.

    Args:
        points: Column and row, float32 (N, 2), pixels, the centre of the first pixel is (0, 0).
        labels: True = on the target, False = not on it, bool (N,).
        box: First and last column and row, float32 (4,): x0, y0, x1, y1; or None.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.bool_]
    box: NDArray[np.float32] | None

    @classmethod
    def of(
        cls,
        points: ArrayLike | None,
        labels: ArrayLike | None,
        box: ArrayLike | None,
        size_hw: tuple[int, int],
    ) -> TargetPrompt:
        """Check what a caller sent.

        Args:
            points: Column and row of each click, (N, 2), pixels, or None.
            labels: 1 = on the target, 0 = not on it, (N,); None = all on it.
            box: x0, y0, x1, y1, pixels, around the target, or None.
            size_hw: Rows and columns of the image.

        Returns:
            The prompt, neither without a click on the target nor without a box.

        Raises:
            InputError: If nothing points at the target, or something lies outside the image.
        """
        clicks = _floats("points", [] if points is None else points)
        if clicks.size == 0:
            clicks = clicks.reshape(0, 2)
        check_shape("points", clicks.shape, (None, 2), "Give column and row of each click.")
        if len(clicks) > MAX_POINTS:
            raise InputError(
                f"points must be at most {MAX_POINTS}, got {len(clicks)}. Draw a box instead."
            )
        marks = _read_labels(labels, len(clicks))
        checked_box = None if box is None else _read_box(box, size_hw)
        if checked_box is None and not marks.any():
            raise InputError(
                f"points must hold a click on the target, got {len(clicks)} beside it and no box. "
                "Click on the object."
            )
        height, width = size_hw
        for x, y in clicks:
            # A pixel reaches half a pixel around its centre.
            if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
                raise InputError(
                    f"points must lie in the image ({width}x{height} pixels), got ({x:g}, {y:g}). "
                    "Give column and row in pixels."
                )
        return cls(clicks, marks, checked_box)

    def pixels(self, label: bool) -> list[tuple[int, int]]:
        """List the clicked pixels.

        Args:
            label: True = those on the target, False = those beside it.

        Returns:
            Column and row of each.
        """
        clicked = np.rint(self.points[self.labels == label]).astype(int)
        return [(max(0, int(x)), max(0, int(y))) for x, y in clicked]


def check_segment_image(image: NDArray[np.uint8]) -> None:
    """Refuse what is no picture.

    Args:
        image: Should be RGB, uint8 (H, W, 3).

    Raises:
        InputError: If it is not, or is too small or too large.
    """
    check_shape("image", np.shape(image), (None, None, 3), "Send an RGB image.")
    if image.dtype != np.uint8:
        raise InputError(f"image must be uint8, got {image.dtype}. Scale it to 0..255.")
    height, width = image.shape[:2]
    if not MIN_IMAGE_SIDE_PX <= min(height, width) <= max(height, width) <= MAX_IMAGE_SIDE_PX:
        raise ShapeError(
            f"image must have sides of {MIN_IMAGE_SIDE_PX} to {MAX_IMAGE_SIDE_PX} pixels, got "
            f"{width}x{height}. Resize it.",
            image.shape,
            (None, None, 3),
        )


def _floats(name: str, values: ArrayLike) -> NDArray[np.float32]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be numbers, got {values!r:.60}. Give pixels.") from error
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite, got NaN or infinity. Give pixels.")
    # Beyond any image, but still exact enough to be refused with its value.
    return array.clip(-1e9, 1e9).astype(np.float32)


def _read_labels(labels: ArrayLike | None, num_points: int) -> NDArray[np.bool_]:
    if labels is None:
        return np.ones(num_points, dtype=np.bool_)
    marks = _floats("labels", labels).reshape(-1)
    if len(marks) != num_points:
        raise InputError(
            f"labels must be one per point ({num_points}), got {len(marks)}. Add or drop some."
        )
    if num_points and not np.isin(marks, [0, 1]).all():
        raise InputError(
            f"labels must be 0 or 1, got {marks.tolist()}. Send 1 for clicks on the target."
        )
    return marks.astype(np.bool_)


def _read_box(box: ArrayLike, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    corners = _floats("box", box)
    check_shape("box", corners.shape, (4,), "Give x0, y0, x1, y1.")
    height, width = size_hw
    x0, y0, x1, y1 = corners
    if not (0 <= x0 <= x1 - 2 and x1 <= width and 0 <= y0 <= y1 - 2 and y1 <= height):
        raise InputError(
            f"box must be x0 y0 x1 y1 inside the image ({width}x{height} pixels), two pixels or "
            f"more each way, got {' '.join(f'{value:g}' for value in corners)}. Draw it again."
        )
    return corners
