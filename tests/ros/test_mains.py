"""The programs, in this process: what they print and how they end."""

from __future__ import annotations

import os
import signal
import threading
import time

import cv2
import numpy as np
import pytest
import rclpy
from std_msgs.msg import UInt64

from tavid_ros import camera_node, client, planner_node
from tavid_ros.processes import NodeProcess
from tests.ros.graph import WAIT_SEC, wait_for


@pytest.fixture(autouse=True)
def keep_signals():
    """A signal that comes too early or too late does not end the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def end_when(condition) -> threading.Thread:
    """Send this process SIGTERM once a condition holds, again until the main program saw it."""

    def run():
        deadline = time.monotonic() + WAIT_SEC
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_planner_runs_until_a_signal(tmp_path, capfd):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("listener", context=context)
    beats: list[UInt64] = []
    node.create_subscription(UInt64, "planner/heartbeat", beats.append, 10)

    def is_up() -> bool:
        rclpy.spin_once(node, executor=executor, timeout_sec=0.1)
        services = node.get_service_names_and_types()
        return bool(beats) and any("plan_interaction" in name for name, _ in services)

    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    thread = end_when(is_up)
    words = ["--ros-args", "-p", "backend:=fake", "-p", f"output_dir:={tmp_path}"]
    assert planner_node.main(words) == 0
    # It would end this process, that of the tests, with exit status 0.
    assert "last resort" not in {each.name for each in threading.enumerate()}
    thread.join(WAIT_SEC)
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert "ready for goals" in capfd.readouterr().err


def test_planner_that_cannot_load_ends_with_1(capfd):
    assert planner_node.main(["--ros-args", "-p", "backend:=fake", "-p", "model:=missing"]) == 1
    assert "on_configure failed: model must be there" in capfd.readouterr().err


def test_planner_with_impossible_parameters_ends_with_1(capfd):
    assert planner_node.main(["--ros-args", "-p", "backend:=nonsense"]) == 1
    assert "backend must be one of" in capfd.readouterr().err


def test_camera_runs_until_a_signal_or_its_end(tmp_path):
    start = time.monotonic()
    end_when(lambda: time.monotonic() - start > 1.0)
    assert camera_node.main(["--ros-args", "-p", "rate_hz:=20.0"]) == 0
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    words = ["-p", "source:=folder", "-p", f"path:={tmp_path}", "-p", "loop:=false"]
    assert camera_node.main(["--ros-args", *words, "-p", "rate_hz:=20.0"]) == 0
    assert camera_node.main(["--ros-args", "-p", "source:=image", "-p", "path:=/nowhere"]) == 1


def test_client_asks_says_where_and_fails_with_a_word(tmp_path, capfd):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 20:30] = 255
    cv2.imwrite(str(tmp_path / "image.png"), image)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    files = ["--image", str(tmp_path / "image.png"), "--mask", str(tmp_path / "mask.png")]
    parameters = {"backend": "fake", "output_dir": str(tmp_path / "plans")}
    with NodeProcess("tavid_ros.planner_node", parameters, tmp_path) as planner:
        assert client.main([*files, "--prompt", "lift it", "--seed", "3"]) == 0
        last = capfd.readouterr().out.strip().splitlines()[-1]
        assert last.startswith(f"target touched; plan in file://{tmp_path}/plans/")
        assert client.main(["--prompt", "lift it"]) == 1
        assert "error: STALE_INPUT: target_mask must come" in capfd.readouterr().err
        for number in (signal.SIGINT, signal.SIGTERM):
            timer = threading.Timer(3.0, os.kill, (os.getpid(), number))
            timer.start()
            assert client.main([*files, "--prompt", "hang at denoise"]) == 1
            assert "got a cancel" in capfd.readouterr().err
            timer.join()
        planner.end()
    wait_for(lambda: planner.exit_status is not None)
    assert client.main(["--timeout", "0.2"]) == 1
    assert "a planner must be there within 0.2 s" in capfd.readouterr().err


def test_client_wants_image_and_mask_together(capsys):
    with pytest.raises(SystemExit):
        client.main(["--image", "a.png"])
    assert "--image and --mask go together" in capsys.readouterr().err
