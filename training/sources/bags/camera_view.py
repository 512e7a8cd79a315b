"""From an image of a bag to a frame of a clip: the same steps that a live image takes."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from tavid_core.distortion import LensDistortion, Rectifier
from tavid_core.errors import ShapeError
from tavid_core.frame_fit import FrameFit
from tavid_core.types import CameraIntrinsics

__all__ = ["CameraView"]


class CameraView:
    """Makes images, masks and depth straight, crops and resizes them, and the intrinsics with them.

    Args:
        image_size_hw: Of the images in the bag, pixels.
        model_size_hw: Of the frames that come out, pixels.
        intrinsics: Of the images in the bag, or None.
        distortion: To be undone, or None.

    Raises:
        InputError: If the distortion cannot be undone.
    """

    def __init__(
        self,
        image_size_hw: tuple[int, int],
        model_size_hw: tuple[int, int],
        intrinsics: CameraIntrinsics | None = None,
        distortion: LensDistortion | None = None,
    ) -> None:
        self._fit = FrameFit(image_size_hw, model_size_hw)
        self._rectifier = None
        if intrinsics is not None and distortion is not None:
            self._rectifier = Rectifier(intrinsics, distortion)
            intrinsics = self._rectifier.intrinsics
        self._intrinsics = None if intrinsics is None else self._fit.fit_intrinsics(intrinsics)

    @property
    def intrinsics(self) -> CameraIntrinsics | None:
        """Of the frames that come out; None if the bag has none."""
        if self._intrinsics is None:
            return None
        return dataclasses.replace(self._intrinsics, has_distortion=False)

    def view_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Make a frame of an image.

        Args:
            image: RGB, uint8 (H, W, 3), as in the bag.

        Returns:
            uint8 (h, w, 3).
        """
        if self._rectifier is not None:
            image = self._rectifier.rectify_image(image)
        return self._fit.fit_image(image)

    def view_mask(
        self, mask: NDArray[np.bool_], *, name: str, may_be_cut: bool
    ) -> NDArray[np.bool_] | None:
        """Make the mask of a frame of an image's mask.

        Args:
            mask: bool (H, W), as in the bag.
            name: What it marks, for the message.
            may_be_cut: Whether a part may lie outside the frame, as an actor's may.

        Returns:
            bool (h, w), or None if it marks nothing in the frame.

        Raises:
            InputError: If the frame would cut the target, or everything is marked.
        """
        if mask.shape != self._fit.image_size_hw:
            raise ShapeError(
                f"{name} must have the image's {self._fit.image_size_hw}, got {mask.shape}. "
                "Record masks of the size of their images."
            )
        if self._rectifier is not None:
            mask = self._rectifier.rectify_mask(mask)
        top, left, rows, columns = self._fit.window
        if not mask.any() or (
            may_be_cut and not mask[top : top + rows, left : left + columns].any()
        ):
            return None
        return self._fit.fit_mask(mask, name=name, may_be_cut=may_be_cut)

    def view_depth(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make the depth of a frame of an image's depth.

        Args:
            depth_m: float32 (H, W), metres, as in the bag; NaN = unknown.

        Returns:
            float32 (h, w), metres; NaN = unknown.

        Raises:
            ShapeError: If it has another size than the image.
        """
        if self._rectifier is not None and depth_m.shape == self._fit.image_size_hw:
            depth_m = self._rectifier.rectify_depth(depth_m)
        return self._fit.fit_depth(depth_m)
