"""What a plan is published on: paths, playback, lifetime, frames; over DDS, with the fake model."""

from __future__ import annotations

import importlib.util
import json
import time

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from nav_msgs.msg import Path
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from trajectory_msgs.msg import MultiDOFJointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tavid_ros.client import path_from_uri
from tavid_ros.output_frame import OutputFrame
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.transform_tree import TransformTree
from tests.ros.graph import STATUS, finish, wait_for
from tests.ros.messages import make_plan, make_request

HAS_TF = importlib.util.find_spec("tf2_msgs") is not None
needs_tf = pytest.mark.skipif(not HAS_TF, reason="needs tf2_msgs, which is not on PyPI")
PATHS = ("hand", "left_hand", "right_hand", "target")
# The camera of a robot: 1 m up, looking ahead.
CAMERA_ON_ROBOT = Transform(
    translation=Vector3(z=1.0), rotation=Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
)


def put_camera_on_robot(frame_id="base_link"):
    return TransformStamped(
        header=Header(frame_id=frame_id),
        child_frame_id="head_camera_optical_frame",
        transform=CAMERA_ON_ROBOT,
    )


def subscribe_to_followed(graph):
    """Latched topics that a robot follows, by name."""
    heard = {name: graph.subscribe(Path, f"planner/{name}_path", LATCHED_QOS) for name in PATHS}
    heard["plan"] = graph.subscribe(MultiDOFJointTrajectory, "planner/plan", LATCHED_QOS)
    return heard


def test_every_hand_has_a_path_that_is_empty_when_it_is_unseen(graph):
    graph.start()
    graph.plan()
    heard = subscribe_to_followed(graph)
    wait_for(lambda: all(heard.values()))
    lengths = {name: len(heard[name][-1].poses) for name in PATHS}
    assert lengths == {"hand": 17, "left_hand": 0, "right_hand": 17, "target": 17}
    assert heard["hand"][-1] == heard["right_hand"][-1]


def test_an_old_plan_is_withdrawn_also_for_those_who_come_later(graph):
    graph.start(plan_lifetime_sec=1.5)
    early = subscribe_to_followed(graph)
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED
    wait_for(lambda: all(early.values()))
    assert early["plan"][0].points
    wait_for(lambda: all(len(messages) == 2 for messages in early.values()))
    markers = graph.subscribe(MarkerArray, "planner/markers", LATCHED_QOS)
    late = subscribe_to_followed(graph)
    wait_for(lambda: markers and all(late.values()))
    assert [marker.action for marker in markers[-1].markers] == [Marker.DELETEALL]
    for heard in (early, late):
        assert not heard["plan"][-1].points
        assert not any(heard[name][-1].poses for name in PATHS)
        assert heard["plan"][-1].header.frame_id == "head_camera_optical_frame"


def test_a_newer_plan_starts_its_own_lifetime(graph):
    planner = graph.start(plan_lifetime_sec=4.0)
    graph.plan()
    first_end_sec = time.monotonic() + planner._plan_publishers.remaining_sec
    time.sleep(1.6)
    graph.plan()
    assert time.monotonic() + planner._plan_publishers.remaining_sec - first_end_sec > 1.5
    wait_for(lambda: not planner._plan_publishers.is_plan_shown)


def test_deactivating_withdraws_the_plan(graph):
    planner = graph.start(plan_lifetime_sec=0.0)
    graph.plan()
    heard = subscribe_to_followed(graph)
    wait_for(lambda: all(heard.values()))
    assert planner._plan_publishers.remaining_sec is None
    assert planner.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    wait_for(lambda: all(len(messages) == 2 for messages in heard.values()))
    assert not heard["plan"][-1].points


