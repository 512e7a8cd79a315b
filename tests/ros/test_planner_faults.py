"""What goes wrong with a goal: cancels, faults of the worker, bad and stale inputs, time-outs."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, String
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode
from tavid_ros import conversions
from tavid_ros.worker_job import WorkerState
from tests.ros.graph import STATUS, Graph, finish, wait_for
from tests.ros.messages import make_image_message, make_request


@pytest.fixture(scope="module")
def shared_graph(tmp_path_factory):
    """One running planner for the tests that leave it as it was."""
    graph = Graph(tmp_path_factory.mktemp("plans"))
    graph.start()
    yield graph
    graph.close()


def assert_still_plans(graph) -> None:
    """The node lives and the next goal works."""
    status, result = graph.plan()
    assert (status, result.error_code) == (STATUS.STATUS_SUCCEEDED, ErrorCode.NONE)


@pytest.mark.parametrize("stage", ["queued", "condition", "denoise", "decode", "lift"])
def test_cancel_at_each_stage_is_acknowledged_and_ends_the_goal(shared_graph, stage):
    graph = shared_graph
    handle = graph.send(num_inference_steps=4)
    if stage != "queued":
        graph.wait_stage(stage)
    answer = finish(handle.cancel_goal_async())
    status, result = graph.result(handle)
    if stage == "lift" and status == STATUS.STATUS_SUCCEEDED:
        # The plan was ready before the cancel came.
        assert len(answer.goals_canceling) in (0, 1)
    else:
        assert len(answer.goals_canceling) == 1
        assert status == STATUS.STATUS_CANCELED
        assert result.error_code == ErrorCode.CANCELED
        assert not result.motion.points
        assert result.plan_uri == ""
    assert_still_plans(graph)


def test_cancel_twice_and_after_the_end(shared_graph):
    handle = shared_graph.send(num_inference_steps=40)
    shared_graph.wait_stage("denoise")
    first, second = handle.cancel_goal_async(), handle.cancel_goal_async()
    finish(first)
    finish(second)
    assert shared_graph.result(handle)[0] == STATUS.STATUS_CANCELED
    assert not finish(handle.cancel_goal_async()).goals_canceling
    assert_still_plans(shared_graph)


def test_goal_after_a_cancel_waits_for_the_worker(graph):
    graph.start(cancel_grace_sec=0.0, drain_timeout_sec=6.0)
    worker = graph.planner._worker
    handle = graph.send_hanging()
    pid = worker.pid
    finish(handle.cancel_goal_async())
    assert graph.result(handle)[0] == STATUS.STATUS_CANCELED
    # The result does not wait for the worker, which hangs until drain_timeout_sec is over.
    assert (worker.state, worker.pid) == (WorkerState.BUSY, pid)
    assert_still_plans(graph)
    assert worker.pid != pid


@pytest.mark.parametrize(
    ("prompt", "code", "match"),
    [
        ("crash at denoise", ErrorCode.WORKER_DIED, "SIGKILL"),
        ("crash at lift", ErrorCode.WORKER_DIED, "SIGKILL"),
    ],
)
def test_faults_abort_the_goal_with_their_code(shared_graph, prompt, code, match):
    status, result = shared_graph.plan(prompt=prompt)
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == code
    assert match in result.error_msg
    assert_still_plans(shared_graph)


@pytest.mark.parametrize(
    ("owner", "name", "match"),
    [
        ("_inputs", "make_request", "the node must plan the goal, got KeyError: 'pretended'"),
        ("_plan_publishers", "publish", "the node must publish the plan, got KeyError"),
    ],
)
def test_error_that_nobody_foresaw_is_told(shared_graph, monkeypatch, owner, name, match):
    def fail(*_, **__):
        raise KeyError("pretended")

    with monkeypatch.context() as patch:
        patch.setattr(getattr(shared_graph.planner, owner), name, fail)
        status, result = shared_graph.plan()
    assert (status, result.error_code) == (STATUS.STATUS_ABORTED, ErrorCode.UNKNOWN)
    assert match in result.error_msg
    assert shared_graph.planner._runner.last_plan.code is ErrorCode.UNKNOWN
    assert_still_plans(shared_graph)


def test_worker_killed_while_idle_is_replaced(shared_graph):
    worker = shared_graph.planner._worker
    pid = worker.pid
    os.kill(pid, signal.SIGKILL)
    # A goal that comes before the death is noticed is lost with the worker, and says so.
    wait_for(lambda: worker.pid not in (None, pid))
    assert_still_plans(shared_graph)
    assert worker.pid != pid


def test_worker_that_dies_again_and_again_is_an_error_and_is_started_all_the_same(graph):
    graph.start()
    heard = graph.subscribe(DiagnosticArray, "/diagnostics")
    worker = graph.planner._worker

    def levels() -> set[bytes]:
        statuses = [status for array in tuple(heard) for status in array.status]
        return {status.level for status in statuses if status.name.endswith("planner: worker")}

    for num_deaths in range(1, 4):
        wait_for(lambda: worker.state is WorkerState.READY)
        os.kill(worker.pid, signal.SIGKILL)
        wait_for(lambda num_deaths=num_deaths: worker.num_recent_deaths == num_deaths)
    wait_for(lambda: DiagnosticStatus.ERROR in levels())
    assert_still_plans(graph)


def test_goals_have_a_time_limit(graph):
    graph.start(goal_time_limit_sec=0.5, drain_timeout_sec=0.2)
    status, result = graph.plan(prompt="hang at denoise")
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == ErrorCode.TIMEOUT
    assert "within 0.5 s" in result.error_msg


def test_hanging_worker_is_ended_by_the_watchdog(graph):
    graph.start(watchdog_sec=1.5)
    status, result = graph.plan(prompt="hang at denoise")
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == ErrorCode.WORKER_DIED
    assert_still_plans(graph)


def make_goal(**changes) -> PlanInteraction.Goal:
    goal = conversions.goal_from_request(make_request())
    for field, value in changes.items():
        setattr(goal, field, value)
    return goal


HEADER = Header(frame_id="optical")
EMPTY_MASK = np.zeros((48, 64), bool)
RGB_MASK = make_image_message(np.zeros((48, 64, 3), np.uint8), "rgb8")
CUT_IMAGE = make_image_message(np.zeros((48, 64, 3), np.uint8), "rgb8")
CUT_IMAGE.data = CUT_IMAGE.data[:-1]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"image": CUT_IMAGE}, "image.data must have step x height"),
        ({"image": Image(height=2**32 - 1, width=2**32 - 1, encoding="rgb8")}, "sides of 1 to"),
        ({"target_mask": RGB_MASK}, "target_mask.encoding must be one of mono8"),
        (
            {"target_mask": conversions.message_from_mask(EMPTY_MASK, HEADER)},
            "target_mask must mark at least one pixel",
        ),
        (
            {"target_mask": conversions.message_from_mask(~EMPTY_MASK, HEADER)},
            "target_mask must leave some pixels",
        ),
        (
            {"target_mask": conversions.message_from_mask(~EMPTY_MASK[:24], HEADER)},
            "target_mask must have shape",
        ),
        ({"depth": make_image_message(np.zeros((9, 9), np.float32), "32FC1")}, "depth_m must have"),
        ({"camera_info": CameraInfo(width=9, height=9, k=[1.0] * 9)}, "camera_info must have the"),
        ({"prompt": "x" * 2000}, "prompt must have 1 to 1024 characters, got 2000"),
        ({"prompt": "\x00\n\t"}, "prompt must have 1 to 1024 characters, got 0"),
        ({"num_frames": 12}, "num_frames must be 8n+1"),
        ({"num_inference_steps": -3}, "num_inference_steps must be in"),
        ({"guidance_scale": float("inf")}, "guidance_scale must be in"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_unusable_goals_are_refused_with_the_reason(shared_graph, changes, match):
    status, result = shared_graph.plan(make_goal(**changes))
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == ErrorCode.INVALID_INPUT
    assert match in result.error_msg


def test_malformed_messages_do_not_harm_the_node(graph):
    graph.start(input_max_age_sec=0.0)
    request = make_request()
    image, mask = graph.publisher(Image, "image"), graph.publisher(Image, "target_mask")
    prompt = graph.publisher(String, "prompt")
    prompt.publish(String(data="the person lifts it"))
    good_image = conversions.message_from_image(request.image, HEADER)
    good_mask = conversions.message_from_mask(request.target_mask, HEADER)
    counts, ages = graph.planner._num_malformed, graph.planner._inputs.ages_sec

    def publish_until(publisher, message, is_enough):
        publisher.publish(message)
        time.sleep(0.02)
        return is_enough()

    wait_for(lambda: publish_until(image, good_image, lambda: "image" in ages()))
    wait_for(lambda: publish_until(mask, good_mask, lambda: "target_mask" in ages()))
    wait_for(lambda: publish_until(image, CUT_IMAGE, lambda: counts["image"] >= 5))
    wait_for(lambda: publish_until(mask, RGB_MASK, lambda: counts["target_mask"] >= 5))
    # The good ones from before are still there.
    status, result = graph.plan(PlanInteraction.Goal(prompt="lift it"))
    assert (status, result.error_msg) == (STATUS.STATUS_SUCCEEDED, "")


def test_stale_inputs_are_refused_with_their_age(graph):
    graph.start(input_max_age_sec=0.3, input_wait_sec=0.0, default_prompt="the person lifts it")
    request = make_request()
    image, mask = graph.publisher(Image, "image"), graph.publisher(Image, "target_mask")

    def is_heard():
        image.publish(conversions.message_from_image(request.image, HEADER))
        mask.publish(conversions.message_from_mask(request.target_mask, HEADER))
        time.sleep(0.02)
        return len(graph.planner._inputs.ages_sec()) == 2

    wait_for(is_heard)
    time.sleep(0.6)
    status, result = graph.plan(PlanInteraction.Goal())
    assert status == STATUS.STATUS_ABORTED
    assert result.error_code == ErrorCode.STALE_INPUT
    assert "must be at most 0.3 s old, got " in result.error_msg


def test_goal_that_waits_for_the_worker_takes_the_image_of_its_start(graph):
    # The worker hangs until this test ends it, however slow the machine is.
    graph.start(
        cancel_grace_sec=0.0,
        drain_timeout_sec=600.0,
        watchdog_sec=600.0,
        input_max_age_sec=0.0,
        default_prompt="the person lifts it",
    )
    request = make_request()

    def put_pictures(stamp_sec):
        header = conversions.header_from_stamp(stamp_sec * 10**9, "optical")
        inputs = graph.planner._inputs
        inputs.put("image", conversions.message_from_image(request.image, header))
        inputs.put("target_mask", conversions.message_from_mask(request.target_mask, header))

    put_pictures(1)
    handle = graph.send_hanging()
    finish(handle.cancel_goal_async())
    # Until its result is out, the canceled goal holds the place, and another one is refused.
    assert graph.result(handle)[0] == STATUS.STATUS_CANCELED
    waiting = graph.send(PlanInteraction.Goal())
    graph.wait_stage("queued")
    put_pictures(2)
    os.kill(graph.planner._worker.pid, signal.SIGKILL)
    status, result = graph.result(waiting)
    assert (status, result.error_msg) == (STATUS.STATUS_SUCCEEDED, "")
    assert result.motion.header.stamp.sec == 2


def test_compressed_images_are_understood(graph):
    graph.start(use_compressed_image=True, input_max_age_sec=0.0, default_prompt="lift it")
    request = make_request()
    publisher = graph.publisher(CompressedImage, "image/compressed")

    def is_heard():
        publisher.publish(conversions.compressed_from_image(request.image, HEADER))
        time.sleep(0.02)
        return "image" in graph.planner._inputs.ages_sec()

    wait_for(is_heard)
    goal = PlanInteraction.Goal(
        target_mask=conversions.message_from_mask(request.target_mask, HEADER)
    )
    status, result = graph.plan(goal)
    assert (status, result.error_msg) == (STATUS.STATUS_SUCCEEDED, "")
    assert result.motion.header.frame_id == "optical"
