"""An answer of the segmenter's worker that cannot be read ends its job, and no other."""

from __future__ import annotations

import queue
import sys
from pathlib import Path

import numpy as np
import pytest

from tavid_core.errors import ErrorCode
from tavid_ros.segment_job import JobKind, SegmentError, SegmentJob, TargetQuery
from tavid_ros.segment_process import SegmentOptions, SegmentProcess
from tavid_ros.worker_job import WorkerState
from tests.ros.garbling_worker import ANSWERS
from tests.ros.graph import wait_for

WORKER = Path(__file__).with_name("garbling_worker.py")


class GarbledProcess(SegmentProcess):
    """Starts the other program in the place of the segmenter's."""

    def __init__(self, kind: str, on_death) -> None:
        self.kind = kind
        super().__init__(SegmentOptions(segmenter={}), on_death=on_death)

    def _command(self, child_end):
        real = super()._command(child_end)
        return [sys.executable, str(WORKER), self.kind, *real[3:]]


@pytest.mark.parametrize("kind", [*ANSWERS, "no_message", "ends_early"])
def test_a_job_with_an_unreadable_answer_ends_and_the_worker_is_restarted(kind):
    ends, deaths = queue.SimpleQueue(), queue.SimpleQueue()
    process = GarbledProcess(kind, deaths.put)
    try:
        wait_for(lambda: process.state is WorkerState.READY)
        pid = process.pid
        process.submit(
            SegmentJob(
                kind=JobKind.REQUEST,
                image_key=1,
                read_image=lambda: np.zeros((4, 4, 3), dtype=np.uint8),
                on_end=ends.put,
                query=TargetQuery(points=((1.0, 1.0),)),
            )
        )
        outcome = ends.get(timeout=20.0)
        assert isinstance(outcome, SegmentError)
        assert outcome.code is ErrorCode.WORKER_DIED
        assert str(outcome) == deaths.get(timeout=20.0)
        wait_for(lambda: process.state is WorkerState.READY and process.pid != pid)
        assert process.num_recent_deaths == 1
    finally:
        process.stop()
    assert ends.empty()
