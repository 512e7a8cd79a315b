"""Image and CompressedImage messages to arrays and back."""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from tavid_core import image_fields
from tavid_core.errors import InputError
from tavid_core.picture_codecs import decode_picture, encode_jpeg, read_picture_size

__all__ = [
    "check_depth_message",
    "check_image_message",
    "check_mask_message",
    "compressed_from_image",
    "depth_from_message",
    "image_from_message",
    "is_empty_image",
    "mask_from_message",
    "message_from_depth",
    "message_from_image",
    "message_from_mask",
]


def is_empty_image(message: Image) -> bool:
    """Tell whether an image field was left out.

    Args:
        message: A field of a goal.

    Returns:
        True for a default-constructed message.
    """
    return message.width == 0 and message.height == 0 and len(message.data) == 0


def check_image_message(message: Image | CompressedImage, name: str = "image") -> None:
    """Refuse a message that cannot hold a picture, without reading its pixels.

    Args:
        message: Raw (rgb8, bgr8, rgba8, bgra8, mono8) or compressed (JPEG, PNG).
        name: What the sender calls it, for the message.

    Raises:
        InputError: If its fields contradict each other.
    """
    if isinstance(message, CompressedImage):
        read_picture_size(name, bytes(message.data))
    else:
        image_fields.check_color_fields(message, name)


def check_mask_message(message: Image, name: str = "target_mask") -> None:
    """Refuse a message that cannot hold a mask, without reading its pixels.

    Args:
        message: mono8 or 8UC1.
        name: What the sender calls it, for the message.

    Raises:
        InputError: If its fields contradict each other.
    """
    image_fields.check_mask_fields(message, name)


def check_depth_message(message: Image, name: str = "depth") -> None:
    """Refuse a message that cannot hold depth, without reading its pixels.

    Args:
        message: 32FC1 or 16UC1.
        name: What the sender calls it, for the message.

    Raises:
        InputError: If its fields contradict each other.
    """
    image_fields.check_depth_fields(message, name)


def image_from_message(message: Image | CompressedImage, name: str = "image") -> NDArray[np.uint8]:
    """Read a colour image.

    Args:
        message: Raw (rgb8, bgr8, rgba8, bgra8, mono8) or compressed (JPEG, PNG).
        name: What the sender calls it, for the message.

    Returns:
        RGB, uint8 (H, W, 3), not sharing memory with the message.

    Raises:
        InputError: If the message is malformed.
    """
    if isinstance(message, CompressedImage):
        return decode_picture(name, bytes(message.data))
    return image_fields.read_color(message, name)


def mask_from_message(message: Image, name: str = "target_mask") -> NDArray[np.bool_]:
    """Read a mask.

    Args:
        message: mono8 or 8UC1; 0/1 or 0/255.
        name: What the sender calls it, for the message.

    Returns:
        bool (H, W); may be empty or all ones, `PlanRequest` checks that.

    Raises:
        InputError: If the message is malformed or holds other values.
    """
    return image_fields.read_mask(message, name)


def depth_from_message(message: Image, name: str = "depth") -> NDArray[np.float32]:
    """Read a depth image (REP 118).

    Args:
        message: 32FC1 in metres or 16UC1 in millimetres, either byte order.
        name: What the sender calls it, for the message.

    Returns:
        Along the optical axis, float32 (H, W), metres. Unknown is NaN: what came as 0, NaN,
        infinite or negative.

    Raises:
        InputError: If the message is malformed.
    """
    return image_fields.read_depth(message, name)


def _fill(message: Image, values: NDArray[np.generic], encoding: str) -> Image:
    message.height, message.width = values.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    contiguous = np.ascontiguousarray(values)
    little_endian = contiguous.astype(contiguous.dtype.newbyteorder("<"), copy=False)
    message.step = little_endian.nbytes // max(1, message.height)
    # An array('B') is taken over as it is; a list or bytes would be checked byte by byte, which
    # costs up to 500 times more.
    data = array.array("B")
    data.frombytes(memoryview(little_endian).cast("B"))
    message.data = data
    return message


def message_from_image(image: NDArray[np.uint8], header: Header, encoding: str = "rgb8") -> Image:
    """Write a colour image.

    Args:
        image: RGB, uint8 (H, W, 3).
        header: Stamp and frame of the message.
        encoding: "rgb8" or "bgr8".

    Returns:
        The message.

    Raises:
        InputError: If array or encoding are others.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f"image must be uint8 (H, W, 3), got {image.dtype} {image.shape}. Send RGB."
        )
    if encoding not in ("rgb8", "bgr8"):
        raise InputError(f"encoding must be rgb8 or bgr8, got {encoding!r}. Use rgb8.")
    values = image if encoding == "rgb8" else image[:, :, ::-1]
    return _fill(Image(header=header), values, encoding)


def message_from_mask(mask: NDArray[np.bool_], header: Header) -> Image:
    """Write a mask as mono8, 0 and 255.

    Args:
        mask: bool (H, W).
        header: Stamp and frame of the message.

    Returns:
        The message.

    Raises:
        InputError: If the array is another.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise InputError(
            f"mask must be bool (H, W), got {mask.dtype} {mask.shape}. "
            "Use tavid_core.mask.binarize_mask."
        )
    return _fill(Image(header=header), mask.astype(np.uint8) * 255, "mono8")


def message_from_depth(depth_m: NDArray[np.float32], header: Header) -> Image:
    """Write depth as 32FC1.

    Args:
        depth_m: float (H, W), metres; NaN = unknown.
        header: Stamp and frame of the message.

    Returns:
        The message.

    Raises:
        InputError: If the array is another.
    """
    if depth_m.ndim != 2 or depth_m.dtype.kind != "f":
        raise InputError(
            f"depth_m must be float (H, W), got {depth_m.dtype} {depth_m.shape}. Send metres."
        )
    return _fill(Image(header=header), depth_m.astype(np.float32), "32FC1")


def compressed_from_image(
    image: NDArray[np.uint8], header: Header, quality: int = 90
) -> CompressedImage:
    """Write a colour image as JPEG.

    Args:
        image: RGB, uint8 (H, W, 3).
        header: Stamp and frame of the message.
        quality: 1 to 100.

    Returns:
        The message, in the form of image_transport's compressed plugin.
    """
    data = array.array("B")
    data.frombytes(encode_jpeg(image, quality))
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data)
