"""The camera made of files, over DDS."""

from __future__ import annotations

import itertools
import json
import signal
import statistics
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from tavid.action import PlanInteraction

from tavid_core.errors import InputError
from tavid_core.files import read_image, read_mask
from tavid_ros import camera_node, conversions
from tavid_ros.camera_node import CameraNode
from tavid_ros.processes import NodeProcess
from tavid_ros.snapshot import Snapshot, SnapshotTimeoutError
from tavid_ros.sources import Picture, find_scene
from tavid_ros.spinning import BackgroundExecutor
from tests.ros.graph import wait_for

NUMBERS = itertools.count()


@pytest.fixture
def context():
    made = rclpy.Context()
    arguments = ["--ros-args", "-r", f"__ns:=/camera_{next(NUMBERS)}", "--disable-rosout-logs"]
    rclpy.init(args=arguments, context=made)
    yield made
    rclpy.shutdown(context=made)


@pytest.fixture
def start_camera(context):
    started = []

    def start(**parameters) -> CameraNode:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = CameraNode(context=context, parameter_overrides=overrides)
        started.append((node, BackgroundExecutor(node, num_threads=2)))
        return node

    yield start
    for node, executor in started:
        executor.stop()
        node.destroy_node()


@pytest.fixture
def listener(context):
    node = rclpy.create_node("listener", context=context)
    yield node
    node.destroy_node()


def test_snapshot_of_a_scene_is_the_scene(start_camera, listener):
    start_camera(rate_hz=20.0, frame_id="head")
    snapshot, goal = Snapshot(listener), PlanInteraction.Goal()
    snapshot.fill(goal, timeout_sec=30.0)
    snapshot.destroy()
    folder = find_scene("")
    image = read_image(folder / "image.png")
    np.testing.assert_array_equal(conversions.image_from_message(goal.image), image)
    mask = conversions.mask_from_message(goal.target_mask)
    np.testing.assert_array_equal(mask, read_mask(folder / "mask.png", image.shape[:2]))
    assert np.isfinite(conversions.depth_from_message(goal.depth)).any()
    assert conversions.intrinsics_from_message(goal.camera_info).width == image.shape[1]
    assert goal.prompt
    stamps = {
        conversions.nanoseconds_from_time(message.header.stamp)
        for message in (goal.image, goal.target_mask, goal.depth, goal.camera_info)
    }
    assert len(stamps) == 1
    assert stamps.pop() > 0
    assert goal.image.header.frame_id == "head"


def test_the_actor_of_a_scene_goes_with_it(start_camera, listener, tmp_path):
    image = np.full((32, 48, 3), 90, np.uint8)
    masks = {name: np.zeros((32, 48), np.uint8) for name in ("mask", "actor_mask")}
    masks["mask"][8:16, 12:24] = masks["actor_mask"][:, 40:] = 255
    for name, pixels in {"image": image, **masks}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    (tmp_path / "scene.json").write_text(json.dumps({"prompt": "lift it"}))
    start_camera(source="scene", path=str(tmp_path), rate_hz=20.0)
    snapshot, goal = Snapshot(listener), PlanInteraction.Goal()
    snapshot.fill(goal, timeout_sec=30.0)
    snapshot.destroy()
    actor_mask = conversions.mask_from_message(goal.actor_mask)
    np.testing.assert_array_equal(actor_mask, masks["actor_mask"] > 0)
    assert goal.actor_mask.header == goal.image.header


def test_a_scene_that_knows_no_actor_publishes_none(start_camera, listener):
    camera = start_camera(rate_hz=20.0)
    snapshot, goal = Snapshot(listener), PlanInteraction.Goal()
    snapshot.fill(goal, timeout_sec=30.0)
    snapshot.destroy()
    assert conversions.is_empty_image(goal.actor_mask)
    assert camera.count_publishers("actor_mask") == 0


def test_prompt_of_the_goal_stays(start_camera, listener):
    start_camera(rate_hz=20.0)
    snapshot, goal = Snapshot(listener), PlanInteraction.Goal(prompt="mine")
    snapshot.fill(goal, timeout_sec=30.0)
    snapshot.destroy()
    assert goal.prompt == "mine"


def test_snapshot_names_what_does_not_come(start_camera, listener, tmp_path):
    snapshot = Snapshot(listener)
    with pytest.raises(SnapshotTimeoutError, match="got no image and no target_mask"):
        snapshot.fill(PlanInteraction.Goal(), timeout_sec=0.2)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    start_camera(source="image", path=str(tmp_path / "a.png"), rate_hz=20.0)
    with pytest.raises(SnapshotTimeoutError, match="got no target_mask"):
        snapshot.fill(PlanInteraction.Goal(), timeout_sec=3.0)
    snapshot.destroy()


@pytest.mark.parametrize("loop", [True, False])
def test_folder_is_played_in_order_once_or_again(start_camera, listener, tmp_path, loop):
    for value in (10, 20, 30):
        image = np.full((32, 32, 3), value, np.uint8)
        cv2.imwrite(str(tmp_path / f"{value}.png"), image)
    heard: list[Image] = []
    listener.create_subscription(Image, "image", heard.append, 100)
    executor = BackgroundExecutor(listener, num_threads=2)
    camera = start_camera(source="folder", path=str(tmp_path), rate_hz=20.0, loop=loop)
    if loop:
        wait_for(lambda: len(heard) >= 6)
        values = [message.data[0] for message in heard]
        steps = {(after - before) % 30 for before, after in itertools.pairwise(values)}
        assert steps <= {10, 20, 0}
        assert set(values) == {10, 20, 30}
    else:
        wait_for(camera.is_finished.is_set)
        assert len(heard) <= 3
    executor.stop()


