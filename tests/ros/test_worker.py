"""The worker's own side, in this process: what it answers to each message."""

from __future__ import annotations

import gc
import socket
import sys
import threading
import types
import weakref

import numpy as np
import pytest

import tavid_core.io
from tavid_core.errors import ErrorCode, InputError
from tavid_core.io import load_plan
from tavid_ros import plan_codec, worker
from tavid_ros.wire import receive_message, send_message
from tavid_ros.worker import BACKENDS, Worker
from tests import tiny
from tests.core.test_planner import write_adapter
from tests.ros.messages import make_request


class Peer:
    """The node's end of a worker that runs on a thread."""

    def __init__(self) -> None:
        self.connection, other = socket.socketpair()
        self.connection.settimeout(60.0)
        self.is_left = threading.Event()
        self.thread = threading.Thread(target=Worker(other, self.is_left.set).run, daemon=True)
        self.thread.start()

    def send(self, kind: str, arrays=None, **header) -> None:
        send_message(self.connection, {"type": kind, **header}, arrays)

    def load(self, backend: str = "fake", model: str = "mini", **options: str):
        self.send("load", backend=backend, options={"model": model, **options})
        return receive_message(self.connection)[0]

    def plan(self, job: str = "1", save_to: str = "", **fields) -> None:
        header, arrays = plan_codec.pack_request(make_request(**fields))
        self.send("plan", arrays, job=job, save_to=save_to, **header)

    def finish(self):
        """Skip progress and return the end of a job."""
        while (message := receive_message(self.connection))[0]["type"] == "progress":
            pass
        return message


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.connection.close()
    assert made.is_left.wait(10.0)
    made.thread.join(10.0)
    assert not made.thread.is_alive()


def test_load_then_plan(peer):
    assert peer.load()["type"] == "ready"
    peer.plan()
    header, arrays = peer.finish()
    assert (header["type"], header["job"], header["folder"]) == ("result", "1", "")
    plan = plan_codec.unpack_plan(header, arrays, make_request())
    assert plan.motion.contact.touches_target


def test_memory_of_the_gpu_and_provenance_come_with_the_plan(peer, monkeypatch):
    assert "gpu_memory_bytes" not in peer.load()
    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda gpu: 10**9 * (gpu + 1),
        empty_cache=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    header, arrays = plan_codec.pack_request(make_request())
    provenance = {"goal_id": "ab"}
    peer.send("plan", arrays, job="1", save_to="", provenance=provenance, **header)
    header, _ = peer.finish()
    assert header["gpu_memory_bytes"] == 3 * 10**9
    told = header["provenance"]
    candidates = told.pop("candidates")
    assert told == {"model": "fake", "seed": 7, "goal_id": "ab"}
    assert [candidate["seed"] for candidate in candidates] == [7]


def test_plan_is_saved_whole_or_not_at_all(peer, tmp_path):
    peer.load()
    peer.plan(save_to=str(tmp_path / "a" / "plan"))
    header, _ = peer.finish()
    assert header["folder"] == str(tmp_path / "a" / "plan")
    np.testing.assert_array_equal(load_plan(header["folder"]).request.image, make_request().image)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["plan"]
    (tmp_path / "file").write_text("in the way")
    peer.plan(save_to=str(tmp_path / "file" / "plan"))
    header, _ = peer.finish()
    assert header["type"] == "result"
    assert header["folder"] == ""
    assert "the plan could not be saved to" in header["save_error"]


