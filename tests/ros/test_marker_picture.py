"""Markers as a picture: what is in it, over DDS, and what is said when there is none."""

from __future__ import annotations

import dataclasses
import sys

import cv2
import numpy as np
import pytest
from visualization_msgs.msg import Marker, MarkerArray

from tavid_core.errors import MissingExtraError, NotReadyError
from tavid_core.types import Contact
from tavid_core.visualize import CONTACT_COLOR, TRACK_COLORS
from tavid_ros import conversions
from tavid_ros.marker_picture import draw_markers, main
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.rigid_transform import RigidTransform
from tests.ros.messages import make_motion, make_plan, make_request, make_track

HEADER = conversions.header_from_stamp(1, "camera_optical_frame")


def make_scene(**fields):
    """A plan whose hands are apart, so that both are seen."""
    left = make_track("left_hand")
    moved = left.positions_camera_m + np.float32([0.1, 0.1, 0])
    left = dataclasses.replace(left, positions_camera_m=moved)
    return make_plan(motion=make_motion(hands=(make_track("right_hand"), left), **fields))


def has_color(path, rgb, least_px=20):
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    return (np.abs(picture - rgb).max(axis=-1) < 12).sum() >= least_px


def test_every_part_is_drawn_and_a_prompt_is_no_formula(tmp_path):
    plan = dataclasses.replace(make_scene(), request=make_request(prompt="take $5 _and_ $10^"))
    draw_markers(conversions.markers_from_plan(plan, HEADER), tmp_path / "a.png")
    for color in (
        TRACK_COLORS["left_hand"],
        CONTACT_COLOR,
        TRACK_COLORS["target"],
        (255, 255, 255),
    ):
        assert has_color(tmp_path / "a.png", color), color
    plan = make_scene(contact=Contact())
    draw_markers(conversions.markers_from_plan(plan, HEADER), tmp_path / "b.png")
    assert not has_color(tmp_path / "b.png", CONTACT_COLOR)


def test_a_plan_in_another_frame_is_drawn_as_it_stands_there(tmp_path):
    markers = conversions.markers_from_plan(make_plan(), HEADER)
    upright = RigidTransform.of([-0.5, 0.5, -0.5, 0.5], [0.0, 0.0, 0.0])
    draw_markers(markers, tmp_path / "optical.png")
    conversions.change_frame(markers, "base_link", upright)
    draw_markers(markers, tmp_path / "upright.png")
    one, other = (
        cv2.imread(str(tmp_path / name)).astype(int) for name in ("optical.png", "upright.png")
    )
    # The same scene, but for the labels of the axes.
    assert (np.abs(one - other).max(axis=-1) > 40).mean() < 0.03


def test_unknown_types_are_left_out_and_nothing_is_refused(tmp_path):
    mesh = Marker(header=HEADER, type=Marker.MESH_RESOURCE, action=Marker.ADD)
    draw_markers(MarkerArray(markers=[mesh]), tmp_path / "a.png")
    with pytest.raises(NotReadyError, match="markers must draw something, got deletions only"):
        draw_markers(conversions.delete_markers(HEADER), tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"tavid\[viz\]"):
        draw_markers(conversions.markers_from_plan(make_plan(), HEADER), tmp_path / "a.png")


def test_latched_markers_are_drawn_and_a_deletion_is_waited_out(graph, tmp_path, capsys):
    publisher = graph.node.create_publisher(MarkerArray, "planner/markers", LATCHED_QOS)
    publisher.publish(conversions.delete_markers(HEADER))
    topic = f"{graph.namespace}/planner/markers"
    words = ["--topic", topic, "--out", str(tmp_path / "a.png")]
    assert main([*words, "--timeout", "1"]) == 1
    assert f"markers must come on {topic} within 1 s, got none" in capsys.readouterr().err
    publisher.publish(conversions.markers_from_plan(make_plan(), HEADER))
    assert main([*words, "--timeout", "20"]) == 0
    assert has_color(tmp_path / "a.png", CONTACT_COLOR)
