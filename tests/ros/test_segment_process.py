"""The segmenter's worker process: the node answers while it works, and outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point32
from rcl_interfaces.srv import ListParameters

from tavid_ros import conversions
from tavid_ros.processes import NodeProcess
from tavid_ros.segment_job import JobKind
from tavid_ros.worker_job import WorkerState
from tests.ros.graph import finish, wait_for
from tests.ros.segmenter_bench import Bench, overlap
from tests.ros.test_camera_node import signal_is_caught
from tests.tiny_detector import save_tiny_detector


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


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
        assert "or raise work_timeout_sec" in answer.message
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


def test_process_says_what_is_wrong_keeps_torch_out_and_ends_on_a_signal(tmp_path):
    with NodeProcess("tavid_ros.segmenter_node", {"method": "sam"}, tmp_path) as segmenter:
        wait_for(lambda: segmenter.exit_status is not None, 60.0)
        assert segmenter.exit_status == 1
        assert "checkpoint must name" in segmenter.read_log_tail()
        assert "Traceback" not in segmenter.read_log_tail()
    detector = {"detector": str(save_tiny_detector(tmp_path / "detector"))}
    with NodeProcess("tavid_ros.segmenter_node", detector, tmp_path) as segmenter:
        worker = wait_for(lambda: find_child(segmenter.pid), 120.0)
        wait_for(lambda: has_torch(worker), 120.0)
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
