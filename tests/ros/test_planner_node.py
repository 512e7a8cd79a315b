"""The planner node with the fake model: goals, topics, services, lifecycle, parameters."""

from __future__ import annotations

import itertools
import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Path as PathMessage
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt64
from std_srvs.srv import Trigger
from tavid.action import PlanInteraction
from trajectory_msgs.msg import MultiDOFJointTrajectory
from visualization_msgs.msg import MarkerArray

from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tavid_ros.client import path_from_uri
from tavid_ros.publishers import LATCHED_QOS
from tests.ros.graph import STATUS, Graph, finish, wait_for
from tests.ros.messages import make_request
from tests.stopwatch import Stopwatch


@pytest.fixture(scope="module")
def shared_graph(tmp_path_factory):
    """One running planner for the tests that leave it as it was."""
    graph = Graph(tmp_path_factory.mktemp("plans"))
    graph.start()
    yield graph
    graph.close()


def test_goal_gives_progress_result_and_a_saved_plan(graph):
    graph.start(save_plans=True)
    status, result = graph.plan()
    assert status == STATUS.STATUS_SUCCEEDED
    assert (result.error_code, result.error_msg) == (ErrorCode.NONE, "")
    assert list(result.motion.joint_names) == ["right_hand", "target"]
    assert len(result.motion.points) == 17
    assert result.motion.header.frame_id == "head_camera_optical_frame"
    assert result.motion.header.stamp.nanosec == 123_456_789
    assert result.touches_target
    assert not result.frames
    folder = path_from_uri(result.plan_uri)
    assert folder.parent == graph.folder
    assert (folder / "plan.json").exists()
    stages = list(dict.fromkeys(feedback.stage for feedback in graph.feedback))
    assert stages == ["queued", "condition", "denoise", "decode", "lift"]
    elapsed = [conversions.seconds_from_duration(feedback.elapsed) for feedback in graph.feedback]
    assert elapsed == sorted(elapsed)


def test_frames_come_in_the_result_when_asked_for(shared_graph):
    graph = shared_graph
    goal = conversions.goal_from_request(make_request(), return_frames=True)
    _, result = graph.plan(goal)
    assert len(result.frames) == 17
    assert result.plan_uri == ""


def test_feedback_is_limited_to_its_rate(graph):
    graph.start(feedback_rate_hz=1.0)
    graph.plan(num_inference_steps=10)
    assert [f.stage for f in graph.feedback].count("denoise") <= 2


def test_a_long_step_is_told_again_with_its_time(graph):
    graph.start()
    handle = graph.send(prompt="hang at denoise")
    wait_for(lambda: [f.stage for f in graph.feedback].count("denoise") >= 3)
    finish(handle.cancel_goal_async())
    # The first may be of a step before the one that hangs.
    told = [f for f in graph.feedback if f.stage == "denoise"][1:]
    assert {f.step for f in told} == {told[0].step}
    elapsed_sec = [conversions.seconds_from_duration(f.elapsed) for f in told]
    assert all(after - before > 0.9 for before, after in itertools.pairwise(elapsed_sec))


def test_second_goal_is_rejected_and_the_first_goes_on(shared_graph):
    graph = shared_graph
    first = graph.send(num_inference_steps=20)
    assert first.accepted
    graph.wait_stage("denoise")
    for _ in range(5):
        watch = Stopwatch()
        assert not graph.send().accepted
        assert watch.stop() < 1.0
    status, _ = graph.result(first)
    assert status == STATUS.STATUS_SUCCEEDED
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED


def test_plan_is_published_on_every_topic(shared_graph):
    graph = shared_graph
    frames = graph.subscribe(Image, "planner/frames")
    compressed = graph.subscribe(CompressedImage, "planner/frames/compressed")
    _, result = graph.plan()
    # Latched topics are subscribed to only now.
    plans = graph.subscribe(MultiDOFJointTrajectory, "planner/plan", LATCHED_QOS)
    markers = graph.subscribe(MarkerArray, "planner/markers", LATCHED_QOS)
    hands = graph.subscribe(PathMessage, "planner/hand_path", LATCHED_QOS)
    targets = graph.subscribe(PathMessage, "planner/target_path", LATCHED_QOS)
    overlays = graph.subscribe(Image, "planner/overlay", LATCHED_QOS)
    wait_for(lambda: plans and markers and hands and targets and overlays)
    assert plans[0] == result.motion
    assert len(hands[0].poses) == len(targets[0].poses) == 17
    assert (overlays[0].width, overlays[0].height) == (64, 48)
    wait_for(lambda: len(frames) >= 3 and len(compressed) >= 3)
    for message in (markers[0].markers[1], hands[0], overlays[0], frames[0], compressed[0]):
        assert message.header == result.motion.header