def test_compressed_pictures_too(start_camera, listener):
    heard: list[CompressedImage] = []
    listener.create_subscription(CompressedImage, "image/compressed", heard.append, 10)
    executor = BackgroundExecutor(listener, num_threads=2)
    start_camera(publish_compressed=True, rate_hz=20.0)
    wait_for(lambda: heard)
    executor.stop()
    image = read_image(find_scene("") / "image.png")
    assert conversions.image_from_message(heard[0]).shape == image.shape


def test_file_that_turns_bad_ends_the_camera_with_a_word(start_camera, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"no picture")
    camera = start_camera(source="folder", path=str(tmp_path), rate_hz=20.0)
    wait_for(camera.is_finished.is_set)


def write_calibration(folder, width, height):
    matrix = [300.0, 0.0, 31.5, 0.0, 301.0, 15.5, 0.0, 0.0, 1.0]
    document = {"image_width": width, "image_height": height, "camera_matrix": {"data": matrix}}
    document["distortion_coefficients"] = {"data": [0.1, 0.0, 0.0, 0.0, 0.0]}
    path = folder / "calibration.yaml"
    path.write_text(json.dumps(document))
    return str(path)


def test_own_calibration_goes_with_the_picture(start_camera, listener, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 64, 3), np.uint8))
    picture = {"source": "image", "path": str(tmp_path / "a.png"), "rate_hz": 20.0}
    with pytest.raises(InputError, match="camera_info_path must be for the picture's 64x32 pixels"):
        start_camera(**picture, camera_info_path=write_calibration(tmp_path, 640, 480))
    heard: list[CameraInfo] = []
    listener.create_subscription(CameraInfo, "camera_info", heard.append, 1)
    executor = BackgroundExecutor(listener, num_threads=2)
    start_camera(**picture, camera_info_path=write_calibration(tmp_path, 64, 32))
    wait_for(lambda: len(heard) >= 2)
    executor.stop()
    assert (heard[-1].k[0], heard[-1].d[0]) == (300.0, 0.1)
    assert heard[-1].header.frame_id == "camera_optical_frame"
    assert heard[-1].header.stamp != heard[0].header.stamp


def test_the_mask_can_be_left_to_a_segmenter(start_camera, listener):
    start_camera(rate_hz=20.0, publish_mask=False)
    wait_for(lambda: listener.count_publishers("image"))
    assert not listener.count_publishers("target_mask")


def test_missing_file_is_told_at_once(start_camera):
    with pytest.raises(InputError, match="image must be a readable file"):
        start_camera(source="image", path="/nowhere.png")


def test_process_says_what_is_missing_and_ends_on_a_signal(tmp_path):
    parameters = {"source": "image", "path": "/nowhere.png"}
    with NodeProcess("tavid_ros.camera_node", parameters, tmp_path) as camera:
        wait_for(lambda: camera.exit_status is not None, 60.0)
        assert camera.exit_status == 1
        assert "image must be a readable file" in camera.read_log_tail()
        assert "Traceback" not in camera.read_log_tail()
    with NodeProcess("tavid_ros.camera_node", {}, tmp_path) as camera:
        wait_for(lambda: signal_is_caught(camera.pid), 60.0)
        # rclpy takes the handler off and on again while the node starts.
        time.sleep(3.0)
        assert camera.end() == 0


def signal_is_caught(pid: int) -> bool:
    """Tell whether a process has its own handler for SIGTERM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_node_that_is_destroyed_while_it_reads_waits_for_the_picture(context, monkeypatch):
    reads, go_on = threading.Event(), threading.Event()

    def slow_pictures(_):
        while True:
            yield Picture(image=np.zeros((8, 8, 3), np.uint8))
            reads.set()
            go_on.wait(10.0)

    monkeypatch.setattr(camera_node, "open_source", slow_pictures)
    node = CameraNode(context=context, parameter_overrides=[Parameter("rate_hz", value=50.0)])
    executor = BackgroundExecutor(node, num_threads=2)
    assert reads.wait(10.0)
    executor.stop()
    threading.Timer(0.3, go_on.set).start()
    node.destroy_node()
    assert go_on.is_set()


def test_it_waits_for_listeners_if_asked(start_camera, listener):
    heard: list[Image] = []
    listener.create_subscription(Image, "image", heard.append, 100)
    executor = BackgroundExecutor(listener, num_threads=2)
    camera = start_camera(rate_hz=50.0, wait_for_listeners=True)
    wait_for(lambda: listener.count_publishers("prompt"))
    time.sleep(0.5)
    assert not heard
    kinds = {"camera_info": CameraInfo, "depth": Image, "target_mask": Image, "prompt": String}
    for topic, kind in kinds.items():
        listener.create_subscription(kind, topic, lambda _: None, 10)
    wait_for(lambda: heard)
    executor.stop()
    assert not camera.is_finished.is_set()


def test_pictures_come_at_their_rate(start_camera, listener):
    stamps_ns: list[int] = []
    listener.create_subscription(
        CameraInfo,
        "camera_info",
        lambda message: stamps_ns.append(conversions.nanoseconds_from_time(message.header.stamp)),
        100,
    )
    executor = BackgroundExecutor(listener, num_threads=2)
    start_camera(rate_hz=10.0)
    wait_for(lambda: len(stamps_ns) > 10)
    executor.stop()
    # Most of them, since a machine that is shared stands still for seconds now and then.
    gaps_ns = [after - before for before, after in itertools.pairwise(stamps_ns)]
    assert 0.09e9 < statistics.median(gaps_ns) < 0.3e9
