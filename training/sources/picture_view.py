"""How a picture of a source becomes the picture of a recording: made straight, then cut out.

Frames, masks, points and intrinsics go through the same view, so that they stay in register.
Pixel (column, row) names the centre of a pixel.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.distortion import LensDistortion, Rectifier
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics

__all__ = ["PictureView", "window_around"]

Window = tuple[int, int, int, int]


class PictureView:
    """Undoes a lens and cuts a window out.

    Args:
        size_hw: Rows and columns of the source's pictures.
        camera: Intrinsics for that size, or None if unknown.
        distortion: Of the lens; None if there is none, or the camera is unknown.
        window: Top, left, rows, columns of the straight picture to keep; None for all.

    Raises:
        InputError: If the camera is for another size, the lens cannot be undone, or the window
            leaves the picture.
    """

    def __init__(
        self,
        size_hw: tuple[int, int],
        camera: CameraIntrinsics | None = None,
        distortion: LensDistortion | None = None,
        window: Window | None = None,
    ) -> None:
        if camera is not None and (camera.height, camera.width) != tuple(size_hw):
            raise InputError(
                f"camera must be for {size_hw[1]}x{size_hw[0]} pixels, got "
                f"{camera.width}x{camera.height}. Scale it."
            )
        is_bent = distortion is not None and any(distortion.coefficients)
        self._source_camera, self._distortion = camera, distortion
        self._rectifier = Rectifier(camera, distortion) if camera is not None and is_bent else None
        self._straight_camera = self._rectifier.intrinsics if self._rectifier else camera
        top, left, rows, columns = window or (0, 0, *size_hw)
        is_inside = top + rows <= size_hw[0] and left + columns <= size_hw[1]
        if min(top, left) < 0 or min(rows, columns) < 1 or not is_inside:
            raise InputError(
                f"window must lie in {size_hw[1]}x{size_hw[0]} pixels, got {window}. Shift it."
            )
        self._window = (top, left, rows, columns)
        self._crop = np.s_[top : top + rows, left : left + columns]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns of the view."""
        return self._window[2:]

    @property
    def camera(self) -> CameraIntrinsics | None:
        """Intrinsics of the view, or None if unknown."""
        if self._straight_camera is None:
            return None
        top, left, rows, columns = self._window
        camera = self._straight_camera
        return dataclasses.replace(
            camera, cx=camera.cx - left, cy=camera.cy - top, width=columns, height=rows
        )

    def apply(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Show a frame.

        Args:
            frame: uint8 (H, W, 3) of the source's size.

        Returns:
            uint8 (h, w, 3) of the view's size.
        """
        return (self._rectifier.rectify_image(frame) if self._rectifier else frame)[self._crop]

    def apply_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Show a mask.

        Args:
            mask: bool (H, W) of the source's size.

        Returns:
            bool (h, w) of the view's size.
        """
        return (self._rectifier.rectify_mask(mask) if self._rectifier else mask)[self._crop]

    def apply_points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Carry points of the source's picture over.

        Args:
            points: Columns and rows, float (..., 2); NaN where unknown.

        Returns:
            The same in pixels of the view; a point may lie outside it.
        """
        points = np.asarray(points, dtype=np.float64)
        if self._rectifier is not None and points.size:
            points = self._straighten(points)
        return points - np.array([self._window[1], self._window[0]], dtype=np.float64)

    def _straighten(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self._distortion is not None
        flat = points.reshape(-1, 2)
        known = np.isfinite(flat).all(axis=1)
        straight = np.full_like(flat, np.nan)
        if known.any():
            bent, new = _matrix(self._source_camera), _matrix(self._straight_camera)
            undo = cv2.undistortPoints
            if self._distortion.model == "equidistant":
                undo = cv2.fisheye.undistortPoints
            coefficients = np.array(self._distortion.coefficients)
            straight[known] = undo(flat[known][:, None], bent, coefficients, R=None, P=new)[:, 0]
        return straight.reshape(points.shape)


def _matrix(camera: CameraIntrinsics | None) -> NDArray[np.float64]:
    assert camera is not None
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])


def window_around(
    box: tuple[float, float, float, float],
    size_hw: tuple[int, int],
    aspect: float,
    *,
    margin_share: float = 0.25,
    min_rows: int = 1,
) -> Window:
    """Choose a window of an aspect around a box, inside the picture.

    Args:
        box: Left, top, right, bottom of what must be seen, pixels.
        size_hw: Rows and columns of the picture.
        aspect: Columns per row.
        margin_share: Room on each side, share of the box's size.
        min_rows: Smallest number of rows, as far as the picture has them.

    Returns:
        Top, left, rows, columns; the largest window of the aspect if the box does not fit.

    Raises:
        InputError: If the box is empty or the aspect is not positive.
    """
    left, top, right, bottom = box
    if not (right >= left and bottom >= top and aspect > 0):
        raise InputError(f"box must be left, top, right, bottom, got {box}. Swap the corners.")
    height, width = size_hw
    rows = max((bottom - top + 1) * (1 + 2 * margin_share), min_rows)
    rows = max(rows, (right - left + 1) * (1 + 2 * margin_share) / aspect)
    rows = min(math.ceil(rows), height, max(1, int(width / aspect)))
    columns = min(width, max(1, round(rows * aspect)))
    first_row = round((top + bottom + 1 - rows) / 2)
    first_column = round((left + right + 1 - columns) / 2)
    return (
        min(max(first_row, 0), height - rows),
        min(max(first_column, 0), width - columns),
        rows,
        columns,
    )
