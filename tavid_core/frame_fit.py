"""From the caller's image to the model's and back: one centred crop, one resize."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tavid_core.errors import InputError, check_shape
from tavid_core.mask import fit_mask
from tavid_core.types import CameraIntrinsics

__all__ = ["FrameFit"]


@dataclasses.dataclass(frozen=True)
class FrameFit:
    """How an image of any size becomes one of the model's size.

    The largest centred window of the model's aspect is cut out and resized. Nothing is stretched
    and no border is added, since the model has seen neither. Pixel (column, row) names the centre
    of a pixel, as in `tavid_core.camera`.

    Args:
        image_size_hw: Rows and columns of the caller's image.
        model_size_hw: Rows and columns of the model's images.

    Raises:
        InputError: If a size is not positive.
    """

    image_size_hw: tuple[int, int]
    model_size_hw: tuple[int, int]

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(*self.image_size_hw, *self.model_size_hw) <= 0:
            raise InputError(
                f"image_size_hw and model_size_hw must be positive, got {self.image_size_hw} and "
                f"{self.model_size_hw}. Pass (rows, columns)."
            )

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The window cut out of the caller's image: top, left, rows, columns, in its pixels."""
        height, width = self.image_size_hw
        model_height, model_width = self.model_size_hw
        rows = min(height, max(1, round(width * model_height / model_width)))
        columns = min(width, max(1, round(height * model_width / model_height)))
        return (height - rows) // 2, (width - columns) // 2, rows, columns

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Caller's pixels per model pixel, along the columns and along the rows."""
        _, _, rows, columns = self.window
        return columns / self.model_size_hw[1], rows / self.model_size_hw[0]

    def fit_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop and resize an image.

        Args:
            image: uint8 (H, W, 3) of the caller's size.

        Returns:
            uint8 (h, w, 3) of the model's size.

        Raises:
            ShapeError: If the image has another size.
        """
        check_shape(
            "image", image.shape, (*self.image_size_hw, 3), "Fit the image it was made for."
        )
        cropped = self._crop(image)
        if cropped.shape[:2] == tuple(self.model_size_hw):
            return cropped.copy()
        # Averaging while shrinking keeps thin things such as fingers; it makes blocks of enlarged
        # pixels, where a linear ramp is wanted.
        shrinks = min(self.scale_xy) >= 1.0
        return cv2.resize(
            np.ascontiguousarray(cropped),
            self.model_size_hw[::-1],
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )

    def fit_mask(
        self, mask: NDArray[np.bool_], *, name: str = "target_mask", may_be_cut: bool = False
    ) -> NDArray[np.bool_]:
        """Crop and resize a mask with its image.

        Args:
            mask: bool (H, W) of the caller's size.
            name: What the caller called it.
            may_be_cut: Whether marked pixels may lie outside the window, as an actor's do; a
                target must be whole.

        Returns:
            bool (h, w) of the model's size, neither empty nor all ones.

        Raises:
            ShapeError: If the mask has another size than the image.
            InputError: If the window cuts the target, or nothing or everything is left.
        """
        check_shape(name, mask.shape, self.image_size_hw, "Draw it on the image that is sent.")
        cropped = self._crop(mask)
        num_lost = int(mask.sum()) - int(cropped.sum())
        if num_lost and not may_be_cut:
            top, left, rows, columns = self.window
            raise InputError(
                f"{name} must lie within columns {left}..{left + columns - 1} and rows "
                f"{top}..{top + rows - 1}, got {num_lost} pixels outside. The model sees a centred "
                f"{self.model_size_hw[1]}:{self.model_size_hw[0]} window of the image: move the "
                "camera, or crop the image around the object."
            )
        return fit_mask(cropped, self.model_size_hw, image_size_hw=cropped.shape, name=name)

    def fit_depth(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Crop and resize depth with its image, without mixing near and far.

        Args:
            depth_m: float32 (H, W) of the caller's size, metres; NaN = unknown.

        Returns:
            float32 (h, w) of the model's size, metres: of the pixel nearest to each one's centre.

        Raises:
            ShapeError: If it has another size than the image.
        """
        check_shape("depth", depth_m.shape, self.image_size_hw, "Register it to the image.")
        cropped = self._crop(depth_m)
        rows, columns = (
            ((2 * np.arange(new) + 1) * old) // (2 * new)
            for new, old in zip(self.model_size_hw, cropped.shape, strict=True)
        )
        return cropped[np.ix_(rows, columns)]

    def fit_intrinsics(self, intrinsics: CameraIntrinsics) -> CameraIntrinsics:
        """Carry intrinsics over to the model's image.

        Args:
            intrinsics: Of the caller's image.

        Returns:
            Of the model's image.
        """
        top, left, _, _ = self.window
        along_x, along_y = self.scale_xy
        return dataclasses.replace(
            intrinsics,
            fx=intrinsics.fx / along_x,
            fy=intrinsics.fy / along_y,
            cx=(intrinsics.cx - left + 0.5) / along_x - 0.5,
            cy=(intrinsics.cy - top + 0.5) / along_y - 0.5,
            width=self.model_size_hw[1],
            height=self.model_size_hw[0],
        )

    def pixels_to_caller(self, pixels: ArrayLike) -> NDArray[np.float32]:
        """Map pixels of the model's frames to the caller's image.

        Args:
            pixels: Column and row, (..., 2), model pixels; NaN stays NaN.

        Returns:
            Column and row, float32 (..., 2), caller's pixels.

        Raises:
            ShapeError: If the last axis is not 2 long.
        """
        top, left, _, _ = self.window
        moved = (
            (_check_pixels(pixels) + 0.5) * np.array(self.scale_xy) - 0.5 + np.array([left, top])
        )
        return moved.astype(np.float32)

    def pixels_to_model(self, pixels: ArrayLike) -> NDArray[np.float32]:
        """Map pixels of the caller's image to the model's frames.

        Args:
            pixels: Column and row, (..., 2), caller's pixels; NaN stays NaN.

        Returns:
            Column and row, float32 (..., 2), model pixels; outside the frame where cut off.

        Raises:
            ShapeError: If the last axis is not 2 long.
        """
        top, left, _, _ = self.window
        moved = (_check_pixels(pixels) - np.array([left, top]) + 0.5) / np.array(
            self.scale_xy
        ) - 0.5
        return moved.astype(np.float32)

    def map_to_caller(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lay a map over the caller's image, such as the attention map of a rollout.

        Args:
            values: float32 (h, w), covers the model's image whatever its own resolution.

        Returns:
            float32 (H, W) of the caller's size; 0 outside the window.

        Raises:
            ShapeError: If the map has more or fewer than two axes.
        """
        check_shape("values", values.shape, (None, None), "Pass one map.")
        top, left, rows, columns = self.window
        laid = np.zeros(self.image_size_hw, dtype=np.float32)
        laid[top : top + rows, left : left + columns] = cv2.resize(
            np.ascontiguousarray(values, dtype=np.float32),
            (columns, rows),
            interpolation=cv2.INTER_LINEAR,
        )
        return laid

    def _crop(self, array: NDArray) -> NDArray:
        top, left, rows, columns = self.window
        return array[top : top + rows, left : left + columns]


def _check_pixels(pixels: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(pixels, dtype=np.float64)
    check_shape("pixels", array.shape[-1:], (2,), "Give column and row on the last axis.")
    return array
