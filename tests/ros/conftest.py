"""Every test process gets its own ROS domain; without ROS the tests here are left out."""

from __future__ import annotations

import importlib.util
import os

import pytest

HAS_ROS = all(importlib.util.find_spec(name) for name in ("rclpy", "sensor_msgs", "tavid"))
if HAS_ROS:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
else:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str:
    """Say why tests are missing."""
    return "" if HAS_ROS else "tests/ros left out: rclpy or the built interfaces are not installed"


@pytest.fixture
def graph(tmp_path):
    """A planner with the fake model and a client node, both spinning."""
    from tests.ros.graph import Graph

    made = Graph(tmp_path)
    yield made
    made.close()


@pytest.fixture
def loner(graph):
    """A client on a node that nobody spins."""
    import rclpy

    from tavid_ros.client import PlanClient

    node = rclpy.create_node("loner", context=graph.context)
    made = PlanClient(node)
    made.node = node
    yield made
    made.destroy()
    node.destroy_node()
