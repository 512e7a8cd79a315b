"""Settings of all tests: no network, no graphics card, and skips that say what is missing."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Read when these libraries are first imported, hence before any test module is.
os.environ.setdefault("MUJOCO_GL", "osmesa")
os.environ.setdefault("PYOPENGL_PLATFORM", "osmesa")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A shell has its background jobs ignore Ctrl-C, which tests send to what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many threads as cores in each of two workers would wait for each other, and numpy's do so
    # without ever sleeping.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _enter_domain():
    """Take a ROS domain: two runs on one machine, two workers of one run, must not hear others."""
    # Here, because numpy comes with it, which reads the number of its threads just then.
    from tavid_ros.ros_domain import RosDomain

    domain = RosDomain()
    os.environ["ROS_DOMAIN_ID"] = str(domain.number)
    return domain


_DOMAIN = _enter_domain()

# The suite says the same of the same code each time; a release looks further:
# pytest --hypothesis-profile=release
# How long an example takes says more about the machine's other work than about the code.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, **_PATIENT)
settings.register_profile("release", max_examples=5000, print_blob=True, **_PATIENT)
settings.load_profile("suite")

TESTS = Path(__file__).resolve().parent
# Coverage is asked of tavid_core and tavid_ros, which have tests of their own; to trace these too
# costs a third of their time, and that of tests that run the same lines a hundred times two thirds.
UNTRACED = {"training", "benchmarks", "gpu"}
HAS_ROS = all(importlib.util.find_spec(name) is not None for name in ("rclpy", "tavid"))
HAS_OSMESA = ctypes.util.find_library("OSMesa") is not None

collect_ignore_glob = [] if HAS_ROS else ["ros/*"]


def pytest_report_header():
    """Say once what will not run."""
    return None if HAS_ROS else "tests/ros left out: rclpy or the built interfaces are missing"


def _find_reason(item):
    if item.get_closest_marker("gpu"):
        import torch

        return None if torch.cuda.is_available() else "needs a CUDA device"
    if item.get_closest_marker("render") and not HAS_OSMESA:
        return "needs off-screen rendering: apt-get install libosmesa6"
    return None


def pytest_collection_modifyitems(items):
    """Mark tests by their folder, skip those whose machine this is not, and begin with slow files.

    A file is one process's work, and the last to be begun keeps the others waiting.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        # The repository itself may lie in a folder of such a name.
        folders = set(Path(os.path.relpath(item.path, TESTS)).parts)
        if "gpu" in folders:
            item.add_marker(pytest.mark.gpu)
        is_repeated = getattr(getattr(item, "function", None), "is_hypothesis_test", False)
        if UNTRACED & folders or is_repeated:
            item.add_marker(pytest.mark.no_cover)
        reason = _find_reason(item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def browser_path():
    """Path of a Chromium; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    return pytest.skip("needs a browser: apt-get install chromium")


@pytest.fixture(autouse=True)
def _untraced_children(request, monkeypatch):
    """Let the processes that an untraced test starts be untraced too."""
    if request.node.get_closest_marker("no_cover"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Let Python connect to this machine only; DDS is kept local by its own settings."""
    connect = socket.socket.connect

    def connect_locally(self, address):
        is_local = self.family == socket.AF_UNIX or str(address[0]) in {"127.0.0.1", "::1"}
        if not is_local and address[0] != "localhost":
            raise ConnectionRefusedError(f"tests must not use the network, got {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)
