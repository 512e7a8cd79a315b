"""Image messages: every encoding, padding and byte order; malformed ones give typed errors only."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from tavid_core.errors import InputError, TavidError
from tavid_core.picture_codecs import read_picture_size
from tavid_ros import conversions
from tests.ros.messages import make_image_message


def read_or_refuse(read, message):
    """Return what was read, or None for a typed error; let any other exception through."""
    try:
        return read(message)
    except TavidError:
        return None


RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
ALPHA = np.full((6, 5, 1), 77, np.uint8)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[:, :, ::-1]),
        ("rgba8", np.concatenate([RGB, ALPHA], axis=2)),
        ("bgra8", np.concatenate([RGB[:, :, ::-1], ALPHA], axis=2)),
    ],
)
def test_color_encodings_give_the_same_rgb(encoding, stored, padding):
    message = make_image_message(stored, encoding, padding)
    np.testing.assert_array_equal(conversions.image_from_message(message), RGB)


def test_mono_is_spread_over_three_channels():
    image = conversions.image_from_message(make_image_message(RGB[:, :, 0], "mono8", 2))
    np.testing.assert_array_equal(image, np.repeat(RGB[:, :, :1], 3, axis=2))


def test_result_does_not_share_memory_with_the_message():
    message = make_image_message(RGB, "rgb8")
    image = conversions.image_from_message(message)
    before = image.copy()
    message.data[0] = (message.data[0] + 1) % 256
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "bool"])
@pytest.mark.parametrize("marked", [1, 255])
def test_masks_of_both_value_ranges(encoding, marked):
    mask = RGB[:, :, 0] > 128
    message = make_image_message(mask.astype(np.uint8) * marked, encoding, padding=1)
    np.testing.assert_array_equal(conversions.mask_from_message(message), mask)


def test_rgb_mask_is_refused_with_advice():
    with pytest.raises(InputError, match=r"target_mask.encoding .* send image\[:, :, 0\] as mono8"):
        conversions.mask_from_message(make_image_message(RGB, "rgb8"))


def test_mask_with_labels_is_refused():
    with pytest.raises(InputError, match="target_mask: mask must hold only 0/1 or 0/255"):
        conversions.mask_from_message(make_image_message(RGB[:, :, 0] % 4, "mono8"))


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("padding", [0, 2])
def test_depth_units_and_byte_orders_agree(is_bigendian, padding):
    depth_m = np.array([[0.5, 1.25, 0.0], [2.0, 65.535, 0.001]], np.float32)
    millimetres = make_image_message(
        np.round(depth_m * 1000).astype(np.uint16), "16UC1", padding, is_bigendian
    )
    metres = make_image_message(depth_m, "32FC1", padding, is_bigendian)
    expected = np.where(depth_m == 0, np.nan, depth_m)
    for message in (millimetres, metres):
        read = conversions.depth_from_message(message)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, expected, atol=1e-6)


def test_unknown_depth_is_nan():
    depth = np.array([[np.inf, -np.inf, np.nan, -1.0, 0.0, 1.0]], np.float32)
    read = conversions.depth_from_message(make_image_message(depth, "32FC1"))
    np.testing.assert_array_equal(np.isnan(read), [[True] * 5 + [False]])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": bytes(89)}, "image.data must have step x height = 90 bytes, got 89"),
        ({"data": b""}, "got 0"),
        ({"step": 14}, "image.step must be at least 15"),
        ({"step": 0}, "image.step must be at least 15"),
        ({"height": 2**31 - 1}, "sides of 1 to 4096"),
        ({"height": 2**32 - 1}, "sides of 1 to 4096"),
        ({"height": 0, "data": b""}, "sides of 1 to 4096"),
        ({"encoding": "16UC3"}, "image.encoding must be one of rgb8"),
        ({"encoding": "x" * 5000}, "image.encoding must be one of rgb8"),
    ],
)
def test_contradicting_fields_are_refused(change, match):
    message = make_image_message(RGB, "rgb8")
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(InputError, match=match) as caught:
        conversions.image_from_message(message)
    assert len(str(caught.value)) < 400


def test_writing_and_reading_is_exact():
    header = Header(frame_id="optical")
    for encoding in ("rgb8", "bgr8"):
        message = conversions.message_from_image(RGB, header, encoding)
        assert isinstance(message.data, array.array)
        assert message.header.frame_id == "optical"
        np.testing.assert_array_equal(conversions.image_from_message(message), RGB)
    mask = RGB[:, :, 1] > 99
    read = conversions.mask_from_message(conversions.message_from_mask(mask, header))
    np.testing.assert_array_equal(read, mask)
    depth = RNG.uniform(0.1, 3, (4, 7)).astype(np.float32)
    read = conversions.depth_from_message(conversions.message_from_depth(depth, header))
    np.testing.assert_array_equal(read, depth)


def test_writers_refuse_other_arrays():
    with pytest.raises(InputError, match="image must be uint8"):
        conversions.message_from_image(RGB.astype(float), Header())
    with pytest.raises(InputError, match="encoding must be rgb8 or bgr8"):
        conversions.message_from_image(RGB, Header(), "mono8")
    with pytest.raises(InputError, match="mask must be bool"):
        conversions.message_from_mask(RGB[:, :, 0], Header())
    with pytest.raises(InputError, match="depth_m must be float"):
        conversions.message_from_depth(RGB[:, :, 0], Header())


def smooth_image() -> np.ndarray:
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([rows * 4, columns * 4, rows + columns], axis=2).astype(np.uint8)


def test_jpeg_and_png_come_back_as_rgb():
    image = smooth_image()
    jpeg = conversions.compressed_from_image(image, Header(), quality=95)
    assert "jpeg" in jpeg.format
    assert np.abs(conversions.image_from_message(jpeg).astype(int) - image).mean() < 4
    png = CompressedImage(format="png", data=cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())
    np.testing.assert_array_equal(conversions.image_from_message(png), image)


def test_claimed_size_is_checked_before_decoding():
    data = bytearray(cv2.imencode(".png", smooth_image())[1].tobytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match="sides of 1 to 4096 pixels, got 60000x60000"):
        conversions.check_image_message(CompressedImage(data=bytes(data)))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_other_or_cut_files_are_refused(data):
    with pytest.raises(InputError, match=r"image\.data must"):
        conversions.image_from_message(CompressedImage(data=data))


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_size_in_the_header_is_read_right(extension):
    data = cv2.imencode(extension, smooth_image())[1].tobytes()
    assert read_picture_size("image", data) == (40, 60)


@given(data=st.binary(max_size=200), cut=st.integers(0, 400), flip=st.integers(0, 10_000))
@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_damaged_pictures_give_an_array_or_a_typed_error(extension, data, cut, flip):
    picture = bytearray(cv2.imencode(extension, smooth_image())[1].tobytes())
    picture[flip % len(picture)] ^= 0x55
    for candidate in (bytes(picture), bytes(picture[:cut]), bytes(picture[:cut]) + data):
        message = CompressedImage(data=candidate)
        image = read_or_refuse(conversions.image_from_message, message)
        assert image is None or (image.dtype == np.uint8 and image.ndim == 3)
