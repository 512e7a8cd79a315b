"""The supervised worker: real child processes with the fake planner."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tavid_core.errors import ErrorCode, InputError
from tavid_core.types import PlanProgress
from tavid_ros import plan_codec
from tavid_ros.worker_job import JobAnswer, JobFailure, WorkerError, WorkerOptions, WorkerState
from tavid_ros.worker_process import WorkerProcess
from tests.ros.messages import make_request
from tests.stopwatch import Stopwatch

WAIT_SEC = 30.0


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, timeout_sec: float = WAIT_SEC) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + timeout_sec
    while not condition():
        assert time.monotonic() < deadline, "condition never held"
        time.sleep(0.01)


def finish(job):
    """Collect the progress and the end of a job."""
    progress = []
    while True:
        event = job.events.get(timeout=WAIT_SEC)
        if not isinstance(event, PlanProgress):
            return progress, event
        progress.append(event)


@pytest.fixture
def make_worker():
    workers = []

    def make(**options) -> WorkerProcess:
        worker = WorkerProcess(WorkerOptions(**{"backend": "fake", **options}))
        workers.append(worker)
        worker.start()
        worker.wait_ready(WAIT_SEC)
        return worker

    yield make
    for worker in workers:
        pid = worker.pid
        worker.stop()
        assert worker.state is WorkerState.STOPPED
        assert pid is None or not is_alive(pid)


def test_plan_reports_progress_and_comes_back(make_worker):
    worker = make_worker()
    request = make_request()
    job = worker.try_submit(request, "")
    assert worker.try_submit(request, "") is None
    progress, answer = finish(job)
    assert isinstance(answer, JobAnswer)
    stages = list(dict.fromkeys(event.stage for event in progress))
    assert stages == ["condition", "denoise", "decode", "lift"]
    assert max(event.step for event in progress if event.stage == "denoise") == 4
    assert answer.plan.request is request
    assert answer.plan.rollout.frames.shape[0] == 17
    assert answer.folder == ""
    wait_until(lambda: worker.state is WorkerState.READY, 1.0)


@pytest.mark.parametrize("stage", ["condition", "denoise", "decode", "lift"])
def test_cancel_at_each_stage_ends_the_job_and_keeps_the_worker(make_worker, stage):
    worker = make_worker()
    pid = worker.pid
    job = worker.try_submit(make_request(), "")
    while (event := job.events.get(timeout=WAIT_SEC)).stage != stage:
        pass
    worker.cancel(job)
    worker.cancel(job)
    _, failure = finish(job)
    assert isinstance(failure, JobFailure)
    assert failure.code is ErrorCode.CANCELED
    assert event.stage == stage
    assert worker.pid == pid
    _, answer = finish(worker.try_submit(make_request(), ""))
    assert isinstance(answer, JobAnswer)


@pytest.mark.parametrize(
    ("fault", "code", "match"),
    [
        ("oom", ErrorCode.OUT_OF_MEMORY, "memory must hold"),
        ("nan", ErrorCode.NON_FINITE, "latents must be finite"),
        ("error", ErrorCode.MODEL_ERROR, "RuntimeError: pretended"),
    ],
)
def test_failures_carry_their_code_and_keep_the_worker(make_worker, fault, code, match):
    worker = make_worker()
    pid = worker.pid
    _, failure = finish(worker.try_submit(make_request(prompt=f"{fault} at denoise"), ""))
    assert failure.code is code
    assert match in failure.message
    assert worker.pid == pid


@pytest.mark.parametrize("stage", ["condition", "denoise", "decode", "lift"])
def test_death_is_reported_within_a_second_and_the_next_job_works(make_worker, stage):
    worker = make_worker()
    pid = worker.pid
    watch = Stopwatch()
    _, failure = finish(worker.try_submit(make_request(prompt=f"crash at {stage}"), ""))
    assert failure.code is ErrorCode.WORKER_DIED
    assert "SIGKILL" in failure.message
    assert watch.stop() < 2.0
    assert worker.num_recent_deaths == 1
    worker.wait_ready(WAIT_SEC)
    assert worker.pid != pid
    _, answer = finish(worker.try_submit(make_request(), ""))
    assert isinstance(answer, JobAnswer)


def test_death_while_idle_is_noticed_and_repaired(make_worker):
    worker = make_worker()
    pid = worker.pid
    os.kill(pid, signal.SIGSEGV)
    wait_until(lambda: worker.pid not in (None, pid))
    worker.wait_ready(WAIT_SEC)
    assert "SIGSEGV" in worker.last_error.message


@pytest.mark.parametrize("error", [KeyError("tracks"), TypeError("fps"), InputError("shapes")])
def test_answer_that_cannot_be_read_ends_the_job_and_the_next_one_works(
    make_worker, monkeypatch, error
):
    worker = make_worker()

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(plan_codec, "unpack_plan", fail)
        _, failure = finish(worker.try_submit(make_request(), ""))
    assert failure.code is ErrorCode.WORKER_DIED
    assert type(error).__name__ in failure.message
    wait_until(lambda: worker.num_recent_deaths == 1)
    worker.wait_ready(WAIT_SEC)
    _, answer = finish(worker.try_submit(make_request(), ""))
    assert isinstance(answer, JobAnswer)


@pytest.mark.parametrize("name", ["Popen", "socketpair"])
def test_child_that_cannot_be_started_is_tried_again(make_worker, monkeypatch, name):
    worker = make_worker()
    failures: list[str] = []

    def fail(*_, **__):
        failures.append(name)
        raise BlockingIOError(errno.EAGAIN, "no process to spare")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess if name == "Popen" else socket, name, fail)
        os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: len(failures) >= 2)
    worker.wait_ready(WAIT_SEC)
    _, answer = finish(worker.try_submit(make_request(), ""))
    assert isinstance(answer, JobAnswer)
    assert "BlockingIOError" in worker.last_error.message


def test_first_child_that_cannot_be_started_is_told(monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", fail)
    worker = WorkerProcess(WorkerOptions(backend="fake"))
    worker.start()
    with pytest.raises(WorkerError, match="Cannot allocate memory") as caught:
        worker.wait_ready(5.0)
    assert caught.value.code is ErrorCode.WORKER_DIED
    assert worker.state is WorkerState.FAILED
    worker.stop()


def test_hang_is_ended_by_the_watchdog(make_worker):
    worker = make_worker(watchdog_sec=0.5)
    pid = worker.pid
    _, failure = finish(worker.try_submit(make_request(prompt="hang at denoise"), ""))
    assert failure.code is ErrorCode.WORKER_DIED
    assert "within 0.5 s" in failure.message
    assert not is_alive(pid)


def test_cancel_of_a_hanging_job_ends_the_worker(make_worker):
    worker = make_worker(drain_timeout_sec=0.3)
    pid = worker.pid
    job = worker.try_submit(make_request(prompt="hang at decode"), "")
    while (event := job.events.get(timeout=WAIT_SEC)).stage != "decode" or event.step != 1:
        pass
    time.sleep(0.1)
    worker.cancel(job)
    _, failure = finish(job)
    assert failure.code is ErrorCode.CANCELED
    assert not is_alive(pid)


def test_unknown_backend_is_named():
    worker = WorkerProcess(WorkerOptions(backend="os.system"))
    worker.start()
    with pytest.raises(
        WorkerError, match=r"backend must be one of tavid, fake, got 'os\.system'"
    ) as e:
        worker.wait_ready(WAIT_SEC)
    assert e.value.code is ErrorCode.INVALID_INPUT
    assert worker.state is WorkerState.FAILED
    worker.stop()


def test_a_stop_while_the_model_loads_is_not_called_a_slow_load():
    worker = WorkerProcess(WorkerOptions(backend="fake", planner={"model": "slow"}))
    worker.start()
    threading.Timer(0.3, worker.stop).start()
    with pytest.raises(WorkerError, match="before the worker is stopped, got its stop") as caught:
        worker.wait_ready(WAIT_SEC)
    assert caught.value.code is ErrorCode.SHUTTING_DOWN


def test_child_dies_with_its_parent():
    program = (
        "import time\n"
        "from tavid_ros.worker_job import WorkerOptions\n"
        "from tavid_ros.worker_process import WorkerProcess\n"
        "from tests.ros.messages import make_request\n"
        "worker = WorkerProcess(WorkerOptions(backend='fake'))\n"
        "worker.start()\n"
        "worker.wait_ready(30)\n"
        "worker.try_submit(make_request(prompt='hang at denoise'), '')\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        wait_until(lambda: not is_alive(pid), 2.0)


def test_stop_is_quick_and_fails_the_running_job():
    worker = WorkerProcess(WorkerOptions(backend="fake"))
    worker.start()
    worker.wait_ready(WAIT_SEC)
    job = worker.try_submit(make_request(prompt="hang at condition"), "")
    watch = Stopwatch()
    worker.stop()
    assert watch.stop() < 1.0
    _, failure = finish(job)
    assert failure.code is ErrorCode.SHUTTING_DOWN
    assert worker.try_submit(make_request(), "") is None
    with pytest.raises(WorkerError):
        worker.wait_ready(0.1)


def test_worker_knows_no_ros():
    program = (
        "import sys, tavid_ros.worker\n"
        "assert not {'rclpy', 'sensor_msgs', 'torch'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_fake_plan_puts_the_hand_on_the_target(make_worker):
    request = make_request()
    _, answer = finish(make_worker().try_submit(request, ""))
    rows, columns = np.nonzero(request.target_mask)
    np.testing.assert_allclose(
        answer.plan.motion.hands[0].pixels[-1], [columns.mean(), rows.mean()], atol=0.1
    )
