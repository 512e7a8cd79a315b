"""The wish to end: made anywhere, also in the middle of the wait for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from tavid_ros.stop_signal import SIGNALS, StopSignal


@pytest.fixture(autouse=True)
def keep_signals():
    """Give this process its own handlers back."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_a_wait_without_end(number):
    stopping = StopSignal()
    stopping.listen()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), number))
    timer.start()
    assert not stopping.is_set()
    assert stopping.wait()
    assert stopping.is_set()
    timer.join()


def test_wait_ends_at_its_limit_and_by_another_thread():
    stopping = StopSignal()
    start_sec = time.monotonic()
    assert not stopping.wait(0.05)
    assert time.monotonic() - start_sec >= 0.05
    threading.Timer(0.05, stopping.set).start()
    assert stopping.wait(30.0)
    assert stopping.wait()


def test_it_may_be_set_between_any_two_lines_of_its_wait():
    stopping = StopSignal()
    num_lines = 0

    def trace(frame, event, argument):
        nonlocal num_lines
        num_lines += 1
        # What a signal handler does, at a place where a signal may come.
        stopping.set()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        is_set = stopping.wait(30.0)
    finally:
        sys.settrace(before)
    assert is_set
    assert num_lines > 2
