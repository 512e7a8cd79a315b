"""Masks: made binary, fitted to an image's size, shrunk to the grids of the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import InputError, ShapeError, check_shape

__all__ = ["binarize_mask", "check_mask_coverage", "fit_mask", "mask_to_grid"]

ASPECT_TOLERANCE = 0.01


def binarize_mask(mask: ArrayLike, *, threshold: float | None = None) -> NDArray[np.bool_]:
    """Make a mask of two values boolean.

    A mask with other values (soft edges, a map of object labels) is refused rather than guessed
    at, unless the caller names a threshold.

    Args:
        mask: (H, W) or (H, W, 1); bool, or numbers that are all 0/1 or all 0/255.
        threshold: Marks what is greater, for masks with soft edges; None demands two values.

    Returns:
        The mask, bool (H, W).

    Raises:
        ShapeError: If the mask is no single-channel image.
        InputError: If it holds values other than 0/1 or 0/255 and no threshold was given.
    """
    array = np.asarray(mask)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    check_shape("mask", array.shape, (None, None), "Send a single-channel mask.")
    if array.size == 0:
        raise ShapeError(
            f"mask must have pixels, got shape {array.shape}. Send a mask of the image's size.",
            array.shape,
            (None, None),
        )
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise InputError(f"mask must be numeric or bool, got {array.dtype}. Send 0/1 or 0/255.")
    if threshold is not None:
        return array > threshold
    marked = array != 0
    values = array[marked]
    if not ((values == 1).all() or (values == 255).all()):
        values = np.unique(array)
        shown = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." * (len(values) > 5))
        raise InputError(
            f"mask must hold only 0/1 or 0/255, got {shown}. "
            "Pick one label, or name a threshold for soft edges."
        )
    return marked


def check_mask_coverage(mask: NDArray[np.bool_], *, name: str = "mask") -> None:
    """Refuse a mask that points at nothing or at everything.

    Args:
        mask: bool (H, W).
        name: What the caller called it.

    Raises:
        InputError: If no pixel or every pixel is marked.
    """
    if not mask.any():
        raise InputError(f"{name} must mark at least one pixel, got none. Select the object again.")
    if mask.all():
        raise InputError(f"{name} must leave some pixels unmarked, got all marked. Is it inverted?")


def fit_mask(
    mask: NDArray[np.bool_],
    size_hw: tuple[int, int],
    *,
    image_size_hw: tuple[int, int] | None = None,
    name: str = "mask",
) -> NDArray[np.bool_]:
    """Resize a mask together with its image.

    Nearest neighbour at pixel centres, so that the mask stays binary and does not shift against
    an image resized by OpenCV. An object smaller than a pixel of the new size keeps one pixel at
    its centre: a target must not vanish silently.

    Args:
        mask: bool (H, W), neither empty nor all ones.
        size_hw: Rows and columns wanted.
        image_size_hw: Rows and columns of the image the mask was drawn on; `size_hw` if None.
        name: What the caller called the mask, for messages.

    Returns:
        The mask, bool, shape `size_hw`, neither empty nor all ones.

    Raises:
        ShapeError: If the mask has another aspect than its image.
        InputError: If it is empty or all ones, before or after the resize.
    """
    check_shape(name, mask.shape, (None, None), "Send a single-channel mask.")
    check_mask_coverage(mask, name=name)
    image_height, image_width = image_size_hw or size_hw
    height, width = mask.shape
    if abs(width * image_height / (height * image_width) - 1.0) > ASPECT_TOLERANCE:
        raise ShapeError(
            f"{name} must have the image's aspect ({image_width}x{image_height}), got "
            f"{width}x{height}. Draw it on the image that is sent.",
            mask.shape,
            (image_height, image_width),
        )
    if (height, width) == tuple(size_hw):
        return mask.copy()
    rows, columns = (
        ((2 * np.arange(new) + 1) * old) // (2 * new)
        for new, old in zip(size_hw, mask.shape, strict=True)
    )
    fitted = mask[np.ix_(rows, columns)]
    if not fitted.any():
        fitted = _mark_center(mask, size_hw)
    check_mask_coverage(fitted, name=f"{name} (resized to {size_hw[1]}x{size_hw[0]})")
    return fitted


def mask_to_grid(mask: NDArray[np.bool_], grid_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Shrink a mask to the latent grid or to the token grid.

    Nearest neighbour as `torch.nn.functional.interpolate` does it: a cell takes its top left
    pixel. An object that falls between those pixels keeps the cell under its centre, where the
    paper's code would hand the model an empty mask.

    Args:
        mask: bool (H, W).
        grid_hw: Rows and columns of the grid.

    Returns:
        0 or 1, float32, shape `grid_hw`.

    References:
        arXiv 2503.18950, section 3 (mask as an extra channel, target of the attention loss).
    """
    check_shape("mask", mask.shape, (None, None), "Send a single-channel mask.")
    rows, columns = (
        (np.arange(new) * old) // new for new, old in zip(grid_hw, mask.shape, strict=True)
    )
    grid = mask[np.ix_(rows, columns)]
    if not grid.any() and mask.any():
        grid = _mark_center(mask, grid_hw)
    return grid.astype(np.float32)


def _mark_center(mask: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    # The marked pixel nearest to the centroid: the centroid itself can lie beside the object.
    pixels = np.argwhere(mask)
    center = pixels[np.argmin(((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1))]
    cell = tuple(
        int(index) * new // old for index, new, old in zip(center, size_hw, mask.shape, strict=True)
    )
    marked = np.zeros(size_hw, dtype=np.bool_)
    marked[cell] = True
    return marked
