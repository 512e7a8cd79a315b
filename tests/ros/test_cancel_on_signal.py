"""Ctrl-C in a program that waits."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tavid_ros.cancel_on_signal import CancelOnSignal
from tavid_ros.stop_signal import SIGNALS
from tests.ros.graph import wait_for


@pytest.fixture(autouse=True)
def handlers():
    """Handlers that note what comes to them, in place of this process's own."""
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: heard.append(number)) for number in SIGNALS
    }
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_cancels_and_the_second_acts_as_before(number, handlers):
    calls: list[float] = []
    with CancelOnSignal(lambda: calls.append(time.monotonic())):
        time.sleep(0.1)
        assert calls == []
        os.kill(os.getpid(), number)
        wait_for(lambda: calls)
        assert handlers == []
        os.kill(os.getpid(), number)
        wait_for(lambda: handlers == [number])
    os.kill(os.getpid(), number)
    wait_for(lambda: handlers == [number, number])


def test_it_cancels_a_wait_that_begins_after_the_signal():
    num_calls = 0

    def cancel():
        nonlocal num_calls
        num_calls += 1

    with CancelOnSignal(cancel):
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: num_calls >= 3)
    seen = num_calls
    time.sleep(0.2)
    assert num_calls == seen


def test_without_a_signal_nothing_is_canceled_and_no_thread_stays():
    calls: list[None] = []
    num_threads = threading.active_count()
    with CancelOnSignal(lambda: calls.append(None)):
        assert threading.active_count() == num_threads + 1
    assert threading.active_count() == num_threads
    assert calls == []


def test_on_another_thread_it_leaves_the_handlers_alone(handlers):
    def enter():
        with CancelOnSignal(lambda: None):
            found.append(signal.getsignal(signal.SIGINT))

    found: list[object] = []
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [before]
