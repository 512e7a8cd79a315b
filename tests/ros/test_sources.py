"""Pictures from files: scenes, images, folders, videos; unusable ones give typed errors."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tavid_core.errors import ConfigError, InputError, TavidError
from tavid_ros import sources
from tavid_ros.parameters import CameraParameters
from tavid_ros.sources import DEFAULT_SCENE, find_scene, list_scenes, open_source


def write_image(path, height=32, width=48, value=None):
    rng = np.random.default_rng(len(path.name))
    image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    if value is not None:
        image[:] = value
    cv2.imwrite(str(path), image)
    return image[:, :, ::-1]


def write_mask(path, height=32, width=48, marked=255):
    mask = np.zeros((height, width), np.uint8)
    mask[8:16, 12:24] = marked
    cv2.imwrite(str(path), mask)
    return mask > 0


def open_pictures(**parameters):
    return list(open_source(CameraParameters(**parameters)))


@pytest.mark.parametrize("name", ["", *list_scenes()])
def test_shipped_scenes_are_whole(name):
    assert list_scenes()
    (picture,) = open_pictures(source="scene", path=name)
    assert picture.mask.any()
    assert picture.mask.shape == picture.depth_m.shape == picture.image.shape[:2]
    assert (picture.intrinsics.height, picture.intrinsics.width) == picture.image.shape[:2]
    assert picture.prompt
    assert np.nanmin(picture.depth_m) > 0.1


def test_own_scene_needs_only_three_files(tmp_path):
    image = write_image(tmp_path / "image.png")
    mask = write_mask(tmp_path / "mask.png")
    (tmp_path / "scene.json").write_text(json.dumps({"prompt": "lift it"}))
    (picture,) = open_pictures(source="scene", path=str(tmp_path))
    np.testing.assert_array_equal(picture.image, image)
    np.testing.assert_array_equal(picture.mask, mask)
    assert picture.depth_m is None
    assert picture.intrinsics is None
    (picture,) = open_pictures(source="scene", path=str(tmp_path), prompt="push it")
    assert picture.prompt == "push it"


def test_no_name_is_the_default_scene():
    assert find_scene("").name == DEFAULT_SCENE
    assert DEFAULT_SCENE in list_scenes()


def test_unknown_scene_names_the_known_ones():
    with pytest.raises(InputError, match=list_scenes()[0]):
        find_scene("/nowhere")


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "[" * 9999])
def test_damaged_scene_description_is_named(tmp_path, text):
    write_image(tmp_path / "image.png")
    (tmp_path / "scene.json").write_text(text)
    with pytest.raises(InputError, match=r"scene\.json must be"):
        open_pictures(source="scene", path=str(tmp_path))


def test_image_with_mask_and_measured_field_of_view(tmp_path):
    write_image(tmp_path / "a.png")
    write_mask(tmp_path / "m.png")
    (picture,) = open_pictures(
        source="image",
        path=str(tmp_path / "a.png"),
        mask_path=str(tmp_path / "m.png"),
        field_of_view_deg=60.0,
        prompt="lift",
    )
    assert picture.prompt == "lift"
    assert not picture.intrinsics.is_assumed
    (picture,) = open_pictures(source="image", path=str(tmp_path / "a.png"))
    assert picture.mask is None
    assert picture.intrinsics is None


def test_depth_of_another_size_is_refused(tmp_path):
    write_image(tmp_path / "image.png")
    write_mask(tmp_path / "mask.png")
    (tmp_path / "scene.json").write_text("{}")
    cv2.imwrite(str(tmp_path / "depth.png"), np.ones((9, 9), np.uint16))
    with pytest.raises(InputError, match="depth must have the image's 48x32 pixels, got 9x9"):
        open_pictures(source="scene", path=str(tmp_path))


def test_folder_in_order_and_without_other_files(tmp_path):
    for index in (2, 1, 3):
        write_image(tmp_path / f"{index}.png", value=index)
    (tmp_path / "notes.txt").write_text("x")
    pictures = open_pictures(source="folder", path=str(tmp_path))
    assert [int(picture.image.max()) for picture in pictures] == [1, 2, 3]


def test_video_frames(tmp_path):
    import av

    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in (0, 100, 200):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pictures = open_pictures(source="video", path=str(tmp_path / "v.mp4"))
    assert [round(int(p.image.mean()) / 100) for p in pictures] == [0, 1, 2]
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="path must be a video file"):
        open_pictures(source="video", path=str(tmp_path / "bad.mp4"))


@pytest.mark.parametrize("source", ["image", "folder", "video", "scene"])
def test_missing_files_are_named(tmp_path, source):
    with pytest.raises(InputError, match="nothing_here"):
        open_pictures(source=source, path=str(tmp_path / "nothing_here"))


WORLD = """
import pathlib, shutil, sys, time
time.sleep(SLEEP)
seed, out = int(sys.argv[2]), pathlib.Path(sys.argv[4])
if seed == 9:
    sys.exit("no OpenGL here")
