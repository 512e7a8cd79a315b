"""A tiny fine-tuning run for processes of their own: killed, told to stop, out of disk, in pairs.

`run_worker` is what the child processes run; the others start them. The processes are forked from
a server that has imported torch once, so that each begins in a tenth of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
import sys
import threading
import time
from unittest import mock

import torch

from training.finetune import main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training_worker"])


def read_steps(run_folder):
    """Steps in the log of a run."""
    path = run_folder / "log.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def signal_self(run_folder, step, delay_sec, number):
    """Send this very process a signal, some time after a step."""
    while read_steps(run_folder) < step:
        time.sleep(0.002)
    time.sleep(delay_sec)
    os.kill(os.getpid(), number)


def run_worker(arguments, environment=(), max_file_bytes=None, log=None, signal_after=None):
    """Run the command line of `training.finetune` and exit with its status.

    The signal comes from a thread of the process, so that no busy machine lets a run end before.
    """
    os.environ.update(environment)
    torch.set_num_threads(1)
    if log is not None:
        # The two streams themselves: C++ code and warnings write there too.
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
    if max_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    if signal_after is not None:
        threading.Thread(target=signal_self, args=signal_after, daemon=True).start()
    sys.exit(main([str(a) for a in arguments]))


def start_worker(arguments, **options):
    """Start a run; it ends with the process."""
    process = CONTEXT.Process(target=run_worker, args=(arguments,), kwargs=options, daemon=True)
    with mock.patch.dict(os.environ):
        # A process that is killed would leave torn records of the coverage.
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            os.environ.pop(name, None)
        process.start()
    return process


def run_pair(arguments, log, signal_after=None, **more):
    """Run the same command in two processes that share each batch, and give both statuses.

    The signal is for the second one alone.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        **more,
    }
    processes = [
        start_worker(
            arguments,
            environment={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            log=f"{log}.{rank}",
            signal_after=signal_after if rank == 1 else None,
        )
        for rank in range(2)
    ]
    for process in processes:
        process.join(timeout=120)
    return [process.exitcode for process in processes]
