"""Lens distortion: what it is, and how an image, its mask and its depth are made straight together.

The models are those of ROS's camera_info, which are OpenCV's: plumb_bob (Brown-Conrady), the
rational polynomial, and equidistant (fisheye).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics, PlanRequest

__all__ = ["LensDistortion", "Rectifier", "rectify_request"]

_NUM_COEFFICIENTS = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
_FISHEYE = "equidistant"
_CHECK_EVERY_PX = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class LensDistortion:
    """How a lens bends its image.

    Args:
        model: "plumb_bob", "rational_polynomial" or "equidistant"; others can be named but not
            undone.
        coefficients: In OpenCV's order: k1 k2 p1 p2 k3 ..., or k1 k2 k3 k4 of a fisheye.

    Raises:
        InputError: If a number is not finite, or a known model has another count of them.
    """

    model: str
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what no calibration writes."""
        if not np.isfinite(self.coefficients).all():
            raise InputError(
                f"camera_info.d must be finite, got {list(self.coefficients)}. "
                "Calibrate the camera again, or send none."
            )
        counts = _NUM_COEFFICIENTS.get(self.model)
        if counts is not None and len(self.coefficients) not in counts:
            raise InputError(
                f"camera_info.d must have {' or '.join(map(str, counts))} numbers for "
                f"{self.model}, got {len(self.coefficients)}. Check the camera's calibration."
            )

    @property
    def is_known(self) -> bool:
        """Whether the model is one that can be undone."""
        return self.model in _NUM_COEFFICIENTS


class Rectifier:
    """Resamples what a bent lens saw to what a pinhole camera at the same place would have seen.

    The camera frame stays the same, so depth along the optical axis keeps its values. The new
    image has the size of the old one; what its edges could only fill with nothing is cut off
    (OpenCV's alpha 0), so that its focal length is another one.

    Args:
        intrinsics: Of the bent image.
        distortion: Of its lens; a known model.

    Raises:
        InputError: If the model is unknown, or the numbers leave no image.
    """

    def __init__(self, intrinsics: CameraIntrinsics, distortion: LensDistortion) -> None:
        if not distortion.is_known:
            raise InputError(
                f"camera_info.distortion_model must be one of {', '.join(_NUM_COEFFICIENTS)}, got "
                f"{distortion.model[:32]!r}. Send the rectified image (image_proc)."
            )
        matrix = np.array(
            [[intrinsics.fx, 0, intrinsics.cx], [0, intrinsics.fy, intrinsics.cy], [0, 0, 1]]
        )
        bend = np.array(distortion.coefficients)
        size = (intrinsics.width, intrinsics.height)
        try:
            if distortion.model == _FISHEYE:
                new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
                    matrix, bend, size, np.eye(3), balance=0.0
                )
                make_maps = cv2.fisheye.initUndistortRectifyMap
            else:
                new, _ = cv2.getOptimalNewCameraMatrix(matrix, bend, size, alpha=0)
                make_maps = cv2.initUndistortRectifyMap
            self._intrinsics = CameraIntrinsics(
                fx=float(new[0, 0]),
                fy=float(new[1, 1]),
                cx=float(new[0, 2]),
                cy=float(new[1, 2]),
                width=intrinsics.width,
                height=intrinsics.height,
                is_assumed=intrinsics.is_assumed,
            )
            self._maps = make_maps(matrix, bend, np.eye(3), new, size, cv2.CV_32FC1)
            _check_maps(*self._maps)
        except (InputError, cv2.error) as error:
            raise InputError(
                f"camera_info.d must leave an image when it is undone, got "
                f"{list(distortion.coefficients)}. Calibrate the camera again, or set rectify to "
                "never."
            ) from error

    @property
    def intrinsics(self) -> CameraIntrinsics:
        """Of the rectified image."""
        return self._intrinsics

    def rectify_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Make a picture straight.

        Args:
            image: uint8 (H, W, 3), of the size of the intrinsics.

        Returns:
            uint8 (H, W, 3).
        """
        # Replicated, because alpha 0 is found on a coarse grid and may miss a hairline.
        return cv2.remap(image, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def rectify_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Make a mask straight.

        Args:
            mask: bool (H, W), of the size of the intrinsics.

        Returns:
            bool (H, W).
        """
        return cv2.remap(mask.astype(np.uint8), *self._maps, cv2.INTER_NEAREST) > 0

    def rectify_depth(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make a depth image straight, without mixing near and far.

        Args:
            depth_m: float32 (H, W), metres, of the size of the intrinsics; NaN = unknown.

        Returns:
            float32 (H, W), metres; NaN = unknown.
        """
        return cv2.remap(depth_m, *self._maps, cv2.INTER_NEAREST, borderValue=float("nan"))


def _check_maps(columns: NDArray[np.float32], rows: NDArray[np.float32]) -> None:
    """Refuse a lens whose picture would be folded: its polynomial turns back inside the image."""
    coarse = (
        columns[::_CHECK_EVERY_PX, ::_CHECK_EVERY_PX],
        rows[::_CHECK_EVERY_PX, ::_CHECK_EVERY_PX],
    )
    is_ordered = (np.diff(coarse[0], axis=1) > 0).all() and (np.diff(coarse[1], axis=0) > 0).all()
    if not (is_ordered and np.isfinite(coarse).all()):
        raise InputError(
            "camera_info.d must keep the order of pixels, got a fold. Calibrate again."
        )


def rectify_request(request: PlanRequest, distortion: LensDistortion) -> PlanRequest:
    """Undo the lens distortion in everything that has pixels.

    Args:
        request: With intrinsics, those of its bent image.
        distortion: Of the lens; a known model.

    Returns:
        The request in the pixels of the rectified image, with its intrinsics.

    Raises:
        InputError: If the distortion cannot be undone, or the target lies in the part of the
            image that is cut off.
    """
    rectifier = Rectifier(request.intrinsics, distortion)
    target_mask = rectifier.rectify_mask(request.target_mask)
    if not target_mask.any():
        raise InputError(
            "target_mask must mark a pixel that is left when the lens distortion is undone, got "
            "only pixels at the very edge. Turn the camera to the target."
        )
    extra_masks = tuple(rectifier.rectify_mask(mask) for mask in request.extra_masks)
    if not all(mask.any() for mask in extra_masks):
        raise InputError(
            "extra_masks must mark a pixel that is left when the lens distortion is undone, got "
            "only pixels at the very edge. Turn the camera to the targets."
        )
    actor_mask, depth_m = request.actor_mask, request.depth_m
    if actor_mask is not None:
        actor_mask = rectifier.rectify_mask(actor_mask)
        # At the very edge an actor may be cut off; the planner then looks for one itself.
        actor_mask = actor_mask if actor_mask.any() else None
    return dataclasses.replace(
        request,
        image=rectifier.rectify_image(request.image),
        target_mask=target_mask,
        actor_mask=actor_mask,
        extra_masks=extra_masks,
        depth_m=None if depth_m is None else rectifier.rectify_depth(depth_m),
        intrinsics=rectifier.intrinsics,
    )