def test_no_actor_is_an_abort_with_pictures_but_nothing_to_follow(graph):
    graph.start(save_plans=True)
    graph.plan()
    plans = graph.subscribe(MultiDOFJointTrajectory, "planner/plan", LATCHED_QOS)
    paths = graph.subscribe(PathMessage, "planner/hand_path", LATCHED_QOS)
    targets = graph.subscribe(PathMessage, "planner/target_path", LATCHED_QOS)
    wait_for(lambda: plans and paths and targets)
    assert plans[-1].points
    overlays = graph.subscribe(Image, "planner/overlay", LATCHED_QOS)
    status, result = graph.plan(prompt="no_actor at lift", stamp_ns=2_000_000_005)
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == ErrorCode.NO_ACTOR
    assert "image must show an actor" in result.error_msg
    assert path_from_uri(result.plan_uri).is_dir()
    # The plan before is latched; a robot that starts now must not take it for this image's.
    wait_for(lambda: min(len(plans), len(paths), len(targets)) == 2)
    assert [*plans[-1].points, *plans[-1].joint_names, *paths[-1].poses, *targets[-1].poses] == []
    wait_for(lambda: overlays and overlays[-1].header.stamp.sec == 2)
    for message in (plans[-1], paths[-1], targets[-1], overlays[-1]):
        assert (message.header.stamp.sec, message.header.stamp.nanosec) == (2, 5)


def test_frames_are_played_while_a_simulated_clock_stands_still(graph):
    graph.start(use_sim_time=True)
    frames = graph.subscribe(Image, "planner/frames")
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED
    wait_for(lambda: len(frames) >= 3)


def test_trigger_services_plan_and_cancel(graph):
    graph.start(default_prompt="hang at denoise")
    request = make_request()
    header = conversions.header_from_stamp(0, "optical")
    image, mask = graph.publisher(Image, "image"), graph.publisher(Image, "target_mask")

    def is_refused_now():
        image.publish(conversions.message_from_image(request.image, header))
        mask.publish(conversions.message_from_mask(request.target_mask, header))
        time.sleep(0.1)
        graph.call(Trigger, "planner/plan")
        return not graph.call(Trigger, "planner/plan").success

    wait_for(is_refused_now)
    answer = graph.call(Trigger, "planner/plan")
    assert "BUSY" in answer.message
    answer = graph.call(Trigger, "planner/cancel")
    assert answer.success
    assert answer.message == "1 goal(s) canceling"
    wait_for(lambda: not graph.call(Trigger, "planner/cancel").success)


def test_heartbeat_counts_while_there_is_a_server(graph):
    planner = graph.start(is_active=False)
    beats = graph.subscribe(UInt64, "planner/heartbeat")
    assert planner.trigger_configure() == TransitionCallbackReturn.SUCCESS
    time.sleep(0.6)
    assert beats == []
    assert planner.trigger_activate() == TransitionCallbackReturn.SUCCESS
    wait_for(lambda: len(beats) >= 3)
    assert [beat.data for beat in beats] == list(range(beats[0].data, beats[0].data + len(beats)))
    assert planner.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    num_beats = len(beats)
    wait_for(lambda: len(beats) >= num_beats + 2)


def test_diagnostics_name_worker_inputs_and_last_plan(shared_graph):
    graph = shared_graph
    graph.plan(prompt="nan at denoise")
    heard = graph.subscribe(DiagnosticArray, "/diagnostics")
    name = f"{graph.namespace.lstrip('/')}/planner"

    def statuses():
        return {status.name: status.message for array in heard for status in array.status}

    wait_for(lambda: f"{name}: worker" in statuses())
    assert statuses()[f"{name}: worker"] == "ready"
    assert statuses()[f"{name}: last_plan"] == "NON_FINITE"
    wait_for(lambda: statuses()[f"{name}: inputs"] == "no publisher of image, target_mask")


