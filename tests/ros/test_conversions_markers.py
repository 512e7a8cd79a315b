"""Plans as markers: what is drawn, where, and that it goes away again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from visualization_msgs.msg import Marker

from tavid_core.types import Contact
from tavid_ros import conversions
from tests.ros.messages import make_motion, make_plan, make_request, make_track

HEADER = conversions.header_from_stamp(1_700_000_000_000_000_007, "optical")
NAMESPACES = {
    "left_hand_path",
    "right_hand_path",
    "target_path",
    "skeleton",
    "heads",
    "hands",
    "target",
    "contact",
    "text",
}


def draw(lifetime_sec: float = 0.0, **motion) -> list[Marker]:
    plan = make_plan(motion=make_motion(**motion))
    return conversions.markers_from_plan(plan, HEADER, lifetime_sec).markers


def pick(markers: list[Marker], namespace: str) -> list[Marker]:
    return [marker for marker in markers if marker.ns == namespace]


def test_markers_start_with_a_clean_slate_and_hold_finite_points():
    markers = draw(hands=(make_track("right_hand", lost=(2,)), make_track("left_hand")))
    assert markers[0].action == Marker.DELETEALL
    assert {marker.ns for marker in markers[1:]} == NAMESPACES
    assert len({(marker.ns, marker.id) for marker in markers}) == len(markers)
    for marker in markers:
        assert marker.header == HEADER
        assert all(np.isfinite([p.x, p.y, p.z]).all() for p in marker.points)
        assert len(marker.colors) in (0, len(marker.points))
    (strip,) = pick(markers, "right_hand_path")
    assert len(strip.points) == 8


@pytest.mark.parametrize("namespace", ["right_hand_path", "skeleton", "hands", "heads"])
def test_opacity_grows_with_time(namespace):
    (marker,) = pick(draw(hands=(make_track("right_hand"),)), namespace)
    alphas = [color.a for color in marker.colors]
    assert alphas == sorted(alphas)
    assert alphas[0] < 0.2
    assert alphas[-1] == 1.0


def test_the_box_has_the_size_and_the_pose_of_the_target():
    quaternions = np.tile(np.float32([0, 0, 0, 1]), (9, 1))
    quaternions[-1] = [0, 0, np.sqrt(0.5), np.sqrt(0.5)]
    first, last = pick(draw(target_quaternions_xyzw=quaternions), "target")
    # The mask is 10 by 10 pixels, the target 1 m away, the focal lengths 60 and 61 pixels.
    assert (last.scale.x, last.scale.y) == pytest.approx((10 / 60, 10 / 61))
    assert (first.pose.orientation.z, last.pose.orientation.z) == pytest.approx((0, 0.5**0.5))
    assert (first.pose.position.x, last.pose.position.x) == pytest.approx((0.0, 0.08))
    assert first.color.a < last.color.a


def test_text_names_prompt_hand_time_confidence_and_an_assumed_scale():
    (text,) = pick(draw(), "text")
    assert '"the person lifts the cup"' in text.text
    assert "touched at 0.4 s by the right hand (confidence 0.80)" in text.text
    assert "scale" not in text.text
    (text,) = pick(draw(scale_source="none", contact=Contact()), "text")
    assert "target not touched" in text.text
    assert text.text.endswith("scale assumed")


def test_a_long_prompt_is_cut():
    plan = make_plan(request=make_request(prompt="word " * 200))
    (text,) = pick(conversions.markers_from_plan(plan, HEADER).markers, "text")
    assert len(text.text.splitlines()) == 4
    assert " ..." in text.text


def test_without_an_actor_what_was_drawn_is_deleted_and_nothing_else():
    markers = draw(hands=(), contact=Contact())
    assert [marker.action for marker in markers] == [Marker.DELETEALL]


def test_displays_forget_the_markers_by_themselves():
    markers = draw(lifetime_sec=2.5)
    assert all(conversions.seconds_from_duration(m.lifetime) == 2.5 for m in markers[1:])


def test_what_was_never_seen_is_not_drawn():
    lost = make_track("target", lost=range(9))
    contact = Contact(hand="right_hand", point_camera_m=np.float32([np.nan, 0, 0]))
    namespaces = {marker.ns for marker in draw(target=lost, body=(), contact=contact)}
    assert namespaces == {"", "left_hand_path", "right_hand_path", "hands", "text"}


def test_markers_do_not_change_the_plan():
    plan = make_plan()
    before = dataclasses.replace(plan).motion.target.positions_camera_m.copy()
    conversions.markers_from_plan(plan, HEADER)
    np.testing.assert_array_equal(plan.motion.target.positions_camera_m, before)