def test_frames_come_complete_and_in_order_as_fast_as_possible(graph):
    graph.start(playback_rate=0.0)
    frames = graph.subscribe(Image, "planner/frames", 64)
    wait_for(lambda: graph.node.count_publishers(f"{graph.namespace}/planner/frames"))
    goal = conversions.goal_from_request(make_request(), return_frames=True)
    _, result = graph.plan(goal)
    wait_for(lambda: len(frames) >= 17)
    time.sleep(0.3)
    assert [bytes(f.data) for f in frames] == [bytes(f.data) for f in result.frames]


def test_frames_are_played_at_their_rate_and_in_a_loop(graph):
    planner = graph.start(playback_rate=4.0, playback_loop=True)
    arrivals = []
    graph.node.create_subscription(
        Image, "planner/frames", lambda _: arrivals.append(time.monotonic()), 64
    )
    graph.plan()
    # 8 fps four times as fast: 32 per second. The second time round is a loop.
    wait_for(lambda: len(arrivals) >= 30)
    assert arrivals[29] - arrivals[0] > 0.7 * 29 / 32
    planner._plan_publishers.stop()
    num_frames = len(arrivals)
    time.sleep(0.3)
    assert len(arrivals) <= num_frames + 2


def test_the_timer_of_a_replaced_plan_neither_shows_nor_ends_anything(graph):
    planner = graph.start(playback_rate=0.0)
    player = planner._plan_publishers._player
    frames = graph.subscribe(Image, "planner/frames", 64)
    wait_for(lambda: graph.node.count_publishers(f"{graph.namespace}/planner/frames"))
    rollout = make_plan().rollout
    header = conversions.header_from_stamp(1, "old")
    player.play(rollout, header, rate=0.001)
    old = player._turn
    player.play(rollout, conversions.header_from_stamp(2, "new"), rate=1.0)
    for _ in rollout.frames:
        player._show_next(old)
    wait_for(lambda: len(frames) == len(rollout.frames))
    assert {frame.header.frame_id for frame in frames} == {"new"}


def test_plans_come_in_the_wanted_frame_also_in_the_result(graph):
    planner = graph.start()
    tree = TransformTree()
    planner._plan_publishers.output_frame = OutputFrame("base_link", tree)
    tree.put(put_camera_on_robot(), is_static=True)
    _, result = graph.plan()
    plans = graph.subscribe(MultiDOFJointTrajectory, "planner/plan", LATCHED_QOS)
    paths = graph.subscribe(Path, "planner/target_path", LATCHED_QOS)
    markers = graph.subscribe(MarkerArray, "planner/markers", LATCHED_QOS)
    overlays = graph.subscribe(Image, "planner/overlay", LATCHED_QOS)
    wait_for(lambda: plans and paths and markers and overlays)
    assert plans[-1] == result.motion
    for message in (plans[-1], paths[-1], markers[-1].markers[1]):
        assert message.header.frame_id == "base_link"
        assert message.header.stamp == overlays[-1].header.stamp
    # A picture stays in the frame that it was taken in.
    assert overlays[-1].header.frame_id == "head_camera_optical_frame"
    # The fake model puts the target 1 m ahead of the camera, at the middle of the mask.
    place = paths[-1].poses[0].pose.position
    x_m, y_m = (34.5 - 31.5) / 60, (14.5 - 23.5) / 61
    wanted = pytest.approx((1.0, -x_m, 1.0 - y_m), abs=1e-6)
    assert (place.x, place.y, place.z) == wanted
    contact = result.contact_point
    assert contact.header == plans[-1].header
    assert (contact.point.x, contact.point.y, contact.point.z) == wanted


def test_a_goal_waits_for_a_transform_that_comes_late_and_can_be_canceled_meanwhile(graph):
    planner = graph.start(input_wait_sec=20.0)
    tree = TransformTree()
    planner._plan_publishers.output_frame = OutputFrame("base_link", tree)
    handle = graph.send()
    time.sleep(0.3)
    finish(handle.cancel_goal_async())
    status, result = graph.result(handle)
    assert (status, result.error_code) == (STATUS.STATUS_CANCELED, ErrorCode.CANCELED)
    handle = graph.send()
    time.sleep(0.3)
    tree.put(put_camera_on_robot(), is_static=True)
    status, result = graph.result(handle)
    assert (status, result.motion.header.frame_id) == (STATUS.STATUS_SUCCEEDED, "base_link")


