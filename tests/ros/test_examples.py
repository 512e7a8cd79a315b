"""The example programs, run for real: camera, segmenter and planner as processes, over DDS."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from tavid_core.files import read_image, read_mask
from tavid_ros.processes import NodeProcess
from tavid_ros.ros_domain import RosDomain
from tavid_ros.sources import find_scene
from tests.ros.graph import wait_for
from tests.source_tree import ROOT

ROW = re.compile(r"^ +(\d+\.\d{3}) +(-?\d+\.\d{3}) +(-?\d+\.\d{3}) +(-?\d+\.\d{3})$", re.MULTILINE)


@pytest.fixture(scope="module")
def scene():
    """A shipped picture without its mask, and a pixel of the target."""
    folder = find_scene("")
    image = read_image(folder / "image.png")
    rows, columns = np.nonzero(read_mask(folder / "mask.png", image.shape[:2]))
    middle = len(rows) // 2
    return folder / "image.png", (str(columns[middle]), str(rows[middle]))


@pytest.fixture(scope="module")
def nodes(scene, tmp_path_factory):
    """Camera, segmenter and planner with the fake model."""
    folder = tmp_path_factory.mktemp("nodes")
    camera = {"source": "image", "path": str(scene[0]), "prompt": "A person lifts the box."}
    planner = {"backend": "fake", "output_dir": str(folder / "plans")}
    with (
        NodeProcess("tavid_ros.camera_node", camera, folder),
        NodeProcess("tavid_ros.segmenter_node", {}, folder),
        NodeProcess("tavid_ros.planner_node", planner, folder) as planner_process,
    ):
        yield planner_process


@contextlib.contextmanager
def run_example(name, *words):
    """Start an example as the documentation does; one that hangs says where, and is killed."""
    paths = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", str(ROOT / "examples" / name), *words],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        except subprocess.TimeoutExpired as error:
            # Python answers with the stacks of its threads.
            process.send_signal(signal.SIGABRT)
            pytest.fail(f"{error}\n{process.communicate()[1]}")
        finally:
            process.kill()


@pytest.mark.slow
def test_a_click_becomes_a_grasp_approach_and_a_path(nodes, scene):
    with run_example("plan_and_print.py", "--click", *scene[1]) as process:
        printed, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert re.search(r"the right hand touches the target after \d\.\d\d s at \(", printed)
    found = re.search(r"grasp approach: .* m along \((.*)\), (\d\.\d{3}) m in", printed)
    direction = [float(word) for word in found[1].split(",")]
    assert np.linalg.norm(direction) == pytest.approx(1.0, abs=2e-3)
    assert 0.1 <= float(found[2]) < 0.3
    rows = ROW.findall(printed)
    assert len(rows) == 17
    assert "hand path in camera_optical_frame" in printed
    # The fake model leads the hand to the target, so the table must end near its pixel.
    assert float(rows[-1][0]) == pytest.approx(2.0)

    with run_example("minimal_client.py") as process:
        printed, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert len(printed.splitlines()) == 17
    assert "x=" in printed


def test_ctrl_c_cancels_the_goal(nodes, scene):
    words = ("--click", *scene[1], "--prompt", "hang at denoise")
    with run_example("plan_and_print.py", *words) as process:
        # The line that the progress bar writes when the model is at work.
        wait_for(lambda: "denoise" in process.stderr.readline(), timeout_sec=60.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.strip().endswith("canceled")
    wait_for(lambda: ": CANCELED after" in nodes.read_log_tail())


def test_without_a_camera_it_says_so(monkeypatch):
    with RosDomain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain.number))
        with run_example("plan_and_print.py", "--timeout", "0.5") as process:
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: a planner must be there within 0.5 s" in errors
