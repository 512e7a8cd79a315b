"""Framing between node and worker, and requests and plans that go through it unchanged."""

from __future__ import annotations

import dataclasses
import socket
import struct
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tavid_core.types import Contact, PlanProgress
from tavid_ros import plan_codec
from tavid_ros.wire import WireError, receive_message, send_message
from tests.drawn import fill_plan
from tests.ros.messages import make_motion, make_plan, make_request


def send_through(header, arrays):
    """Send over a real socket pair and return what arrives."""
    left, right = socket.socketpair()
    with left, right:
        sender = threading.Thread(target=send_message, args=(left, header, arrays))
        sender.start()
        message = receive_message(right)
        sender.join()
    return message


def receive_bytes(data: bytes):
    """Receive what somebody else wrote before closing."""
    left, right = socket.socketpair()
    left.sendall(data)
    left.close()
    with right:
        return receive_message(right)


def assert_same(left, right):
    """Compare dataclasses that hold arrays."""
    if dataclasses.is_dataclass(left):
        for field in dataclasses.fields(left):
            assert_same(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


@given(
    header=st.dictionaries(
        st.text(max_size=5).filter(lambda key: key != "arrays"),
        st.none() | st.integers() | st.text() | st.floats(allow_nan=False),
        max_size=4,
    ),
    arrays=st.dictionaries(
        st.text(max_size=5),
        hnp.arrays(
            dtype=st.sampled_from([np.bool_, np.uint8, np.float32, np.float64, np.int64, ">f4"]),
            shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        ),
        max_size=3,
    ),
)
@settings(deadline=None, max_examples=100)
def test_any_message_arrives_unchanged(header, arrays):
    received, values = send_through(header, arrays)
    assert received == header
    assert values.keys() == arrays.keys()
    for name in arrays:
        assert values[name].shape == arrays[name].shape
        np.testing.assert_array_equal(values[name], arrays[name])


def test_numpy_scalars_are_sent_as_numbers():
    assert send_through({"a": np.float32(0.5), "b": np.int64(3)}, {})[0] == {"a": 0.5, "b": 3}


def test_end_between_messages_is_no_error():
    assert receive_bytes(b"") is None


@pytest.mark.parametrize(
    "data",
    [
        b"TVD1",
        b"HTTP/1.1 200 OK\r\n",
        struct.pack("<4sIQ", b"TVD1", 2**32 - 1, 0),
        struct.pack("<4sIQ", b"TVD1", 2, 2**60),
        struct.pack("<4sIQ", b"TVD1", 2, 0) + b"{}",
        struct.pack("<4sIQ", b"TVD1", 2, 0) + b"[[",
        struct.pack("<4sIQ", b"TVD1", 30, 0) + b'{"arrays": [["a","<f4",[999]]]}'[:30],
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(WireError, match="must"):
        receive_bytes(data)


@given(st.binary(max_size=120))
@settings(deadline=None, max_examples=100)
def test_random_headers_are_refused_or_read(text):
    data = struct.pack("<4sIQ", b"TVD1", len(text), 0) + text
    try:
        message = receive_bytes(data)
    except WireError:
        return
    assert isinstance(message[0], dict)


def test_other_types_are_refused_before_anything_is_sent():
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(WireError, match="a must have one of the types"):
            send_message(left, {}, {"a": np.array(["text"])})
        with pytest.raises(WireError, match="a header must hold JSON values, got object"):
            send_message(left, {"a": object()})
        right.setblocking(False)
        with pytest.raises(BlockingIOError):
            right.recv(1)


@pytest.mark.parametrize(
    "request_",
    [
        make_request(),
        make_request(extra_masks=(make_request().target_mask,) * 2),
        make_request(
            actor_mask=None,
            depth_m=None,
            intrinsics=None,
            num_inference_steps=None,
            guidance_scale=None,
            num_frames=None,
        ),
    ],
)
def test_requests_come_back_equal(request_):
    assert_same(
        plan_codec.unpack_request(*send_through(*plan_codec.pack_request(request_))), request_
    )


@pytest.mark.parametrize(
    "plan",
    [
        make_plan(),
        make_plan(motion=make_motion(hands=(), body=(), contact=Contact())),
        make_plan(rollout=dataclasses.replace(make_plan().rollout, attention_map=None)),
        fill_plan(make_plan()),
    ],
)
def test_plans_come_back_equal(plan):
    header, arrays = send_through(*plan_codec.pack_plan(plan))
    assert_same(plan_codec.unpack_plan(header, arrays, plan.request), plan)


def test_progress_comes_back_equal():
    progress = PlanProgress(stage="denoise", step=2, total_steps=9, elapsed_sec=0.5)
    header, _ = send_through({"type": "progress", **plan_codec.pack_progress(progress)}, {})
    assert plan_codec.unpack_progress(header) == progress
