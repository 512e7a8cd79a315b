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


def wait_and_set_at(first_line, *, always):
    """Wait, with a signal at a line of the wait, or at that and all after; was it seen?"""
    stopping = StopSignal()
    num_lines = 0

    def trace(frame, event, argument):
        nonlocal num_lines
        num_lines += 1
        if num_lines == first_line or (always and num_lines > first_line):
            # What a signal handler does, at a place where a signal may come.
            stopping.set()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        is_set = stopping.wait(0.2)
    finally:
        sys.settrace(before)
    return is_set, num_lines


@pytest.mark.parametrize("always", [False, True])
def test_it_may_be_set_between_any_two_lines_of_its_wait(always):
    _, num_lines = wait_and_set_at(sys.maxsize, always=False)
    assert num_lines > 5
    for first_line in range(1, num_lines + 1):
        is_set, _ = wait_and_set_at(first_line, always=always)
        # The last event is the return, with its value already taken.
        assert is_set or first_line == num_lines
