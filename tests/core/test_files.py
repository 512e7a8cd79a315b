"""Input files: what is read how, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tavid_core.files import read_camera, read_depth, read_image, read_mask

SIZE = (20, 30)
MARKED = np.zeros(SIZE, dtype=bool)
MARKED[4:10, 6:15] = True


def write(path, picture):
    assert cv2.imwrite(str(path), picture)
    return path


def rgba(color, alpha):
    picture = np.empty((*SIZE, 4), dtype=np.uint8)
    picture[..., :3] = color if np.isscalar(color) else color[..., None]
    picture[..., 3] = alpha
    return picture


def test_image_is_rgb(tmp_path):
    picture = np.zeros((20, 30, 3), dtype=np.uint8)
    picture[..., 2] = 200
    image = read_image(write(tmp_path / "i.png", picture))
    assert image[0, 0].tolist() == [200, 0, 0]
    assert image.dtype == np.uint8


def test_turned_photographs_stand_upright(tmp_path):
    jpeg = cv2.imencode(".jpg", np.zeros((20, 40, 3), np.uint8))[1].tobytes()
    # EXIF with orientation 6: turn by a quarter.
    exif = (
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06"
        + bytes(7)
    )
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    assert read_image(tmp_path / "a.jpg").shape == (40, 20, 3)


def test_grey_and_16_bit_images_become_rgb(tmp_path):
    deep = np.full(SIZE, 25700, dtype=np.uint16)
    assert read_image(write(tmp_path / "i.png", deep))[0, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize(
    "picture",
    [
        MARKED.astype(np.uint8) * 255,
        MARKED.astype(np.uint8),
        MARKED.astype(np.uint16) * 65535,
        np.where(MARKED, 200, 90).astype(np.uint8),
        np.where(MARKED[..., None], (0, 0, 255), (0, 0, 0)).astype(np.uint8),
        rgba(MARKED.astype(np.uint8) * 255, 255),
        rgba(0, MARKED.astype(np.uint8) * 255),
        rgba(255, MARKED.astype(np.uint8) * 255),
        rgba(np.where(MARKED, 255, 10).astype(np.uint8), np.where(MARKED, 255, 0)),
    ],
    ids=["255", "1", "16-bit", "soft", "red", "rgba", "alpha-black", "alpha-white", "both"],
)
def test_every_kind_of_mask_marks_the_same(tmp_path, picture):
    np.testing.assert_array_equal(read_mask(write(tmp_path / "m.png", picture), SIZE), MARKED)


def test_transparent_pixels_are_unmarked_whatever_their_colour(tmp_path):
    alpha = np.full(SIZE, 255, dtype=np.uint8)
    alpha[:6] = 0
    mask = read_mask(write(tmp_path / "m.png", rgba(MARKED.astype(np.uint8) * 255, alpha)), SIZE)
    expected = MARKED.copy()
    expected[:6] = False
    np.testing.assert_array_equal(mask, expected)


def test_mask_of_the_images_aspect_is_resized(tmp_path):
    large = np.kron(MARKED.astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
    np.testing.assert_array_equal(read_mask(write(tmp_path / "m.png", large), SIZE), MARKED)


@pytest.mark.parametrize(("value", "word"), [(0, "mark at least"), (255, "leave some|all ones")])
def test_mask_of_nothing_or_everything_is_refused(tmp_path, value, word):
    path = write(tmp_path / "m.png", np.full(SIZE, value, dtype=np.uint8))
    with pytest.raises(InputError, match=word):
        read_mask(path, SIZE)


def test_mask_of_another_aspect_is_refused(tmp_path):
    path = write(tmp_path / "m.png", np.eye(20, dtype=np.uint8) * 255)
    with pytest.raises(InputError, match="aspect"):
        read_mask(path, SIZE)


def test_depth_png_is_in_millimetres(tmp_path):
    millimetres = np.full(SIZE, 1250, dtype=np.uint16)
    millimetres[0, 0] = 0
    depth_m = read_depth(write(tmp_path / "d.png", millimetres))
    assert depth_m[5, 5] == 1.25
    assert np.isnan(depth_m[0, 0])
    assert depth_m.dtype == np.float32


def test_depth_npy_is_in_metres(tmp_path):
    np.save(tmp_path / "d.npy", np.full(SIZE, 0.75))
    assert read_depth(tmp_path / "d.npy")[3, 3] == 0.75


@pytest.mark.parametrize(
    "array", [np.full(SIZE, 800, np.uint16), np.ones((2, 3, 4)), np.array([{}], dtype=object)]
)
def test_other_npy_is_refused(tmp_path, array):
    np.save(tmp_path / "d.npy", array)
    with pytest.raises(InputError, match=r"depth must be a(n| readable) \.npy of floats"):
        read_depth(tmp_path / "d.npy")


@pytest.mark.parametrize("picture", [np.full(SIZE, 80, np.uint8), np.zeros((20, 30, 3), np.uint16)])
def test_depth_of_8_bit_or_in_colour_is_refused(tmp_path, picture):
    with pytest.raises(InputError, match="depth must be a 16-bit grey PNG in millimetres"):
        read_depth(write(tmp_path / "d.png", picture))


def test_camera_is_read(tmp_path):
    camera = {"fx": 50, "fy": 51, "cx": 15, "cy": 10, "width": 30, "height": 20}
    (tmp_path / "c.json").write_text(json.dumps(camera))
    assert read_camera(tmp_path / "c.json").fy == 51


def test_camera_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "c.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="camera must be a JSON text"):
        read_camera(tmp_path / "c.json")


@pytest.mark.parametrize("reader", [read_image, read_depth, read_camera])
def test_missing_file_is_named(tmp_path, reader):
    with pytest.raises(InputError, match=r"must be a readable file, got No such file.*nowhere"):
        reader(tmp_path / "nowhere")


def test_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="image must be a readable file"):
        read_image(tmp_path)


@settings(deadline=None)
@given(data=st.binary(max_size=64), magic=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8"]))
def test_any_bytes_are_refused_with_a_typed_error(tmp_path_factory, data, magic):
    path = tmp_path_factory.mktemp("junk") / "i.png"
    path.write_bytes(magic + data)
    for read in (read_image, read_depth, lambda p: read_mask(p, SIZE)):
        with pytest.raises(InputError):
            read(path)
