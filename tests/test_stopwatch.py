"""The clock of the tests that say how soon something must answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tests.stopwatch import Stopwatch

STOPPED = """
import time
from tests.stopwatch import Stopwatch
watch, begin_sec = Stopwatch(), time.monotonic()
print("begun", flush=True)
time.sleep(0.3)
print(watch.stop(), time.monotonic() - begin_sec)
"""


def test_it_counts_like_a_clock():
    watch = Stopwatch()
    time.sleep(0.3)
    assert 0.1 < watch.stop() < 5.0


def test_time_in_which_the_process_was_stopped_does_not_count():
    child = subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(child.pid, signal.SIGCONT)
    counted_sec, passed_sec = map(float, child.communicate()[0].split())
    assert passed_sec > 1.4
    assert counted_sec < passed_sec - 1.0
