"""The launch files under the real launch system, where it is installed."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("launch", "launch_ros")),
    reason="needs launch and launch_ros, which are not on PyPI",
)

# Runs a launch file, tells what it starts, and stops as soon as a certain program was started.
PROBE = """
import os, signal, sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessStart
from launch.launch_description_sources import PythonLaunchDescriptionSource

def tell(event, context):
    profile = event.env.get("FASTRTPS_DEFAULT_PROFILES_FILE", "none")
    print("STARTED", f"PROFILE={profile}", *event.cmd, flush=True)
    started.append(event.pid)
    if arguments.get("respawn") == "true" and len(started) == 1:
        os.kill(event.pid, signal.SIGKILL)
        return None
    return Shutdown() if event.cmd[0].endswith(sys.argv[2]) else None

started = []
arguments = dict(word.split(":=", 1) for word in sys.argv[3:])
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService(argv=[])
service.include_launch_description(LaunchDescription([
    RegisterEventHandler(OnProcessStart(on_start=tell)),
    IncludeLaunchDescription(source, launch_arguments=arguments.items()),
]))
sys.exit(service.run())
"""


def run(name, last_program, *words, status=0):
    """Launch for real, and give the words that tell of every process that was started."""
    path = str(ROOT / "launch" / f"{name}.launch.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, path, last_program, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return [line.split() for line in done.stdout.splitlines() if line.startswith("STARTED ")]


def launch(name, last_program, *words):
    """Launch for real, and give the profile and command of each program that was started."""
    return {Path(line[2]).name: line[1:] for line in run(name, last_program, *words)}


@pytest.mark.slow
def test_a_real_launch_starts_the_node_with_its_parameters(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("/**: {ros__parameters: {seed: 7}}\n")
    started = launch("planner", "planner_node", f"params_file:={own}", "backend:=fake")
    words = started["planner_node"]
    files = [after for word, after in itertools.pairwise(words) if word == "--params-file"]
    assert [Path(name).name for name in files[:2]] == ["planner.yaml", "own.yaml"]
    assert Path(files[2]).name.startswith("launch_params_")


@pytest.mark.slow
def test_a_real_demo_gives_the_camera_its_namespace_and_the_profile(tmp_path):
    started = launch(
        "demo", "camera_node", "backend:=fake", "namespace:=robot1", "ask:=false", "name:=other"
    )
    assert set(started) >= {"planner_node", "camera_node"}
    for name in ("planner_node", "camera_node"):
        assert started[name][0].endswith("config/fastdds_profile.xml")
        assert "__ns:=/robot1" in started[name]
    assert "__node:=planner" in started["planner_node"]


@pytest.mark.slow
def test_a_real_segmenter_starts_with_its_arguments():
    started = launch("segmenter", "segmenter_node", "method:=grabcut", "clicked_points_topic:=/pen")
    assert "clicked_points:=/pen" in started["segmenter_node"]
    assert "segmenter.yaml" in " ".join(started["segmenter_node"])


@pytest.mark.slow
def test_wrong_words_end_the_demo_before_anything_starts():
    words = ["backend:=fake", "target:=click", "click:=350"]
    assert run("demo", "camera_node", *words, status=1) == []


@pytest.mark.slow
def test_a_demo_whose_camera_fails_ends():
    words = run("demo", "nothing", "backend:=fake", "ask:=false", "scene:=nowhere")
    assert "camera_node" in {Path(line[2]).name for line in words}


@pytest.mark.slow
def test_a_killed_planner_is_started_again():
    words = run("planner", "planner_node", "respawn:=true", "backend:=fake", "autostart:=false")
    assert [Path(line[2]).name for line in words] == ["planner_node", "planner_node"]


@pytest.mark.parametrize("name", ["planner", "segmenter", "demo"])
def test_show_args_tells_every_argument(name):
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    path = str(ROOT / "launch" / f"{name}.launch.py")
    arguments = get_launch_description_from_python_launch_file(path).get_launch_arguments()
    assert len(arguments) > 8
    for argument in arguments:
        assert argument.description.strip(), argument.name
        assert argument.default_value is not None, argument.name
