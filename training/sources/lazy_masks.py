"""Masks that are decoded when somebody looks at them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.mask import ASPECT_TOLERANCE

__all__ = ["LazyMasks", "decode_mask_picture", "read_mask_picture", "resize_mask"]

MAX_FILE_BYTES = 64 << 20

Mask = NDArray[np.bool_]


class LazyMasks(Mapping[int, Mask]):
    """Masks by frame; the last ones looked at are kept, as the cutter asks for them twice.

    Args:
        loaders: What decodes the mask of a frame.
        num_kept: How many decoded masks stay in memory.
    """

    def __init__(self, loaders: Mapping[int, Callable[[], Mask]], num_kept: int = 4) -> None:
        self._loaders = dict(loaders)
        self._num_kept = num_kept
        self._kept: OrderedDict[int, Mask] = OrderedDict()

    def __getitem__(self, frame: int) -> Mask:
        """Decode the mask of a frame."""
        if frame not in self._kept:
            self._kept[frame] = self._loaders[frame]()
            while len(self._kept) > self._num_kept:
                self._kept.popitem(last=False)
        return self._kept[frame]

    def __contains__(self, frame: object) -> bool:
        """Tell whether a frame has a mask, without decoding it."""
        return frame in self._loaders

    def __iter__(self) -> Iterator[int]:
        """List the frames that have a mask, in order."""
        return iter(sorted(self._loaders))

    def __len__(self) -> int:
        """Count the masks."""
        return len(self._loaders)


def decode_mask_picture(data: bytes, size_hw: tuple[int, int], name: str) -> Mask:
    """Decode a mask picture; what is brighter than half is marked.

    Args:
        data: A PNG, or a JPEG, whose edges are soft; a file of 0 and 1 is understood too.
        size_hw: Rows and columns of its image; a mask of the same aspect is resized.
        name: For the message.

    Returns:
        bool, shape `size_hw`; may be empty.

    Raises:
        InputError: If it cannot be decoded, or has another aspect.
    """
    buffer = np.frombuffer(data, dtype=np.uint8)
    try:
        picture = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE) if len(buffer) else None
    except cv2.error:
        picture = None
    if picture is None:
        raise InputError(
            f"mask must be a PNG or JPEG, got a file that does not decode: {name}. Save it again."
        )
    return resize_mask(picture > (127 if picture.max() > 1 else 0), size_hw, name)


def read_mask_picture(path: Path, size_hw: tuple[int, int]) -> Mask:
    """Read a mask from a picture file, see `decode_mask_picture`.

    Args:
        path: PNG or JPEG.
        size_hw: Rows and columns of its image.

    Returns:
        bool, shape `size_hw`; may be empty.

    Raises:
        InputError: If it cannot be read, or has another aspect.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise InputError(
            f"mask must be a readable file, got {error.strerror}: {path.name}. Check the folder."
        ) from error
    if size > MAX_FILE_BYTES:
        raise InputError(f"mask must have at most {MAX_FILE_BYTES} bytes, got {size}: {path.name}.")
    return decode_mask_picture(data, size_hw, path.name)


def resize_mask(mask: Mask, size_hw: tuple[int, int], name: str) -> Mask:
    """Bring a mask to the size of its image.

    Args:
        mask: bool (H, W).
        size_hw: Rows and columns wanted.
        name: For the message.

    Returns:
        bool, shape `size_hw`.

    Raises:
        InputError: If it has another aspect.
    """
    (height, width), (rows, columns) = mask.shape, size_hw
    if (height, width) == (rows, columns):
        return mask
    # One pixel of rounding is no other aspect.
    error = abs(width * rows / (height * columns) - 1.0)
    if error > ASPECT_TOLERANCE + 1 / min(height, width):
        raise InputError(
            f"mask must have the aspect of its image ({columns}x{rows}), got {width}x{height}: "
            f"{name}. Draw it on that image."
        )
    resized = cv2.resize(mask.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST)
    return resized > 0
