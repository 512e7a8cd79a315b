"""Transforms: worked by hand, against each other, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import ErrorCode, InputError
from tavid_ros import conversions
from tavid_ros.rigid_transform import RigidTransform
from tavid_ros.transform_tree import MissingTransformError, TransformTree

SECOND = 1_000_000_000
HALF = np.sqrt(0.5)
# Turns optical axes (z forward, x right, y down) into those of a robot (x forward, y left, z up).
OPTICAL_TURN = (-0.5, 0.5, -0.5, 0.5)

numbers = st.floats(-10, 10)
quaternions = (
    st.tuples(numbers, numbers, numbers, numbers)
    .map(np.array)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
)
transforms = st.builds(RigidTransform.of, quaternions, st.tuples(numbers, numbers, numbers))


def make_message(parent, child, translation_m=(0, 0, 0), turn=(0, 0, 0, 1), stamp_ns=0):
    x, y, z = (float(value) for value in translation_m)
    qx, qy, qz, qw = (float(value) for value in turn)
    return TransformStamped(
        header=conversions.header_from_stamp(stamp_ns, parent),
        child_frame_id=child,
        transform=Transform(
            translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)
        ),
    )


def make_robot():
    """A camera 1.2 m above and 0.1 m before the base, looking ahead; a base driving along x."""
    tree = TransformTree()
    tree.put(make_message("base_link", "camera", (0.1, 0, 1.2)), is_static=True)
    tree.put(make_message("camera", "optical", turn=OPTICAL_TURN), is_static=True)
    tree.put(make_message("/odom", "base_link", (1, 0, 0), stamp_ns=10 * SECOND), is_static=False)
    tree.put(
        make_message("odom", "base_link", (2, 0, 0), (0, 0, HALF, HALF), 11 * SECOND),
        is_static=False,
    )
    return tree


def test_a_point_before_the_camera_is_before_the_robot():
    base_from_optical = make_robot().look_up("base_link", "optical", 0, 0.0)
    # 2 m ahead of the camera, 0.3 m to its right, 0.2 m below its axis.
    np.testing.assert_allclose(base_from_optical.apply([0.3, 0.2, 2.0]), [2.1, -0.3, 1.0])


def test_moving_frames_are_interpolated_at_the_stamp():
    tree = make_robot()
    at_start = tree.look_up("odom", "optical", 10 * SECOND, 0.0)
    np.testing.assert_allclose(at_start.apply([0, 0, 1]), [2.1, 0, 1.2], atol=1e-12)
    at_end = tree.look_up("odom", "optical", 11 * SECOND, 0.0)
    np.testing.assert_allclose(at_end.apply([0, 0, 1]), [2.0, 1.1, 1.2], atol=1e-12)
    half_way = tree.look_up("odom", "optical", 10 * SECOND + SECOND // 2, 0.0)
    np.testing.assert_allclose(
        half_way.apply([0, 0, 1]), [1.5 + 1.1 * HALF, 1.1 * HALF, 1.2], atol=1e-12
    )


def test_the_last_one_serves_within_the_tolerance_only():
    tree = make_robot()
    late = tree.look_up("odom", "base_link", 11 * SECOND + SECOND // 4, 0.3)
    np.testing.assert_allclose(late.translation_m, [2, 0, 0])
    with pytest.raises(
        MissingTransformError,
        match=r"'base_link' must be within 0.3 s of the image, got one -5.00 s from it",
    ) as caught:
        tree.look_up("odom", "optical", 16 * SECOND, 0.3)
    assert caught.value.code is ErrorCode.STALE_INPUT
    with pytest.raises(MissingTransformError, match=r"got one \+1.00 s from it"):
        tree.look_up("odom", "optical", 9 * SECOND, 0.3)
    # What does not move is known at any time, however old the odometry above it.
    tree.look_up("base_link", "optical", 99 * SECOND, 0.0)


def test_unconnected_frames_are_named_with_what_there_is():
    with pytest.raises(
        MissingTransformError,
        match=r"from 'optical' to 'map' must be on /tf .* \(frames that have a parent: base_link, "
        r"camera, optical\). Publish it, or change target_frame",
    ):
        make_robot().look_up("map", "optical", 0, 1.0)
    with pytest.raises(MissingTransformError, match="parent: none"):
        TransformTree().look_up("map", "optical", 0, 1.0)


def test_a_frame_is_itself_without_any_transform():
    same = TransformTree().look_up("/optical", "optical", 5, 0.0)
    np.testing.assert_array_equal(same.apply([1, 2, 3]), [1, 2, 3])


def test_a_loop_ends():
    tree = TransformTree()
    tree.put(make_message("a", "b"), is_static=True)
    tree.put(make_message("b", "a"), is_static=True)
    with pytest.raises(MissingTransformError):
        tree.look_up("map", "a", 0, 1.0)


def test_a_clock_that_jumps_back_starts_anew_and_old_ones_are_forgotten():
    tree = TransformTree()
    for second in range(100, 131):
        tree.put(
            make_message("odom", "base", (second, 0, 0), stamp_ns=second * SECOND), is_static=False
        )
    with pytest.raises(MissingTransformError):
        tree.look_up("odom", "base", 110 * SECOND, 1.0)
    tree.put(make_message("odom", "base", (3, 0, 0), stamp_ns=3 * SECOND), is_static=False)
    np.testing.assert_allclose(tree.look_up("odom", "base", 3 * SECOND, 0).translation_m, [3, 0, 0])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (make_message("", "base"), "must have two frames, got '' and 'base'"),
        (make_message("base", "/base"), "must have two frames, got 'base' and 'base'"),
        (make_message("a", "b", turn=(0, 0, 0, 0)), "must have finite numbers and a rotation"),
        (make_message("a", "b", (np.nan, 0, 0)), "must have finite numbers and a rotation"),
        (make_message("a", "b", (np.inf, 0, 0)), "must have finite numbers and a rotation"),
    ],
)
def test_impossible_transforms_are_refused(message, reason):
    tree = TransformTree()
    with pytest.raises(InputError, match=reason):
        tree.put(message, is_static=False)
    with pytest.raises(MissingTransformError):
        tree.look_up("a", "b", 0, 1.0)


@given(transforms, transforms)
def test_composing_and_inverting_agree_with_points(first, second):
    point = np.array([0.3, -2.0, 1.0])
    np.testing.assert_allclose(
        (first @ second).apply(point), first.apply(second.apply(point)), atol=1e-8
    )
    np.testing.assert_allclose(first.invert().apply(first.apply(point)), point, atol=1e-8)


@given(transforms, transforms, st.floats(0, 1))
def test_interpolating_turns_evenly_the_shorter_way(start, end, share):
    middle = start.interpolate(end, share)
    assert np.linalg.norm(middle.quaternion_xyzw) == pytest.approx(1.0)

    def angle(one, other):
        return (one.rotation.inv() * other.rotation).magnitude()

    assert angle(start, middle) == pytest.approx(share * angle(start, end), abs=1e-5)
