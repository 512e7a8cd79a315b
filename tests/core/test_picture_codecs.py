"""JPEG and PNG: decoded, or found out to be damaged, in less time too."""

import cv2
import numpy as np
import pytest

from tavid_core.errors import InputError
from tavid_core.picture_codecs import check_picture, decode_picture, encode_jpeg

IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8), (70, 45))


def damage(data):
    """Pictures that lack something, or hold something else."""
    yield from (data[:cut] for cut in (0, 3, 30, len(data) // 2, len(data) - 3))
    yield b"GIF89a" + data
    if data[:2] == b"\xff\xd8":
        tables = data.index(b"\xff\xc4")
        yield data[: tables + 2] + b"\0\0" + data[tables + 4 :]


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_picture_is_whole_for_both_or_for_none(ending):
    data = cv2.imencode(ending, IMAGE[:, :, ::-1])[1].tobytes()
    assert np.abs(decode_picture("image", data).astype(int) - IMAGE).mean() < 6
    check_picture("image", data)
    for torn in damage(data):
        for read in (decode_picture, check_picture):
            with pytest.raises(InputError, match=r"image.* must "):
                read("image", torn)


def test_a_check_says_the_same_as_decoding_wherever_a_byte_is_changed():
    data = bytearray(encode_jpeg(IMAGE))
    told = []
    for place in range(len(data)):
        data[place] ^= 0x5A
        found = []
        for read in (decode_picture, check_picture):
            try:
                read("image", bytes(data))
            except InputError:
                found.append(False)
            else:
                found.append(True)
        data[place] ^= 0x5A
        assert found[0] == found[1], place
        told.append(found[0])
    assert {True, False} == set(told)
