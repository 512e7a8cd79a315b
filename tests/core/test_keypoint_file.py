"""Keypoint files: JSON and npz give the same points; anything else is refused by name."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tavid_core.errors import ConfigError, InputError
from tavid_core.lifting.keypoint_file import KeypointFile, read_keypoints
from tavid_core.lifting.sources import load_detector
from tests.source_tree import ROOT

NAMES = ["head", "left_wrist", "right_hand"]


def fields(**changes):
    pixels = np.arange(18, dtype=float).reshape(3, 3, 2).tolist()
    return {"names": NAMES, "size": [96, 64], "pixels": pixels} | changes


def write(folder, content):
    path = folder / "keypoints.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_pixels_are_scaled_to_the_frames(tmp_path):
    found = KeypointFile(write(tmp_path, fields()))(np.zeros((3, 128, 192, 3), np.uint8))
    np.testing.assert_allclose(found.pixels[0, 0], [0.5, 2.5])
    assert found.names[:3] == tuple(NAMES)


def test_json_and_npz_say_the_same(tmp_path):
    confidence = np.full((3, 3), 0.5)
    relative_m = np.ones((3, 3, 3))
    content = fields(confidence=confidence.tolist(), relative_m=relative_m.tolist())
    np.savez(tmp_path / "k.npz", **{name: np.array(value) for name, value in content.items()})
    (first, size), (second, other) = (
        read_keypoints(path) for path in (write(tmp_path, content), tmp_path / "k.npz")
    )
    assert size == other == (96, 64)
    assert first.names == second.names
    for part in ("pixels", "confidence", "relative_m"):
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_several_people_have_one_more_axis(tmp_path, kind):
    pixels = np.arange(36, dtype=float).reshape(2, 3, 3, 2)
    content = fields(pixels=pixels.tolist(), confidence=np.full((2, 3, 3), 0.5).tolist())
    path = write(tmp_path, content)
    if kind == "npz":
        path = tmp_path / "k.npz"
        np.savez(path, **{name: np.array(value) for name, value in content.items()})
    found = KeypointFile(path)(np.zeros((3, 64, 96, 3), np.uint8))
    (other,) = found.others
    np.testing.assert_allclose(found.pixels[:, :3], pixels[0], atol=1e-5)
    np.testing.assert_allclose(other.pixels[:, :3], pixels[1], atol=1e-5)
    assert other.names == found.names


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"confidence": np.ones((1, 3, 3)).tolist()}, "of 2 people as its pixels are, got 1"),
        ({"confidence": 1.0}, "must be a .json or .npz"),
        ({"pixels": np.zeros((9, 1, 3, 2)).tolist()}, "hold 1 to 8 people, got 9"),
    ],
)
def test_people_that_do_not_fit_together_are_refused(tmp_path, changes, words):
    content = fields(pixels=np.zeros((2, 3, 3, 2)).tolist()) | changes
    with pytest.raises(InputError, match=words):
        read_keypoints(write(tmp_path, content))


def test_wrist_stands_for_the_hand_with_less_confidence(tmp_path):
    keypoints, _ = read_keypoints(write(tmp_path, fields()))
    assert keypoints.names == (*NAMES, "left_hand")
    pixels, confidence = keypoints.track("left_hand")
    np.testing.assert_array_equal(pixels, keypoints.track("left_wrist")[0])
    assert confidence.tolist() == pytest.approx([0.8] * 3)


def test_null_is_a_point_not_seen(tmp_path):
    content = fields(pixels=[[None, [1, 2], [3, 4]], None, [[1, 2], [1, None], [3, 4]]])
    keypoints, _ = read_keypoints(write(tmp_path, content))
    assert (keypoints.confidence[:, :3] > 0).tolist() == [
        [False, True, True],
        [False, False, False],
        [True, False, True],
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "keypoint file must be a .json or .npz"),
        ("[" * 100000, "keypoint file must be a .json or .npz"),
        ([1], "a JSON list, not an object"),
        ({"names": NAMES}, "keypoint file must be a .json or .npz"),
        (fields(names=[]), "names must be a list of names"),
        (fields(names=["head", "tail", "right_hand"]), "names must be of head.*got 'tail'"),
        (fields(names=["head"] * 3), "names must be unique"),
        (fields(size=[96]), r"size must be \[width, height\]"),
        (fields(size=[0, 64]), r"size must be \[width, height\]"),
        (fields(size=[True, 64]), r"size must be \[width, height\]"),
        (fields(pixels=[[[1, 2]]]), r"pixels must have shape \(frames, 3, 2\)"),
        (fields(pixels=[]), r"pixels must have shape \(frames, 3, 2\)"),
        (fields(pixels=[[["a", 2]] * 3]), "'a' is no number"),
        (fields(confidence=[[0.5] * 3]), "confidence must have shape"),
        (fields(confidence=[[2, 1, 1]] * 3), r"confidence must be in 0\.\.1"),
        (fields(relative_m=[[1, 2, 3]]), "relative_m must have shape"),
    ],
)
def test_unusable_files_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_keypoints(write(tmp_path, content))


def test_pickles_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "k.npz", names=np.array([{"a": 1}], dtype=object), size=[1, 1], pixels=[0])
    with pytest.raises(InputError, match=r"k\.npz: Object arrays cannot be loaded"):
        read_keypoints(tmp_path / "k.npz")


def test_file_of_another_rollout_is_refused(tmp_path):
    file = KeypointFile(write(tmp_path, fields()))
    with pytest.raises(InputError, match="one row per frame, got 3 for 17 frames"):
        file(np.zeros((17, 64, 96, 3), np.uint8))


def test_unknown_source_is_refused():
    with pytest.raises(ConfigError, match="keypoints must be 'mini', 'mediapipe' or a"):
        load_detector("openpose")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=24,
)


@given(
    st.dictionaries(
        st.sampled_from(["names", "size", "pixels", "confidence", "relative_m"]), values
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_json_is_read_or_refused(tmp_path_factory, changes, is_near):
    content = (fields() if is_near else {}) | changes
    path = write(tmp_path_factory.mktemp("k"), content)
    try:
        keypoints, size = read_keypoints(path)
    except InputError:
        return
    assert min(size) >= 1
    assert np.isfinite(keypoints.confidence).all()


def test_the_example_of_the_documentation_is_read(tmp_path):
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    example = text.split("<!-- keypoints:begin -->")[1].split("```json")[1].split("```")[0]
    keypoints, _ = read_keypoints(write(tmp_path, example))
    assert keypoints.num_frames == 2
    assert keypoints.confidence[1, 2] == 0
