"""RViz and Foxglove files show what the node publishes, as durable as it publishes it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from nav_msgs.msg import Path
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from tavid_ros.conversions import header_from_stamp, markers_from_plan
from tavid_ros.parameters import CameraParameters
from tests.ros.graph import Graph
from tests.ros.messages import make_plan
from tests.source_tree import ROOT

RVIZ = yaml.safe_load((ROOT / "config" / "tavid.rviz").read_text())["Visualization Manager"]
FOXGLOVE = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
PANELS = FOXGLOVE["configById"]
DISPLAYS = [display for display in RVIZ["Displays"] if "Topic" in display]
TYPES = {
    "rviz_default_plugins/MarkerArray": MarkerArray,
    "rviz_default_plugins/Path": Path,
    "rviz_default_plugins/Image": Image,
}
NAMESPACES = {
    marker.ns for marker in markers_from_plan(make_plan(), header_from_stamp(0, "optical")).markers
} - {""}


@pytest.fixture(scope="module")
def offered(tmp_path_factory):
    """Type and durability of every topic that an active planner publishes; and its services."""
    graph = Graph(tmp_path_factory.mktemp("plans"))
    planner = graph.start()
    topics, services = {}, set()
    for publisher in planner.publishers:
        name = publisher.topic_name.removeprefix(graph.namespace)
        topics[name] = (publisher.msg_type, publisher.qos_profile.durability)
    for service in planner.services:
        services.add(planner.resolve_service_name(service.srv_name).removeprefix(graph.namespace))
    yield topics, services
    graph.close()


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: display["Name"])
def test_rviz_subscribes_to_what_there_is_and_gets_what_is_latched(display, offered):
    topic = display["Topic"]
    message_type, durability = offered[0][topic["Value"]]
    assert message_type is TYPES[display["Class"]]
    is_latched = durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert topic["Durability Policy"] == ("Transient Local" if is_latched else "Volatile")
    assert topic["Reliability Policy"] == "Reliable"


def test_rviz_shows_markers_overlay_and_frames_and_can_show_every_path():
    by_topic = {display["Topic"]["Value"]: display for display in DISPLAYS}
    for name in ("markers", "overlay", "frames"):
        assert by_topic[f"/planner/{name}"]["Enabled"]
    for name in ("hand", "left_hand", "right_hand", "target"):
        assert f"/planner/{name}_path" in by_topic
    assert set(by_topic["/planner/markers"]["Namespaces"]) == NAMESPACES


def test_rviz_looks_along_the_optical_axis_with_y_down():
    assert RVIZ["Global Options"]["Fixed Frame"] == CameraParameters().frame_id
    view = RVIZ["Views"]["Current"]
    assert view["Class"] == "rviz_default_plugins/Orbit"
    yaw, pitch = view["Yaw"], view["Pitch"]
    # From the focal point to the eye, as the orbit view has it; its up is +z without the part
    # along the view.
    to_eye = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    up = np.array([0.0, 0.0, 1.0]) - to_eye[2] * to_eye
    assert to_eye[2] < -0.9
    assert up[1] / np.linalg.norm(up) < -0.9
    assert abs(to_eye[0]) < 0.01


def list_panels(node):
    """Names of the panels in a layout tree."""
    if isinstance(node, str):
        return [node]
    return list_panels(node["first"]) + list_panels(node["second"])


def test_every_foxglove_panel_has_its_place():
    assert sorted(list_panels(FOXGLOVE["layout"])) == sorted(PANELS)
    kinds = {name.split("!")[0] for name in PANELS}
    assert kinds == {"Image", "3D", "DiagnosticSummary", "CallService"}


def test_foxglove_topics_and_services_exist(offered):
    topics, services = offered
    images = {panel["imageMode"]["imageTopic"] for name, panel in PANELS.items() if "Image" in name}
    assert images == {"/planner/overlay", "/planner/frames/compressed"}
    for topic in images:
        assert topics[topic][0] in (Image, CompressedImage)
    scene = PANELS["3D!plan"]
    for topic in scene["topics"]:
        assert topics[topic][0] in (MarkerArray, Path)
    assert set(scene["topics"]["/planner/markers"]["namespaces"]) == NAMESPACES
    assert scene["followTf"] == CameraParameters().frame_id
    assert topics[PANELS["DiagnosticSummary!all"]["topicToRender"]]
    called = {panel["serviceName"] for name, panel in PANELS.items() if "CallService" in name}
    assert called == {"/planner/plan", "/planner/cancel"}
    assert called <= services
