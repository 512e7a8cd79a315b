"""Calibration files: what camera_calibration writes is read, everything else is refused."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tavid_core.errors import InputError, TavidError
from tavid_ros.conversions import distortion_from_message, intrinsics_from_message
from tavid_ros.conversions.calibrations import read_camera_info

# As camera_calibration's cameracalibrator writes it.
TEXT = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [ 525.5, 0., 320.25, 0., 526., 240.5, 0., 0., 1. ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 0.001, -0.002, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [530., 0., 321., 0., 0., 531., 241., 0., 0., 0., 1., 0.]
"""


@pytest.fixture
def write(tmp_path):
    def write_text(text):
        path = tmp_path / "camera.yaml"
        path.write_text(text)
        return path

    return write_text


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_what_the_calibrator_writes_is_read(write, prefix):
    message = read_camera_info(f"{prefix}{write(TEXT)}")
    intrinsics = intrinsics_from_message(message)
    assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (
        525.5,
        526,
        320.25,
        240.5,
    )
    assert (intrinsics.width, intrinsics.height) == (640, 480)
    assert distortion_from_message(message).coefficients == (0.1, -0.2, 0.001, -0.002, 0.0)
    assert intrinsics_from_message(message, is_rectified=True).fx == 530


def test_without_projection_the_rectified_camera_is_the_same(write):
    message = read_camera_info(write(TEXT.split("rectification_matrix")[0]))
    assert intrinsics_from_message(message, is_rectified=True).cx == 320.25
    assert message.r[0] == message.r[4] == 1.0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "camera_info_path must hold names and values"),
        ("[1, 2", "camera_info_path must be a YAML file"),
        ("!!python/object/apply:os.system ['true']", "camera_info_path must be a YAML file"),
        (TEXT.replace("640", "0"), "image_width must be a whole number"),
        (TEXT.replace("640", "640.5"), "image_width must be a whole number"),
        (TEXT.replace("525.5, ", ""), "camera_matrix must hold 9 numbers"),
        (TEXT.replace("525.5", ".nan"), "camera_matrix must hold 9 numbers"),
        (TEXT.replace("525.5", "-3"), "positive focal lengths"),
        (TEXT.replace("0.001", "mug"), "distortion_coefficients must hold at most 14 numbers"),
        ("x" * 70_000, "camera_info_path must be a file of at most 65536 bytes"),
    ],
)
def test_everything_else_is_refused_with_advice(write, text, match):
    with pytest.raises(InputError, match=match):
        read_camera_info(write(text))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match="camera_info_path must be a readable file"):
        read_camera_info(tmp_path / "nowhere.yaml")


NUMBERS = st.integers() | st.floats()
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.lists(NUMBERS, max_size=14)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_document_gives_a_calibration_or_a_typed_error(tmp_path_factory, data):
    document = yaml.safe_load(TEXT)
    for key in data.draw(st.lists(st.sampled_from(sorted(document)), min_size=1, max_size=3)):
        if isinstance(document[key], dict) and data.draw(st.booleans()):
            document[key]["data"] = data.draw(VALUES)
        else:
            document[key] = data.draw(VALUES)
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(document))
    try:
        message = read_camera_info(path)
    except TavidError:
        return
    assert 1 <= message.width <= 4096
