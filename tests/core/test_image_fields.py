"""What is read here without ROS is what the nodes read from live messages (tests/ros)."""

import types

import numpy as np
import pytest

from tavid_core.errors import InputError
from tavid_core.image_fields import read_color, read_depth, read_mask


def make_fields(values, encoding, *, is_bigendian=0):
    height, width = values.shape[:2]
    return types.SimpleNamespace(
        height=height,
        width=width,
        step=values.nbytes // height,
        encoding=encoding,
        is_bigendian=is_bigendian,
        # As rosbags hands it over: an array, not bytes.
        data=np.frombuffer(values.tobytes(), np.uint8),
    )


def test_channels_come_in_the_order_of_rgb():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(read_color(make_fields(image[..., ::-1], "bgr8")), image)
    grey = read_color(make_fields(image[..., 0], "mono8"))
    np.testing.assert_array_equal(grey, np.repeat(image[..., :1], 3, axis=2))


def test_depth_in_millimetres_and_of_the_other_byte_order():
    depth_mm = np.array([[0, 1500]], ">u2")
    depth_m = read_depth(make_fields(depth_mm, "16UC1", is_bigendian=1))
    np.testing.assert_array_equal(depth_m, [[np.nan, 1.5]])


def test_mask_with_more_than_two_values_is_refused():
    labels = np.array([[0, 1, 2]], np.uint8)
    with pytest.raises(InputError, match="target_mask: mask must hold only 0/1 or 0/255"):
        read_mask(make_fields(labels, "mono8"))


def test_data_that_does_not_fit_its_size_is_refused():
    fields = make_fields(np.zeros((2, 4, 3), np.uint8), "rgb8")
    fields.height = 3
    with pytest.raises(InputError, match="data must have step x height = 36 bytes, got 24"):
        read_color(fields)