def test_lifecycle_gates_goals_and_ends_the_running_one(graph):
    planner = graph.start()
    handle = graph.send(prompt="hang at denoise")
    graph.wait_stage("denoise")
    change = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert graph.call(ChangeState, "planner/change_state", change).success
    status, result = graph.result(handle)
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == ErrorCode.NOT_READY
    assert not graph.send().accepted
    assert planner.trigger_activate() == TransitionCallbackReturn.SUCCESS
    # The worker is still hanging in the goal before; the node waits for it and restarts it.
    assert graph.send(prompt="x").accepted


def test_impossible_transition_leaves_the_node_alive(shared_graph):
    graph = shared_graph
    change = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert not graph.call(ChangeState, "planner/change_state", change).success
    change = ChangeState.Request(transition=Transition(label="nonsense"))
    assert not graph.call(ChangeState, "planner/change_state", change).success
    assert graph.call(GetState, "planner/get_state").current_state.label == "active"
    assert graph.plan()[0] == STATUS.STATUS_SUCCEEDED


def test_model_that_cannot_be_loaded_leaves_the_node_unconfigured(graph):
    planner = graph.start(is_active=False, model="missing")
    assert planner.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert graph.call(GetState, "planner/get_state").current_state.label == "unconfigured"


def set_parameter(graph, name: str, **value):
    parameter = Parameter(name=name, value=ParameterValue(**value))
    request = SetParameters.Request(parameters=[parameter])
    return graph.call(SetParameters, "planner/set_parameters", request).results[0]


def test_parameters_answer_and_change_while_planning(graph):
    graph.start()
    handle = graph.send(num_inference_steps=40)
    graph.wait_stage("denoise")
    for _ in range(20):
        watch = Stopwatch()
        request = GetParameters.Request(names=["model"])
        answer = graph.call(GetParameters, "planner/get_parameters", request)
        assert answer.values[0].string_value == "mini"
        assert watch.stop() < 1.0
    assert set_parameter(graph, "num_frames", type=2, integer_value=9).successful
    assert len(graph.result(handle)[1].motion.points) == 17
    goal = conversions.goal_from_request(make_request(num_frames=None))
    assert len(graph.plan(goal)[1].motion.points) == 9


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("model", {"type": 4, "string_value": "/tmp"}, "read-only"),
        ("output_dir", {"type": 4, "string_value": "/etc"}, "read-only"),
        ("num_frames", {"type": 2, "integer_value": 12}, "num_frames must be 0 or 8n\\+1"),
        ("num_inference_steps", {"type": 2, "integer_value": 5000}, "range"),
        ("feedback_rate_hz", {"type": 4, "string_value": "fast"}, "type"),
    ],
)
def test_impossible_parameters_are_refused_with_a_reason(shared_graph, name, value, reason):
    graph = shared_graph
    result = set_parameter(graph, name, **value)
    assert not result.successful
    with pytest.raises(AssertionError, match=f"(?i){reason}"):
        raise AssertionError(result.reason)


def test_every_parameter_is_described(shared_graph):
    graph, planner = shared_graph, shared_graph.planner
    names = [name for name in planner._parameters if not name.startswith(("use_sim", "start_type"))]
    request = DescribeParameters.Request(names=names)
    answer = graph.call(DescribeParameters, "planner/describe_parameters", request)
    undescribed = [d.name for d in answer.descriptors if not d.description]
    assert undescribed == []


def test_of_eight_goals_at_once_one_is_taken(shared_graph):
    graph = shared_graph
    goal = conversions.goal_from_request(make_request(num_inference_steps=40))
    futures = [graph.client.send_goal_async(goal) for _ in range(8)]
    wait_for(lambda: all(future.done() for future in futures))
    accepted = [future.result() for future in futures if future.result().accepted]
    assert len(accepted) == 1
    assert graph.result(accepted[0])[0] == STATUS.STATUS_SUCCEEDED


def test_empty_goal_without_topics_says_what_is_missing(shared_graph):
    graph = shared_graph
    status, result = graph.plan(PlanInteraction.Goal())
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == ErrorCode.STALE_INPUT
    assert "target_mask must come with the goal or on its topic" in result.error_msg
