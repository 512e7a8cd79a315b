"""What colcon installs works without the source tree, and no other ROS mixes with it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT

TOOLS = ROOT / "tools"


@pytest.fixture(scope="module")
def ros_env():
    """The module tools/ros_env.py."""
    spec = importlib.util.spec_from_file_location("ros_env", TOOLS / "ros_env.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def install_space(ros_env):
    """The install space, with the Python packages as they are now."""
    venv = ros_env.find_venv()
    if not (venv / "tavid_env.stamp").is_file():
        pytest.skip("the environment was not made by `make env`")
    command = [sys.executable, str(TOOLS / "build_ros.py"), "--all"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)
    return ros_env.find_install_space(venv)


def run_installed(command, tmp_path):
    full = [sys.executable, str(TOOLS / "ros_env.py"), "--installed", *command]
    return subprocess.run(full, cwd=tmp_path, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_installed_packages_import_without_the_source_tree(install_space, tmp_path):
    code = "import tavid_core.types, tavid_ros, tavid.action; print(tavid_core.__file__)"
    done = run_installed(
        ["python", "-P" if sys.version_info >= (3, 11) else "-E", "-c", code], tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(install_space)


@pytest.mark.slow
def test_data_files_are_installed(install_space):
    installed = next(install_space.glob("lib/python3.*/site-packages/tavid_core"))
    for source in (ROOT / "tavid_core" / "assets").rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            assert (installed / source.relative_to(ROOT / "tavid_core")).is_file(), source
    for folder in ("launch", "config"):
        for source in (ROOT / folder).rglob("*.*"):
            relative = source.relative_to(ROOT)
            assert (
                "__pycache__" in source.parts or (install_space / "share/tavid" / relative).exists()
            )


@pytest.mark.slow
def test_entry_points_are_executable(install_space):
    for name in ("planner_node", "segmenter_node", "camera_node", "recorder_node", "client"):
        path = install_space / "lib" / "tavid" / name
        assert os.access(path, os.X_OK), path
        assert (ROOT / "tavid_ros" / f"{name}.py").is_file()
        # The environment's, not the one that built it.
        assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")


@pytest.mark.slow
def test_an_entry_point_runs_under_the_python_of_the_environment(install_space, tmp_path):
    done = run_installed([str(install_space / "lib" / "tavid" / "click"), "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pixel on the target" in done.stdout


def test_colcon_test_has_the_tests_of_every_node():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = re.findall(r"foreach\((TAVID_\w+)([^)]*)\)", text)
    names = {name: set(words.split()) for name, words in lists}
    nodes = {name for name in names["TAVID_ENTRY_POINT"] if name.endswith("_node")}
    assert nodes == {path.stem for path in (ROOT / "tavid_ros").glob("*_node.py")}
    assert nodes <= names["TAVID_TEST"]
    for name in names["TAVID_TEST"]:
        assert (ROOT / "tests" / "ros" / f"test_{name}.py").is_file(), name


def test_a_sourced_ros_installation_is_kept_out(ros_env, tmp_path):
    sourced = {
        "AMENT_PREFIX_PATH": "/opt/ros/other",
        "PYTHONPATH": "/opt/ros/other/lib/python3.12/site-packages",
        "LD_LIBRARY_PATH": "/opt/ros/other/lib:/usr/local/cuda/lib64",
        "ROS_DISTRO": "other",
        "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
        "PATH": "/usr/bin",
    }
    result = ros_env.run_environment(tmp_path / "venv", sourced)
    assert not [key for key, value in result.items() if "/opt/ros/other" in value]
    assert "/usr/local/cuda/lib64" in result["LD_LIBRARY_PATH"].split(":")
    assert result["ROS_DISTRO"] == "jazzy"
    assert result["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"
    assert result["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


def test_own_settings_of_the_user_are_kept(ros_env, tmp_path):
    chosen = {"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "VENV": "elsewhere"}
    result = ros_env.run_environment(tmp_path / "venv", chosen)
    assert result["ROS_DOMAIN_ID"] == "7"
    assert result["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert ros_env.find_venv(chosen) == ROOT / "elsewhere"