out.mkdir()
for name in ("image.png", "scene.json", "mask.png"):
    shutil.copy(f"FOLDER/{seed}-{name}", out / name)
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A stand-in for the world, whose picture of seed n has the value n; returns its slowness."""
    for seed in (7, 8):
        write_image(tmp_path / f"{seed}-image.png", value=seed)
        write_mask(tmp_path / f"{seed}-mask.png")
        (tmp_path / f"{seed}-scene.json").write_text("{}")

    def start(sleep_sec: float) -> None:
        program = WORLD.replace("SLEEP", str(sleep_sec)).replace("FOLDER", str(tmp_path))
        monkeypatch.setattr(sources, "_WORLD_COMMAND", (sys.executable, "-c", program))

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return start


def test_world_repeats_a_picture_until_the_next_is_drawn(world, tmp_path):
    world(3.0)
    pictures = open_source(CameraParameters(source="world", path="7"))
    first = next(pictures)
    assert (int(first.image.max()), first.mask.any()) == (7, True)
    values, longest_sec = [], 0.0
    while 8 not in values:
        start = time.monotonic()
        values.append(int(next(pictures).image.max()))
        longest_sec = max(longest_sec, time.monotonic() - start)
        time.sleep(0.02)
    assert values[0] == 7
    # The node's timer must not wait for the three seconds of drawing.
    assert len(values) > 5
    assert longest_sec < 2.5
    pictures.close()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_world_that_fails_or_takes_too_long_says_so(world, monkeypatch, tmp_path):
    world(0.0)
    with pytest.raises(InputError, match="'world', which said: no OpenGL here"):
        open_pictures(source="world", path="9")
    world(60.0)
    monkeypatch.setattr(sources, "_WORLD_TIMEOUT_SEC", 0.3)
    with pytest.raises(InputError, match=r"'world', which said: nothing within 0\.3 s"):
        open_pictures(source="world", path="7")
    monkeypatch.setattr(sources, "_WORLD_COMMAND", ("/nowhere/python",))
    with pytest.raises(InputError, match=r"'world', which said: .*No such file"):
        open_pictures(source="world")
    with pytest.raises(InputError, match="path must be empty or the first seed"):
        open_pictures(source="world", path="three_mugs")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_unknown_source_is_refused():
    with pytest.raises(ConfigError, match="source must be one of scene, image"):
        CameraParameters(source="webcam")


@given(
    st.binary(max_size=300), st.sampled_from(["image.png", "mask.png", "depth.png", "camera.json"])
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
def test_random_files_give_pictures_or_typed_errors(tmp_path, data, name):
    write_image(tmp_path / "image.png")
    write_mask(tmp_path / "mask.png")
    (tmp_path / "scene.json").write_text("{}")
    for file in ("depth.png", "camera.json"):
        (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / name).write_bytes(data)
    with contextlib.suppress(TavidError):
        open_pictures(source="scene", path=str(tmp_path))
