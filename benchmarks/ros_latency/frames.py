"""How many of a camera's pictures reach the planner, and how old the one of a plan is."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from action_msgs.msg import GoalStatus
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from tavid.action import PlanInteraction

from benchmarks.rig import WAIT_SEC, BenchmarkError, Moment, Rig, check_accepted
from benchmarks.ros_latency.plan_loop import PlanLoop
from benchmarks.ros_latency.recording_planner import RECEIVED, USED, read_records
from tavid_ros.conversions import nanoseconds_from_time
from tavid_ros.processes import NodeProcess
from tavid_ros.sources import find_scene

__all__ = ["FrameTimes", "count_frames", "measure_frames", "start_camera"]

RATE_HZ = 30.0
SIZE_WH = (720, 480)
# At both ends of the record, where one process was up before the other.
_MARGIN_NS = 1_000_000_000
_FIRST_FRAME_SEC = 30.0
_SETTLE_SEC = 1.5


@dataclasses.dataclass(frozen=True)
class FrameTimes:
    """What became of the camera's pictures.

    Args:
        num_published: Pictures that the camera published.
        num_delivered: Those of them that the planner received.
        camera_rate_hz: Pictures per second that the camera managed.
        ages_ms: Of the picture of each goal when its plan started.
    """

    num_published: int
    num_delivered: int
    camera_rate_hz: float
    ages_ms: list[float]


def _write_scene(folder: Path) -> None:
    """Write the default scene in the size of a common camera, without losing its depth."""
    source = find_scene("")
    folder.mkdir()
    sizes = {}
    for name, method in (
        ("image", cv2.INTER_LINEAR),
        ("mask", cv2.INTER_NEAREST),
        ("depth", cv2.INTER_NEAREST),
    ):
        picture = cv2.imread(str(source / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        sizes[name] = picture.shape
        resized = cv2.resize(picture, SIZE_WH, interpolation=method)
        cv2.imwrite(str(folder / f"{name}.png"), resized)
    camera = json.loads((source / "camera.json").read_text())
    height, width = sizes["image"][:2]
    for name, scale in (
        *((name, SIZE_WH[0] / width) for name in ("fx", "cx", "width")),
        *((name, SIZE_WH[1] / height) for name in ("fy", "cy", "height")),
    ):
        camera[name] = (
            round(camera[name] * scale) if name in ("width", "height") else (camera[name] * scale)
        )
    (folder / "camera.json").write_text(json.dumps(camera))
    (folder / "scene.json").write_bytes((source / "scene.json").read_bytes())


def start_camera(rig: Rig, folder: Path) -> NodeProcess:
    """Start a camera of 30 pictures a second, 720x480, with mask, depth, calibration and prompt.

    Args:
        rig: That it belongs to.
        folder: For its scene.

    Returns:
        Its process.
    """
    _write_scene(folder / "scene")
    parameters = {"source": "scene", "path": str(folder / "scene"), "rate_hz": RATE_HZ}
    return rig.start("tavid_ros.camera_node", parameters)


class _Published:
    """The stamps of the camera's pictures, as its camera_info tells them."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._lock = threading.Lock()
        self._stamps_ns: list[int] = []
        # Deep and reliable: what is small, none is lost of.
        self._subscription = rig.node.create_subscription(
            CameraInfo,
            "camera_info",
            self._note,
            QoSProfile(depth=1000),
            callback_group=rig.group,
        )

    def _note(self, message: CameraInfo) -> None:
        with self._lock:
            self._stamps_ns.append(nanoseconds_from_time(message.header.stamp))

    def stop(self) -> list[int]:
        self._rig.node.destroy_subscription(self._subscription)
        with self._lock:
            return sorted(self._stamps_ns)


