"""Inputs of a request read from files: picture, mask, depth, camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_json
from tavid_core.errors import InputError
from tavid_core.mask import fit_mask
from tavid_core.types import CameraIntrinsics

__all__ = ["read_camera", "read_depth", "read_image", "read_mask"]

MAX_FILE_BYTES = 256 << 20
MILLIMETRES_PER_METRE = 1000.0


def read_image(path: str | Path, name: str = "image") -> NDArray[np.uint8]:
    """Read a picture, turned as its camera says (EXIF).

    Args:
        path: PNG or JPEG.
        name: What the user calls it, for the message.

    Returns:
        RGB, uint8 (H, W, 3); grey becomes RGB, alpha is dropped.

    Raises:
        InputError: If it cannot be read.
    """
    return np.ascontiguousarray(_decode(path, name, cv2.IMREAD_COLOR)[..., ::-1])


def read_mask(path: str | Path, size_hw: tuple[int, int], name: str = "mask") -> NDArray[np.bool_]:
    """Read a mask picture: what is bright and opaque is marked.

    Bright means more than half of the file's range; a file of 0 and 1 is understood too. Of
    several colour channels the brightest counts. In a file whose colours are all the same the
    alpha channel alone is the mask. Another size of the same aspect is resized.

    Args:
        path: PNG or JPEG; grey, RGB or RGBA, 8 or 16 bit.
        size_hw: Rows and columns of the image.
        name: What the user calls it, for the message.

    Returns:
        bool (H, W), neither empty nor all marked.

    Raises:
        InputError: If it cannot be read, marks nothing or everything, or has another aspect.
    """
    picture = _decode(path, name, cv2.IMREAD_UNCHANGED)
    picture = picture[..., None] if picture.ndim == 2 else picture
    has_alpha = picture.shape[2] in (2, 4)
    colors = picture[..., :-1] if has_alpha else picture
    brightness = colors.max(axis=2)
    mask = _is_high(brightness)
    if has_alpha:
        is_opaque = _is_high(picture[..., -1])
        mask = is_opaque if brightness.min() == brightness.max() else mask & is_opaque
    return fit_mask(mask, size_hw, name=name)


def read_depth(path: str | Path, name: str = "depth") -> NDArray[np.float32]:
    """Read a depth map.

    Args:
        path: PNG of 16 bit in millimetres, 0 = unknown; or .npy of floats in metres.
        name: What the user calls it, for the message.

    Returns:
        float32 (H, W), metres, NaN = unknown.

    Raises:
        InputError: If it is neither.
    """
    if Path(path).suffix.lower() == ".npy":
        return _read_npy(path, name)
    millimetres = _decode(path, name, cv2.IMREAD_UNCHANGED)
    if millimetres.dtype != np.uint16 or millimetres.ndim != 2:
        raise InputError(
            f"{name} must be a 16-bit grey PNG in millimetres or an .npy in metres, got "
            f"{millimetres.dtype} {millimetres.shape}: {path}. Save it without colours."
        )
    depth_m = millimetres.astype(np.float32) / MILLIMETRES_PER_METRE
    depth_m[millimetres == 0] = np.nan
    return depth_m


def read_camera(path: str | Path, name: str = "camera") -> CameraIntrinsics:
    """Read intrinsics from a JSON file, see `tavid_core.camera.intrinsics_from_json`.

    Args:
        path: The file.
        name: What the user calls it, for the message.

    Returns:
        The intrinsics.

    Raises:
        InputError: If it cannot be read or holds none.
    """
    try:
        text = _read_bytes(path, name).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} must be a JSON text, got {error}: {path}. Repair it.") from error
    return intrinsics_from_json(text)


def _is_high(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.max() <= 1:
        return values > 0
    return values > np.iinfo(values.dtype).max // 2


def _read_bytes(path: str | Path, name: str) -> bytes:
    path = Path(path).expanduser()
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(
                f"{name} must have at most {MAX_FILE_BYTES} bytes, got {path.stat().st_size}: "
                f"{path}. Resize it."
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{name} must be a readable file, got {error.strerror}: {path}. Check the path."
        ) from error


def _decode(path: str | Path, name: str, flags: int) -> NDArray[Any]:
    data = np.frombuffer(_read_bytes(path, name), dtype=np.uint8)
    try:
        picture = cv2.imdecode(data, flags) if len(data) else None
    except cv2.error:
        picture = None
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{name} must be a PNG or JPEG, got a file that does not decode: {path}. Save it again."
        )
    return picture


def _read_npy(path: str | Path, name: str) -> NDArray[np.float32]:
    try:
        array = np.load(Path(path).expanduser(), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{name} must be a readable .npy of floats, got {error}: {path}. Check the path."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != 2:
        raise InputError(
            f"{name} must be an .npy of floats with shape (H, W), got "
            f"{getattr(array, 'dtype', 'an archive')} {getattr(array, 'shape', '')}: {path}. "
            "Save metres, one number per pixel."
        )
    return array.astype(np.float32)