@pytest.mark.parametrize("error", [InputError("folder must be new"), ValueError("codec")])
def test_plan_that_cannot_be_saved_is_still_the_answer(peer, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(tavid_core.io, "save_plan", fail)
    peer.load()
    peer.plan(save_to=str(tmp_path / "plan"))
    header, _ = peer.finish()
    assert (header["type"], header["folder"]) == ("result", "")
    assert str(error) in header["save_error"]


def test_plan_before_load_is_refused(peer):
    peer.plan()
    header, _ = peer.finish()
    assert header["type"] == "failure"
    assert header["code"] == ErrorCode.NOT_READY


def test_cancel_before_and_while_planning(peer):
    peer.load()
    peer.send("cancel", job="1")
    peer.plan("1")
    assert peer.finish()[0]["code"] == ErrorCode.CANCELED
    peer.plan("2", num_inference_steps=500)
    while receive_message(peer.connection)[0].get("stage") != "denoise":
        pass
    peer.send("cancel", job="2")
    assert peer.finish()[0]["code"] == ErrorCode.CANCELED
    peer.plan("3")
    assert peer.finish()[0]["type"] == "result"


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("oom at denoise", ErrorCode.OUT_OF_MEMORY),
        ("nan at lift", ErrorCode.NON_FINITE),
        ("error at condition", ErrorCode.MODEL_ERROR),
    ],
)
def test_failures_are_told_and_survived(peer, prompt, code):
    peer.load()
    peer.plan(prompt=prompt)
    header, _ = peer.finish()
    assert header["code"] == code
    assert header["message"]
    peer.plan()
    assert peer.finish()[0]["type"] == "result"


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (OutOfMemoryError, "CUDA"),
        (RuntimeError, "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        (RuntimeError, "CUDA error: out of memory"),
    ],
)
def test_memory_of_a_plan_that_ran_out_of_it_is_free_before_the_next(
    peer, monkeypatch, kind, words
):
    class Planner:
        def plan(self, request, on_progress, should_stop):
            tensor = np.zeros(1000).view(Tensor)
            kept.append(weakref.ref(tensor))
            raise kind(words)

    class Tensor(np.ndarray):
        """Only subclasses of arrays can be watched."""

    kept, is_freed = [], []

    def free_memory():
        gc.collect()
        is_freed.append(kept[0]() is None)

    monkeypatch.setitem(BACKENDS, "tavid", lambda options: Planner())
    monkeypatch.setattr(worker, "_free_memory", free_memory)
    # pytest keeps what is logged, and with it the error.
    monkeypatch.setattr(worker._LOGGER, "disabled", True)
    assert peer.load("tavid")["type"] == "ready"
    peer.plan()
    header, _ = peer.finish()
    assert header["code"] == ErrorCode.OUT_OF_MEMORY
    assert "offload" in header["message"]
    assert is_freed == [True]


def test_unusable_request_is_told(peer):
    peer.load()
    header, arrays = plan_codec.pack_request(make_request())
    arrays["target_mask"] = np.zeros_like(arrays["target_mask"])
    peer.send("plan", arrays, job="1", save_to="", **header)
    assert peer.finish()[0]["code"] == ErrorCode.INVALID_INPUT


@pytest.mark.parametrize(
    ("backend", "model", "code"),
    [
        ("fake", "missing", ErrorCode.MODEL_ERROR),
        ("os.system", "mini", ErrorCode.INVALID_INPUT),
    ],
)
def test_loads_that_fail_are_told(peer, backend, model, code):
    header = peer.load(backend, model)
    assert header["type"] == "load_failed"
    assert header["code"] == code


def test_adapter_with_more_masks_than_a_goal_has_is_refused_when_it_is_loaded(peer, tmp_path):
    tiny.make_pipeline().save_pretrained(tmp_path / "model")
    options = {"device": "cpu", "dtype": "float32", "offload": "none"}
    for num_slots in (2, 3):
        write_adapter(tmp_path / "adapter", num_mask_slots=num_slots)
        model, adapter = str(tmp_path / "model"), str(tmp_path / "adapter")
        header = peer.load("tavid", model, adapter=adapter, **options)
        assert header["type"] == ("ready" if num_slots == 2 else "load_failed")
    assert header["code"] == ErrorCode.INVALID_INPUT
    assert "adapter must have at most 2 mask slots" in header["message"]
    assert "got 3" in header["message"]


def test_the_device_is_the_planners(peer):
    options = {"adapter": "default", "dtype": "float32", "offload": "none"}
    header = peer.load("tavid", device="cuda:99", **options)
    assert (header["type"], header["code"]) == ("load_failed", ErrorCode.INVALID_INPUT)
    assert "device must be one that torch can use here, got 'cuda:99'" in header["message"]