def _start_plan(rig: Rig) -> float:
    """Send a goal that takes everything from the topics, and cancel it when its plan starts.

    Returns:
        When it started, system clock, as stamps are.
    """
    started = threading.Event()
    started_ns: list[int] = []

    def hear(message: PlanInteraction.Impl.FeedbackMessage) -> None:
        if message.feedback.stage == "condition" and not started_ns:
            started_ns.append(time.time_ns())
            started.set()

    future = rig.client.send_goal_async(PlanInteraction.Goal(), feedback_callback=hear)
    handle = Moment(future).wait()
    check_accepted(handle)
    result = Moment(handle.get_result_async())
    while not started.wait(0.05):
        if result.at_sec:
            break
    Moment(handle.cancel_goal_async()).wait()
    response = result.wait()
    if not started_ns or response.status != GoalStatus.STATUS_CANCELED:
        raise BenchmarkError(
            f"a goal must start with the camera's pictures, got: {response.result.error_msg}"
        )
    return started_ns[0]


def _wait_for_frames(planner: NodeProcess) -> None:
    deadline_sec = time.monotonic() + _FIRST_FRAME_SEC
    while not read_records(planner.log_path, RECEIVED):
        if time.monotonic() > deadline_sec:
            raise BenchmarkError(
                f"pictures must reach the planner within {_FIRST_FRAME_SEC:g} s, got none. It "
                f"said last:\n{planner.read_log_tail()}"
            )
        time.sleep(0.2)
    # Mask and depth of the first pictures may have come before their subscriptions were matched.
    time.sleep(_SETTLE_SEC)


def measure_frames(
    rig: Rig,
    planner: NodeProcess,
    camera: NodeProcess,
    num_goals: int,
    plan_seconds: float,
    show: Callable[[], object],
) -> FrameTimes:
    """Follow the pictures from the camera into plans.

    Args:
        rig: With both.
        planner: A `recording_planner`.
        camera: Of `start_camera`; ended here.
        num_goals: Plans to start.
        plan_seconds: How long to plan without break after that.
        show: Called after each goal.

    Returns:
        What became of the pictures.

    Raises:
        BenchmarkError: If the planner gets none, or a goal fails.
    """
    published = _Published(rig)
    _wait_for_frames(planner)
    rng = np.random.default_rng(0)
    starts_ns = []
    for _ in range(num_goals):
        time.sleep(rng.uniform(0.0, 1.0 / RATE_HZ))
        starts_ns.append(_start_plan(rig))
        show()
    used_ns = read_records(planner.log_path, USED)
    if len(used_ns) != num_goals:
        raise BenchmarkError(
            f"each of {num_goals} goals must use one picture, got {len(used_ns)}. Did others ask?"
        )
    with PlanLoop(rig, PlanInteraction.Goal()) as loop:
        deadline_sec = time.monotonic() + min(plan_seconds, WAIT_SEC)
        while time.monotonic() < deadline_sec:
            loop.check()
            time.sleep(0.1)
    camera.end()
    time.sleep(_SETTLE_SEC)
    sent_ns = published.stop()
    return count_frames(
        sent_ns,
        read_records(planner.log_path, RECEIVED),
        [(start - used) / 1e6 for start, used in zip(starts_ns, used_ns, strict=True)],
    )


def count_frames(sent_ns: list[int], received_ns: list[int], ages_ms: list[float]) -> FrameTimes:
    """Count between the first and the last picture that the planner received, less a margin.

    Args:
        sent_ns: Stamps that the camera told.
        received_ns: Stamps that the planner received, in their order.
        ages_ms: As in the result.

    Returns:
        What became of the pictures.

    Raises:
        BenchmarkError: With fewer than two pictures.
    """
    first_ns, last_ns = received_ns[0] + _MARGIN_NS, received_ns[-1] - _MARGIN_NS
    received = {stamp for stamp in received_ns if first_ns <= stamp <= last_ns}
    # A picture whose camera_info was lost was published all the same.
    sent = sorted({stamp for stamp in sent_ns if first_ns <= stamp <= last_ns} | received)
    if len(sent) < 2:
        raise BenchmarkError(f"pictures must be published, got {len(sent)}. See the camera's log.")
    return FrameTimes(
        num_published=len(sent),
        num_delivered=len(received),
        camera_rate_hz=(len(sent) - 1) / ((sent[-1] - sent[0]) / 1e9),
        ages_ms=ages_ms,
    )