def test_a_goal_without_its_transform_ends_before_the_model_starts(graph):
    planner = graph.start(input_wait_sec=0.2)
    output_frame = OutputFrame("base_link", TransformTree())
    planner._plan_publishers.output_frame = output_frame
    status, result = graph.plan()
    assert (status, result.error_code) == (STATUS.STATUS_ABORTED, ErrorCode.STALE_INPUT)
    assert "from 'head_camera_optical_frame' to 'base_link' must be on /tf" in result.error_msg
    assert {feedback.stage for feedback in graph.feedback} <= {"queued"}
    heard = graph.subscribe(DiagnosticArray, "/diagnostics")
    name = f"{graph.namespace.lstrip('/')}/planner: transforms"

    def find_level():
        return [s.level for array in heard for s in array.status if s.name == name]

    wait_for(lambda: find_level()[-1:] == [b"\x02"])


def test_a_saved_plan_says_whose_goal_it_answers(graph):
    graph.start(save_plans=True)
    handle = graph.send()
    _, result = graph.result(handle)
    folder = path_from_uri(result.plan_uri)
    document = json.loads((folder / "plan.json").read_text())
    assert document["provenance"]["goal_id"] == bytes(handle.goal_id.uuid).hex()
    assert document["provenance"]["seed"] == document["request"]["seed"] == 7
    assert document["request"]["stamp_ns"] == 1_700_000_000_123_456_789
    assert document["request"]["prompt"] == "the person lifts the cup"


@pytest.mark.skipif(HAS_TF, reason="tf2_msgs is installed")
@pytest.mark.parametrize("parameters", [{"publish_tf": True}, {"target_frame": "base_link"}])
def test_without_tf2_msgs_the_package_is_named(graph, capfd, parameters):
    planner = graph.start(is_active=False, **parameters)
    assert planner.trigger_configure() == TransitionCallbackReturn.FAILURE
    said = "".join(capfd.readouterr())
    assert "tf2_msgs must be installed for target_frame and publish_tf" in said
    assert "-tf2-msgs" in said


@needs_tf
def test_transforms_are_heard_on_tf_static(graph):
    from tf2_msgs.msg import TFMessage

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = graph.node.create_publisher(TFMessage, "/tf_static", latched)
    frame_id = graph.namespace.lstrip("/")
    publisher.publish(TFMessage(transforms=[put_camera_on_robot(frame_id)]))
    planner = graph.start(target_frame=frame_id)
    tree = planner._plan_publishers.output_frame._tree
    wait_for(lambda: tree._static)
    _, result = graph.plan()
    assert result.motion.header.frame_id == frame_id


@needs_tf
def test_the_motion_is_shown_on_tf_in_step_with_the_frames(graph):
    from tf2_msgs.msg import TFMessage

    heard = graph.subscribe(TFMessage, "/tf", 100)
    graph.start(publish_tf=True)
    graph.plan()
    prefix = f"{graph.namespace.lstrip('/')}/planner/"

    def own():
        transforms = [t for message in heard for t in message.transforms]
        return [t for t in transforms if t.child_frame_id.startswith(prefix)]

    wait_for(lambda: len(own()) >= 2 * 17)
    hand = [t for t in own() if t.child_frame_id == f"{prefix}right_hand"]
    assert {t.header.frame_id for t in hand} == {"head_camera_optical_frame"}
    # Of now, not of the image, which is of 2023.
    assert min(t.header.stamp.sec for t in hand) > 1_750_000_000
    assert hand[-1].header.stamp != Time()
    ways = [t.transform.translation.y for t in hand]
    assert ways == sorted(ways, reverse=True)
