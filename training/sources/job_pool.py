"""Run a function on many arguments in processes, and survive a process that dies."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2

__all__ = ["run_in_processes"]

WAIT_SEC = 0.5


def run_in_processes(
    function: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    num_workers: int,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, Any]]:
    """Call a function on each argument list; a call that kills its process does not end the rest.

    Args:
        function: Importable by name, since the processes start afresh.
        arguments: One tuple per call; picklable.
        num_workers: Processes at a time; 0 calls it in this process.
        on_wait: Called now and then while the processes work.

    Yields:
        Index and what the function returned, in the order of completion; None in place of the
        result of a call that killed its process.
    """
    if num_workers == 0:
        for index, words in enumerate(arguments):
            yield index, function(*words)
        return
    others = set(multiprocessing.active_children())
    waiting = list(range(len(arguments)))[::-1]
    try:
        while waiting:
            suspects = yield from _drain(function, arguments, num_workers, waiting, on_wait)
            # One of these killed the processes of all; alone each tells whether it was the one.
            for index in suspects:
                with _open_pool(1) as pool:
                    try:
                        yield index, pool.submit(function, *arguments[index]).result()
                    except BrokenProcessPool:
                        yield index, None
    except BaseException:
        # Interrupted: without this the pool would wait for its running calls.
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise


def _drain(
    function: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    num_workers: int,
    waiting: list[int],
    on_wait: Callable[[], None],
) -> Iterator[tuple[int, Any]]:
    """Work through the waiting calls; return those that ran when a process died."""
    running: dict[concurrent.futures.Future, int] = {}
    with _open_pool(num_workers) as pool:
        while waiting or running:
            try:
                while waiting and len(running) < num_workers:
                    future = pool.submit(function, *arguments[waiting[-1]])
                    running[future] = waiting.pop()
            except BrokenProcessPool:
                return sorted(running.values())
            done, _ = concurrent.futures.wait(
                running, WAIT_SEC, return_when=concurrent.futures.FIRST_COMPLETED
            )
            on_wait()
            for future in done:
                try:
                    result = future.result()
                except BrokenProcessPool:
                    return sorted(running.values())
                yield running.pop(future), result
    return []


def _open_pool(num_workers: int) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(
        num_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )


def _start_worker() -> None:
    # The parent tells its workers to stop; a Ctrl-C of the terminal would reach them first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
