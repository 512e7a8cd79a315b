"""The suite's own environment: workers side by side have one thread each."""

import os
import subprocess
import sys

# Says what a library that reads the number of its threads when it is loaded will read.
PROBE = """
import os, sys

class Probe:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "torch", "cv2"):
            print(name, os.environ.get("OMP_NUM_THREADS"))

sys.meta_path.insert(0, Probe())
import tests.conftest
import numpy
"""


def test_a_worker_has_one_thread_before_numpy_is_loaded():
    environment = {**os.environ, "PYTEST_XDIST_WORKER": "gw0"}
    environment.pop("OMP_NUM_THREADS", None)
    told = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "numpy 1" in told
    assert all(line.endswith(" 1") for line in told)
