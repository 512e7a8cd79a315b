"""The segmenter over DDS: clicks become masks stamped like their image."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Point32, PointStamped, Polygon, PolygonStamped
from rcl_interfaces.srv import ListParameters
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tavid.srv import SegmentTarget

from tavid_core.errors import ConfigError
from tavid_ros import conversions
from tavid_ros.processes import NodeProcess
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.segment_job import JobKind
from tavid_ros.segmenter_node import SegmenterNode
from tavid_ros.spinning import BackgroundExecutor
from tavid_ros.worker_job import WorkerState
from tests.drawn import draw_many_discs, draw_reach
from tests.ros.graph import finish, wait_for
from tests.ros.test_camera_node import signal_is_caught
from tests.tiny_detector import save_tiny_detector

NUMBERS = itertools.count()
FRAME_ID = "head_optical"


class Bench:
    """A segmenter, and somebody who shows it images and clicks on them."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        name = f"__ns:=/segmenter_{next(NUMBERS)}"
        rclpy.init(args=["--ros-args", "-r", name, "--disable-rosout-logs"], context=self.context)
        self.clip = draw_reach(1, scale=2, noise=3.0)
        self.node = rclpy.create_node("tester", context=self.context)
        group = ReentrantCallbackGroup()
        self.masks: list[Image] = []
        self.overlays: list[Image] = []
        for topic, heard in (("target_mask", self.masks), ("segmenter/overlay", self.overlays)):
            self.node.create_subscription(
                Image, topic, heard.append, LATCHED_QOS, callback_group=group
            )
        self.clear_client = self.node.create_client(
            Trigger, "segmenter/clear", callback_group=group
        )
        self.segment_client = self.node.create_client(
            SegmentTarget, "segmenter/segment", callback_group=group
        )
        self.executor = BackgroundExecutor(self.node, num_threads=2)
        self.publishers: dict[str, object] = {}
        self.segmenter: SegmenterNode | None = None

    def start(self, **parameters) -> SegmenterNode:
        # A busy machine is slow, and its images are old.
        values = {"image_max_age_sec": 60.0, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.segmenter = SegmenterNode(context=self.context, parameter_overrides=overrides)
        self.segmenter_executor = BackgroundExecutor(self.segmenter, num_threads=4)
        return self.segmenter

    def close(self) -> None:
        if self.segmenter is not None:
            self.segmenter_executor.stop()
            self.segmenter.destroy_node()
        self.executor.stop()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def send(self, topic, message) -> None:
        if topic not in self.publishers:
            self.publishers[topic] = self.node.create_publisher(type(message), topic, 10)
            wait_for(self.publishers[topic].get_subscription_count)
        self.publishers[topic].publish(message)

    def show(self, frame=0, sec=1, image=None) -> None:
        """Send an image and wait until the node has it."""
        header = Header(frame_id=FRAME_ID)
        header.stamp.sec = sec
        image = self.clip.frames[frame] if image is None else image
        self.send("image", conversions.message_from_image(image, header))
        wait_for(
            lambda: (
                (latest := self.segmenter._images.latest) and latest.message.header.stamp.sec == sec
            )
        )

    def click(self, place, frame_id=FRAME_ID, sec=0) -> None:
        message = PointStamped(point=Point(x=float(place[0]), y=float(place[1])))
        message.header.frame_id, message.header.stamp.sec = frame_id, sec
        self.send("clicked_point", message)

    def ask(self, **fields):
        """Call the service."""
        assert self.segment_client.wait_for_service(30.0)
        return finish(self.segment_client.call_async(SegmentTarget.Request(**fields)))

    def wait_mask(self, sec):
        """Wait for the mask of an image."""
        message = wait_for(
            lambda: next((m for m in tuple(self.masks) if m.header.stamp.sec == sec), None)
        )
        assert message.header.frame_id == FRAME_ID
        assert message.encoding == "mono8"
        return conversions.mask_from_message(message)

    def wait_refused(self, topic, count=1) -> None:
        wait_for(lambda: self.segmenter._num_refused[topic] >= count)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize("target", [0, 2])
def test_a_click_becomes_a_mask_with_the_header_of_its_image(bench, target):
    bench.start(follow=False)
    bench.show(sec=7)
    bench.click(bench.clip.object_pixels[0, target])
    assert overlap(bench.wait_mask(7), bench.clip.masks[target]) > 0.8
    wait_for(lambda: bench.overlays)
    assert bench.overlays[-1].header == bench.masks[-1].header
    bench.show(sec=8)
    time.sleep(0.5)
    assert len(bench.masks) == 1


def test_the_mask_is_latched_for_late_joiners(bench):
    bench.start(follow=False)
    bench.show()
    bench.click(bench.clip.object_pixels[0, 0])
    bench.wait_mask(1)
    late: list[Image] = []
    bench.node.create_subscription(Image, "target_mask", late.append, LATCHED_QOS)
    wait_for(lambda: late)


def test_a_click_means_the_image_of_its_stamp(bench):
    bench.start(follow=False)
    bench.show(sec=3)
    bench.show(sec=4, image=np.full_like(bench.clip.frames[0], 90))
    bench.click(bench.clip.object_pixels[0, 0], sec=3)
    assert overlap(bench.wait_mask(3), bench.clip.masks[0]) > 0.8


def test_box_and_several_points(bench):
    bench.start(follow=False)
    bench.show(sec=1)
    rows, columns = np.nonzero(bench.clip.masks[2])
    box = RegionOfInterest(
        x_offset=int(columns.min()) - 3,
        y_offset=int(rows.min()) - 3,
        width=int(np.ptp(columns)) + 7,
        height=int(np.ptp(rows)) + 7,
    )
    bench.send("clicked_box", box)
    assert overlap(bench.wait_mask(1), bench.clip.masks[2]) > 0.7
    bench.show(sec=2)
    (x0, y0), (x2, y2) = bench.clip.object_pixels[0, [0, 2]]
    points = [Point32(x=x0, y=y0, z=1.0), Point32(x=x2, y=y2, z=-1.0)]
    header = Header(frame_id=FRAME_ID)
    bench.send("clicked_points", PolygonStamped(header=header, polygon=Polygon(points=points)))
    assert overlap(bench.wait_mask(2), bench.clip.masks[0]) > 0.8


def test_a_target_is_followed_until_it_is_lost_or_cleared(bench):
    bench.start(follow_rate_hz=50.0, regain_sec=0.0)
    bench.show(0, sec=1)
    bench.click(bench.clip.object_pixels[0, 1])
    bench.wait_mask(1)
    for frame in range(1, 5):
        bench.show(frame, sec=1 + frame)
        mask = bench.wait_mask(1 + frame)
    assert overlap(mask, bench.clip.masks[1]) > 0.7
    bench.show(sec=50, image=np.full_like(bench.clip.frames[0], 90))
    wait_for(lambda: bench.segmenter._target.name == "lost")
    assert not [m for m in bench.masks if m.header.stamp.sec == 50]
    bench.show(0, sec=60)
    bench.click(bench.clip.object_pixels[0, 0])
    assert overlap(bench.wait_mask(60), bench.clip.masks[0]) > 0.8
    answer = finish(bench.clear_client.call_async(Trigger.Request()))
    assert (answer.success, answer.message) == (True, "target forgotten")
    bench.show(0, sec=61)
    time.sleep(0.5)
    assert bench.masks[-1].header.stamp.sec == 60


def test_an_image_of_another_size_ends_following(bench):
    bench.start(follow_rate_hz=50.0)
    bench.show()
    bench.click(bench.clip.object_pixels[0, 0])
    bench.wait_mask(1)
    bench.show(sec=2, image=np.zeros((40, 50, 3), np.uint8))
    wait_for(lambda: bench.segmenter._target.name == "lost")


def test_bad_input_is_refused_and_a_good_click_works_right_after(bench):
    bench.start(follow=False)
    place = bench.clip.object_pixels[0, 0]
    bench.click(place)
    bench.wait_refused("clicked_point", 1)
    bench.send("image", Image(height=4, width=4, encoding="rgb8", step=12))
    bench.wait_refused("image")
    bench.show()
    bad_places = [(-5, 3), (1e300, 2), (np.nan, np.inf)]
    for count, bad in enumerate(bad_places, start=2):
        bench.click(bad)
        bench.wait_refused("clicked_point", count)
    bench.click(place, frame_id="map")
    bench.wait_refused("clicked_point", 5)
    bench.send("clicked_points", PolygonStamped())
    bench.wait_refused("clicked_points")
    bench.send("clicked_box", RegionOfInterest(x_offset=2**32 - 1, width=2**32 - 1))
    bench.wait_refused("clicked_box")
    assert not bench.masks
    bench.click(place)
    assert overlap(bench.wait_mask(1), bench.clip.masks[0]) > 0.8


def test_an_old_image_is_refused(bench):
    bench.start(image_max_age_sec=0.05)
    bench.show()
    time.sleep(0.2)
    bench.click(bench.clip.object_pixels[0, 0])
    bench.wait_refused("clicked_point")
    assert not bench.masks


def test_compressed_images_too(bench):
    bench.start(use_compressed_image=True, follow=False)
    header = Header(frame_id=FRAME_ID)
    header.stamp.sec = 5
    bench.send("image/compressed", CompressedImage(data=[1, 2, 3]))
    bench.wait_refused("image")
    compressed = conversions.compressed_from_image(bench.clip.frames[0], header)
    bench.send("image/compressed", compressed)
    wait_for(lambda: bench.segmenter._images.latest)
    bench.click(bench.clip.object_pixels[0, 0])
    assert overlap(bench.wait_mask(5), bench.clip.masks[0]) > 0.8


def test_impossible_settings_are_told_at_once(bench):
    with pytest.raises(ConfigError, match="checkpoint must name"):
        bench.start(method="sam")
    with pytest.raises(ConfigError, match="method must be one of"):
        bench.start(method="magic")


def test_process_says_what_is_wrong_keeps_torch_out_and_ends_on_a_signal(tmp_path):
    with NodeProcess("tavid_ros.segmenter_node", {"method": "sam"}, tmp_path) as segmenter:
        wait_for(lambda: segmenter.exit_status is not None, 60.0)
        assert segmenter.exit_status == 1
        assert "checkpoint must name" in segmenter.read_log_tail()
        assert "Traceback" not in segmenter.read_log_tail()
    detector = {"detector": str(save_tiny_detector(tmp_path / "detector"))}
    with NodeProcess("tavid_ros.segmenter_node", detector, tmp_path) as segmenter:
        worker = wait_for(lambda: find_child(segmenter.pid), 60.0)
        wait_for(lambda: has_torch(worker), 60.0)
        assert not has_torch(segmenter.pid)
        assert signal_is_caught(segmenter.pid)
        assert segmenter.end() == 0
        wait_for(lambda: not Path(f"/proc/{worker}").exists())


def find_child(pid: int) -> int | None:
    """Give the process id of the first child that has begun its work."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            if b"segment_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return None


def has_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def test_requests_on_the_latest_image_make_a_target(bench):
    bench.start()
    bench.show(sec=4)
    x, y = bench.clip.object_pixels[0, 0]
    answer = bench.ask(points=[Point32(x=float(x), y=float(y))])
    assert answer.success, answer.message
    assert answer.method == "grabcut"
    assert 0.0 < answer.score <= 1.0
    assert "marked by grabcut" in answer.message
    assert (answer.target_mask.header.stamp.sec, answer.target_mask.header.frame_id) == (
        4,
        FRAME_ID,
    )
    mask = conversions.mask_from_message(answer.target_mask)
    assert overlap(mask, bench.clip.masks[0]) > 0.8
    np.testing.assert_array_equal(bench.wait_mask(4), mask)
    assert bench.segmenter._target.name == "following"


def test_requests_with_their_own_image_are_answered_only(bench):
    bench.start()
    header = Header(frame_id="other")
    header.stamp.sec = 77
    image = conversions.message_from_image(bench.clip.frames[0], header)
    rows, columns = np.nonzero(bench.clip.masks[2])
    box = RegionOfInterest(
        x_offset=int(columns.min()) - 3,
        y_offset=int(rows.min()) - 3,
        width=int(np.ptp(columns)) + 7,
        height=int(np.ptp(rows)) + 7,
    )
    # Side by side: none waits for a thread that another one holds.
    requests = [SegmentTarget.Request(image=image, box=box) for _ in range(6)]
    futures = [bench.segment_client.call_async(request) for request in requests]
    for future in futures:
        answer = finish(future)
        assert answer.success, answer.message
        assert answer.target_mask.header == header
        mask = conversions.mask_from_message(answer.target_mask)
        assert overlap(mask, bench.clip.masks[2]) > 0.7
    assert not bench.masks
    assert bench.segmenter._target.name == "waiting for a click"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({}, "INVALID_INPUT: points must hold a click on the target"),
        ({"points": [Point32(x=-9.0)]}, "INVALID_INPUT: points must lie in the image"),
        ({"points": [Point32()], "labels": [1, 1]}, "labels must be one per point"),
        ({"points": [Point32()], "labels": [7]}, "labels must be 0 or 1"),
        ({"label": "mug", "points": [Point32()]}, "label must come without points"),
        ({"label": "mug"}, "detector must name a model for a label, got none"),
        ({"image": Image(height=4, width=4, encoding="rgb8", step=12)}, "INVALID_INPUT: image"),
    ],
)
def test_bad_requests_are_refused_with_advice(shared_bench, fields, match):
    answer = shared_bench.ask(**fields)
    assert not answer.success
    assert match in answer.message
    assert answer.target_mask.width == 0


@pytest.fixture(scope="module")
def shared_bench():
    made = Bench()
    made.start()
    made.show()
    yield made
    made.close()


def test_a_request_without_any_image_is_refused(bench):
    bench.start()
    answer = bench.ask(points=[Point32(x=3.0, y=3.0)])
    assert not answer.success
    assert "STALE_INPUT: image must come before segment, got none" in answer.message


def test_labels_are_found_by_the_detector(bench, tmp_path):
    bench.start(detector=str(save_tiny_detector(tmp_path)), follow=False)
    bench.show(sec=3, image=draw_many_discs())
    bench.send("clicked_label", String(data="red mug"))
    mask = bench.wait_mask(3)
    assert 0.004 < mask.mean() < 0.1
    answer = bench.ask(label="red mug")
    assert answer.method == "owlvit+grabcut"
    assert "'red mug' found" in answer.message


class Frozen:
    """The worker process stands still while this is entered."""

    def __init__(self, bench) -> None:
        self.process = bench.segmenter._process
        wait_for(lambda: self.process.state is WorkerState.READY)
        self.pid = self.process.pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)


def test_of_clicks_during_work_the_newest_wins_and_the_node_answers_meanwhile(bench):
    bench.start(follow=False)
    bench.show(sec=1)
    places = bench.clip.object_pixels[0]
    parameters = bench.node.create_client(ListParameters, "segmenter/list_parameters")
    assert parameters.wait_for_service(10.0)
    with Frozen(bench):
        bench.click(places[0])
        wait_for(lambda: bench.segmenter._process.state is WorkerState.BUSY)
        bench.click(places[1])
        wait_for(lambda: bench.segmenter._process._jobs._waiting[JobKind.CLICK])
        waiting = bench.segmenter._process._jobs._waiting[JobKind.CLICK][0]
        bench.click(places[2])
        wait_for(lambda: bench.segmenter._process._jobs._waiting[JobKind.CLICK][0] is not waiting)
        # The worker does not answer; every callback does.
        assert finish(parameters.call_async(ListParameters.Request()), 5.0).result.names
        assert not bench.masks
    wait_for(lambda: len(bench.masks) == 2)
    marked = [conversions.mask_from_message(message) for message in bench.masks]
    assert overlap(marked[0], bench.clip.masks[0]) > 0.8
    assert overlap(marked[1], bench.clip.masks[2]) > 0.8


def test_a_worker_that_dies_costs_one_click(bench):
    bench.start(follow=False)
    bench.show()
    statuses: list[DiagnosticArray] = []
    bench.node.create_subscription(DiagnosticArray, "/diagnostics", statuses.append, 10)
    with Frozen(bench) as frozen:
        bench.click(bench.clip.object_pixels[0, 0])
        wait_for(lambda: bench.segmenter._process.state is WorkerState.BUSY)
        os.kill(frozen.pid, signal.SIGKILL)
    bench.wait_refused("clicked_point")
    assert not bench.masks
    bench.click(bench.clip.object_pixels[0, 0])
    assert overlap(bench.wait_mask(1), bench.clip.masks[0]) > 0.8
    assert bench.segmenter._process.pid != frozen.pid

    def worker_status():
        every = [s for message in tuple(statuses) for s in message.status]
        return [s for s in every if s.name.endswith("segmenter: worker") and s.level != b"\0"]

    wait_for(worker_status)
    values = {pair.key: pair.value for pair in worker_status()[-1].values}
    assert values["deaths_in_5_minutes"] == "1"
    assert "got its end by signal SIGKILL" in values["last_error"]


def test_a_worker_that_hangs_is_restarted(bench):
    bench.start(follow=False, work_timeout_sec=1.0)
    bench.show()
    with Frozen(bench) as frozen:
        answer = bench.ask(points=[Point32(x=3.0, y=3.0)])
        assert not answer.success
        assert "TIMEOUT: the segmenter must answer within 1 s" in answer.message
    wait_for(lambda: bench.segmenter._process.pid not in (None, frozen.pid))


def test_what_cannot_be_loaded_ends_the_node(bench, tmp_path):
    node = bench.start(checkpoint=str(tmp_path / "sam.pth"), method="sam")
    assert node.is_failed.wait(30.0)
    # Without the extra its name, with it the missing file.
    message = node._process.last_error.message
    assert "pip install 'tavid[sam]'" in message or "must be a file" in message
    bench.show()
    bench.click((3, 3))
    bench.wait_refused("clicked_point")
