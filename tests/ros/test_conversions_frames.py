"""Messages in another frame, and motions as frames."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import Point, PointStamped

from tavid_ros import conversions
from tavid_ros.rigid_transform import RigidTransform
from tests.ros.messages import make_motion, make_plan, make_track

HEADER = conversions.header_from_stamp(1_700_000_000_000_000_007, "optical")
# The camera of a robot: 1 m up, looking ahead. Ahead is +z there and +x here, right is -y here.
BASE_FROM_OPTICAL = RigidTransform.of([-0.5, 0.5, -0.5, 0.5], [0.0, 0.0, 1.0])


def test_a_trajectory_is_turned_and_keeps_its_times_and_stamp():
    message = conversions.trajectory_from_motion(make_motion(), 8.0, HEADER)
    conversions.change_frame(message, "base_link", BASE_FROM_OPTICAL)
    assert message.header.frame_id == "base_link"
    assert message.header.stamp == HEADER.stamp
    # Other messages of the same plan have it too.
    assert HEADER.frame_id == "optical"
    place = message.points[4].transforms[-1].translation
    # 4 cm to the right and 1 m ahead of the camera.
    assert (place.x, place.y, place.z) == pytest.approx((1.0, -0.04, 1.0))
    turn = message.points[4].transforms[-1].rotation
    assert (turn.x, turn.y, turn.z, turn.w) == pytest.approx((-0.5, 0.5, -0.5, 0.5))
    assert conversions.seconds_from_duration(message.points[4].time_from_start) == 0.5


def test_a_path_is_turned_with_every_header():
    path = conversions.path_from_track(make_track("left_hand"), HEADER)
    conversions.change_frame(path, "base_link", BASE_FROM_OPTICAL)
    assert {pose.header.frame_id for pose in path.poses} == {"base_link"}
    place = path.poses[8].pose.position
    assert (place.x, place.y, place.z) == pytest.approx((1.0, -0.08, 1.0))


def test_a_point_is_turned():
    point = PointStamped(header=HEADER, point=Point(x=0.3, y=0.2, z=2.0))
    conversions.change_frame(point, "base_link", BASE_FROM_OPTICAL)
    assert point.header.frame_id == "base_link"
    assert (point.point.x, point.point.y, point.point.z) == pytest.approx((2.0, -0.3, 0.8))


def test_markers_are_turned_whether_they_have_points_or_a_pose():
    plan = make_plan()
    markers = conversions.markers_from_plan(plan, HEADER)
    conversions.change_frame(markers, "base_link", BASE_FROM_OPTICAL)
    assert {marker.header.frame_id for marker in markers.markers} == {"base_link"}
    contact = next(marker for marker in markers.markers if marker.ns == "contact")
    place = contact.pose.position
    assert (place.x, place.y, place.z) == pytest.approx((1.0, -0.03, 1.0))
    strip = next(marker for marker in markers.markers if marker.ns == "target_path")
    # A display applies the pose of a marker to its points.
    pose = strip.pose
    transform = RigidTransform.of(
        [pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w],
        [pose.position.x, pose.position.y, pose.position.z],
    )
    last = strip.points[-1]
    shown = transform.apply([last.x, last.y, last.z])
    np.testing.assert_allclose(shown, [1.0, -0.08, 1.0], atol=1e-6)


def test_a_motion_is_one_frame_per_known_point():
    quaternions = np.tile(np.float32([0, 0, 1, 0]), (9, 1))
    motion = make_motion(
        hands=(make_track("right_hand", lost=(5,)), make_track("left_hand")),
        target_quaternions_xyzw=quaternions,
    )
    transforms = conversions.transforms_from_motion(motion, 5, HEADER, "robot1/planner")
    names = {transform.child_frame_id for transform in transforms}
    points = ("head", "left_shoulder", "left_hand", "target")
    assert names == {f"robot1/planner/{name}" for name in points}
    target = next(item for item in transforms if item.child_frame_id.endswith("target"))
    assert target.header == HEADER
    assert target.transform.translation.x == pytest.approx(0.05)
    assert (target.transform.rotation.z, target.transform.rotation.w) == (1.0, 0.0)
