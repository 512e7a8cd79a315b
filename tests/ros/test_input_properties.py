"""Whatever comes on an input, it is read right or refused with a typed error.

The suite tries some hundred examples each; `pytest --hypothesis-profile=release` tries 5,000.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import String
from tavid.action import PlanInteraction

from tavid_core.distortion import Rectifier
from tavid_core.errors import InputError, TavidError
from tavid_core.types import MAX_PROMPT_CHARACTERS, PlanRequest
from tavid_ros import conversions
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters
from tests.ros.messages import make_image_message, make_request
from tests.source_tree import ROOT

# 5,000 examples take minutes, and many on a machine that does other work too.
pytestmark = pytest.mark.timeout(1800)

SIZES = st.integers(1, 6)
UINT32 = st.integers(0, 2**32 - 1) | st.integers(0, 40)
ENCODINGS = ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "8UC1", "bool", "32FC1", "16UC1", "16UC3"]
# As DDS delivers them: the surrogates that UTF-8 cannot hold are among them.
TEXTS = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF), max_size=60)
SENDABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
FLOATS = st.floats() | st.sampled_from([0.0, 1.0, 60.0])
READERS = [
    conversions.image_from_message,
    conversions.mask_from_message,
    conversions.depth_from_message,
]


def read_or_refuse(read, *arguments):
    """Return what was read, or None for a typed error; let any other exception through."""
    try:
        return read(*arguments)
    except TavidError as error:
        message = str(error)
    assert 20 < len(message) < 600
    return None


@st.composite
def image_messages(draw):
    """Messages whose fields agree, but for the few that are changed."""
    message = Image(
        height=draw(SIZES),
        width=draw(SIZES),
        encoding=draw(st.sampled_from(ENCODINGS) | SENDABLE),
        is_bigendian=draw(st.integers(0, 255)),
    )
    message.step = message.width * draw(st.sampled_from([1, 2, 3, 4])) + draw(st.integers(0, 3))
    num_bytes = message.step * message.height
    message.data = draw(st.binary(min_size=num_bytes, max_size=num_bytes))
    for field in draw(st.sets(st.sampled_from(["height", "width", "step", "data"]), max_size=1)):
        setattr(message, field, draw(st.binary(max_size=90) if field == "data" else UINT32))
    return message


@given(image_messages())
def test_image_mask_or_depth_of_any_fields(message):
    for read in READERS:
        values = read_or_refuse(read, message)
        assert values is None or values.shape[:2] == (message.height, message.width)


@given(
    values=npst.arrays(np.uint8, npst.array_shapes(min_dims=3, max_dims=3, max_side=4)),
    padding=st.integers(0, 5),
)
def test_image_of_any_channels_comes_back(values, padding):
    encodings = {1: "mono8", 3: "bgr8", 4: "rgba8"}
    encoding = encodings.get(values.shape[2])
    if encoding is None:
        return
    image = conversions.image_from_message(make_image_message(values, encoding, padding))
    expected = values[:, :, [0, 0, 0]] if encoding == "mono8" else values[:, :, :3]
    np.testing.assert_array_equal(image[:, :, ::-1] if encoding == "bgr8" else image, expected)


@given(
    mask=npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=6)),
    marked=st.integers(1, 255),
    padding=st.integers(0, 5),
    encoding=st.sampled_from(["mono8", "8UC1", "bool"]),
)
def test_mask_of_any_padding_comes_back_or_is_refused_for_its_values(
    mask, marked, padding, encoding
):
    message = make_image_message(mask.astype(np.uint8) * marked, encoding, padding)
    read = read_or_refuse(conversions.mask_from_message, message)
    if marked in (1, 255) or not mask.any():
        np.testing.assert_array_equal(read, mask)
    else:
        assert read is None


@given(
    values=npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=2, max_side=6))
    | npst.arrays(np.uint16, npst.array_shapes(min_dims=2, max_dims=2, max_side=6)),
    padding=st.integers(0, 5),
    is_bigendian=st.booleans(),
)
def test_depth_of_any_byte_order_comes_back_in_metres(values, padding, is_bigendian):
    is_metres = values.dtype == np.float32
    encoding = "32FC1" if is_metres else "16UC1"
    message = make_image_message(values, encoding, padding, is_bigendian)
    depth_m = conversions.depth_from_message(message)
    known = np.isfinite(values) & (values > 0)
    expected = values if is_metres else values.astype(np.float32) / 1000
    np.testing.assert_allclose(depth_m[known], expected[known], rtol=1e-6)
    assert np.isnan(depth_m[~known]).all()


@st.composite
def camera_infos(draw):
    """Calibrations of a 64x48 camera, some numbers of which were changed."""
    message = CameraInfo(
        height=48,
        width=64,
        k=[60.0, 0.0, 32.0, 0.0, 60.0, 24.0, 0.0, 0.0, 1.0],
        p=[50.0, 0.0, 32.0, 0.0, 0.0, 50.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        d=draw(st.lists(FLOATS | st.floats(-1, 1), max_size=14)),
        distortion_model=draw(
            st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant"]) | SENDABLE
        ),
    )
    changes = draw(st.sets(st.sampled_from(["k", "p", "size", "roi", "binning"]), max_size=2))
    if "k" in changes:
        message.k[draw(st.integers(0, 8))] = draw(FLOATS)
    if "p" in changes:
        message.p[draw(st.integers(0, 11))] = draw(FLOATS)
    if "size" in changes:
        message.width, message.height = draw(UINT32), draw(UINT32)
    if "roi" in changes:
        message.roi = RegionOfInterest(
            x_offset=draw(UINT32), y_offset=draw(UINT32), width=draw(UINT32), height=draw(UINT32)
        )
    if "binning" in changes:
        message.binning_x, message.binning_y = draw(UINT32), draw(UINT32)
    return message


@given(camera_infos(), st.booleans())
def test_camera_info_of_any_numbers(message, is_rectified):
    def read():
        intrinsics = conversions.intrinsics_from_message(message, is_rectified=is_rectified)
        bend = conversions.distortion_from_message(message)
        if intrinsics is None:
            return None
        intrinsics = conversions.fit_intrinsics(intrinsics, (48, 64))
        if bend is not None and bend.is_known:
            intrinsics = Rectifier(intrinsics, bend).intrinsics
        return intrinsics

    intrinsics = read_or_refuse(read)
    if intrinsics is not None:
        assert (intrinsics.height, intrinsics.width) == (48, 64)
        numbers = [intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy]
        assert np.isfinite(numbers).all()


@given(TEXTS)
def test_prompt_of_any_characters(text):
    prompt = conversions.clean_prompt(text)
    assert prompt == conversions.clean_prompt(prompt) == prompt.strip()
    assert all(character.isprintable() for character in prompt)
    prompt.encode("utf-8")


@pytest.mark.parametrize("character", ["x", "\0", "\n", "\ud800", "e\u0301", "\u202e"])
def test_prompt_of_ten_megabytes_is_refused_at_once(character):
    start_sec = time.process_time()
    with pytest.raises(InputError, match=f"prompt must have 1 to {MAX_PROMPT_CHARACTERS} charac"):
        LatestInputs().put("prompt", String(data="")) or conversions.clean_prompt(
            character * 10_000_000
        )
    assert time.process_time() - start_sec < 1.0


@st.composite
def goals(draw):
    """Goals that are sound but for a few fields."""
    goal = conversions.goal_from_request(make_request(height=24, width=32))
    for field in draw(st.sets(st.sampled_from(["image", "target_mask", "actor_mask", "depth"]))):
        setattr(goal, field, draw(image_messages()))
    if draw(st.booleans()):
        goal.camera_info = draw(camera_infos())
    if draw(st.booleans()):
        goal.prompt = draw(SENDABLE)
    int32 = st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 60)
    goal.num_frames = draw(int32)
    goal.num_inference_steps = draw(int32)
    goal.seed = draw(st.integers(-(2**63), 2**63 - 1) | st.just(0))
    goal.guidance_scale = draw(st.floats(width=32))
    return goal


PARAMETERS = PlannerParameters(input_wait_sec=0.0)


@given(goals())
def test_goal_of_any_fields_is_a_request_or_refused(goal: PlanInteraction.Goal):
    request = read_or_refuse(LatestInputs().make_request, goal, PARAMETERS)
    assert request is None or isinstance(request, PlanRequest)


def test_sound_goal_with_a_bent_lens_is_a_request():
    goal = conversions.goal_from_request(make_request())
    goal.camera_info.d = [-0.1, 0.01, 0.0, 0.0, 0.0]
    assert LatestInputs().make_request(goal, PARAMETERS).intrinsics.fx != 60.0


MAX_GROWTH_MB = 40


MAX_GROWTH_MB = 40


def test_bombs_are_refused_without_being_unpacked():
    """In a process of its own: a heap that other tests have stretched would hide the growth."""
    words = [sys.executable, "-m", "tests.ros.bomb_probe"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    told = json.loads(done.stdout)
    assert told.pop("control")["growth_mb"] > MAX_GROWTH_MB
    assert set(told) == {"image/compressed", "image", "depth", "target_mask"}
    for topic, found in told.items():
        assert found["num_refused"] > 60, topic
        assert found["growth_mb"] < MAX_GROWTH_MB, topic


def test_picture_that_is_cut_off_is_refused_not_filled_with_grey():
    rows, columns = np.mgrid[0:60, 0:80]
    image = np.stack([rows * 4, columns * 3, rows + columns], axis=2).astype(np.uint8)
    for extension in (".jpg", ".png"):
        data = cv2.imencode(extension, image)[1].tobytes()
        for cut in range(0, len(data) - 4, 7):
            with pytest.raises(InputError, match=r"image\.data must"):
                conversions.image_from_message(CompressedImage(data=data[:cut]))


def test_jpeg_of_endless_scans_is_refused():
    data = cv2.imencode(".jpg", np.zeros((60, 80, 3), np.uint8))[1].tobytes()
    scan = b"\xff\xda" + struct.pack(">H", 2)
    with pytest.raises(InputError, match=r"image\.data must have at most 100 scans, got 5001"):
        conversions.image_from_message(CompressedImage(data=data[:-2] + scan * 5000 + b"\xff\xd9"))
