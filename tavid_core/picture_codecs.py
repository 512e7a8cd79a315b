"""JPEG and PNG bytes to pixels, with the size read from the header before anything is decoded.

A picture of a few kilobytes can claim gigabytes of pixels; so the claim is checked first. Live
messages and those of recorded bags are decoded here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.types import MAX_IMAGE_SIDE_PX

__all__ = [
    "MAX_COMPRESSED_BYTES",
    "check_picture",
    "decode_picture",
    "encode_jpeg",
    "read_picture_size",
]

MAX_COMPRESSED_BYTES = 64 * 1024 * 1024

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"
# Start-of-frame markers of ITU-T T.81, table B.1; C4, C8 and CC are other segments.
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
# A progressive picture has about ten; each one costs a pass over all pixels.
_MAX_JPEG_SCANS = 100
_PNG_END = b"IEND"


def read_picture_size(name: str, data: bytes) -> tuple[int, int]:
    """Read the size that a JPEG or PNG claims, without decoding it.

    Args:
        name: What the sender calls the picture, for the message.
        data: The compressed bytes.

    Returns:
        Height and width, pixels.

    Raises:
        InputError: If it is neither JPEG nor PNG, too long, cut off, or made to keep its reader
            busy.
    """
    if len(data) > MAX_COMPRESSED_BYTES:
        raise InputError(
            f"{name}.data must have at most {MAX_COMPRESSED_BYTES} bytes, got {len(data)}. "
            "Compress it more."
        )
    if data.startswith(_PNG_SIGNATURE):
        size, is_whole = _read_png_size(data), data.rfind(_PNG_END) > 0
    elif data.startswith(_JPEG_SIGNATURE):
        size = _read_jpeg_size(data)
        # A decoder fills what is cut off with grey and says nothing.
        is_whole = data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN) > 0
        _check_scans(name, data)
    else:
        raise InputError(
            f"{name}.data must be a JPEG or PNG file, got bytes that begin with "
            f"{data[:4].hex() or 'nothing'}. Publish it with image_transport's compressed plugin."
        )
    if size is None:
        raise InputError(
            f"{name}.data must hold a whole picture, got {len(data)} bytes that end in its header. "
            "Send it again."
        )
    height, width = size
    if not (1 <= height <= MAX_IMAGE_SIDE_PX and 1 <= width <= MAX_IMAGE_SIDE_PX):
        raise InputError(
            f"{name} must have sides of 1 to {MAX_IMAGE_SIDE_PX} pixels, got {width}x{height}. "
            "Resize it before sending."
        )
    if not is_whole:
        raise InputError(
            f"{name}.data must hold a whole picture, got {len(data)} bytes without its end mark. "
            "Send it again."
        )
    return size


def _check_scans(name: str, data: bytes) -> None:
    num_scans = data.count(_JPEG_SCAN)
    if num_scans > _MAX_JPEG_SCANS:
        raise InputError(
            f"{name}.data must have at most {_MAX_JPEG_SCANS} scans, got {num_scans}. "
            "Send a baseline JPEG."
        )


def _read_png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _read_jpeg_size(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _JPEG_BARE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAME_MARKERS:
            if position + 9 > len(data):
                return None
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            return height, int.from_bytes(data[position + 7 : position + 9], "big")
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def check_picture(name: str, data: bytes) -> None:
    """Find out whether a JPEG or PNG can be decoded, in less time than decoding it takes.

    Args:
        name: What the sender calls the picture, for the message.
        data: The compressed bytes.

    Raises:
        InputError: If it is no JPEG or PNG, too large, or damaged.
    """
    height, width = read_picture_size(name, data)
    # A JPEG is read to its end, but only the mean of each block is worked out.
    _decode(name, data, cv2.IMREAD_REDUCED_GRAYSCALE_8, (height, width))


def decode_picture(name: str, data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG.

    A rotation in its EXIF data is not followed, so that masks and intrinsics keep fitting the
    pixels.

    Args:
        name: What the sender calls the picture, for the message.
        data: The compressed bytes.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        InputError: If it is no JPEG or PNG, too large, or damaged.
    """
    size = read_picture_size(name, data)
    image = _decode(name, data, cv2.IMREAD_COLOR, size)
    if image.shape[:2] != size:
        raise _make_damage_error(name, size)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode(name: str, data: bytes, flags: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(
            np.frombuffer(data, dtype=np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise InputError(
            f"{name}.data must be decodable, got {error.err!r}. Send it again."
        ) from error
    if image is None:
        raise _make_damage_error(name, size)
    return image


def _make_damage_error(name: str, size: tuple[int, int]) -> InputError:
    return InputError(
        f"{name}.data must decode to {size[1]}x{size[0]} pixels, got damaged data. "
        "Send the picture again."
    )


def encode_jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Compress an image.

    Args:
        image: RGB, uint8 (H, W, 3).
        quality: 1 to 100.

    Returns:
        A JPEG file.

    Raises:
        InputError: If OpenCV cannot encode it.
    """
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    is_encoded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not is_encoded:
        raise InputError(
            f"image must be encodable as JPEG, got shape {image.shape}. Send RGB uint8."
        )
    return data.tobytes()
