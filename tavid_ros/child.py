"""What every child process of a node does: die with its parent, and put errors into words.

The child knows no ROS. The kernel kills it when the thread of the parent that started it ends.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import socket
import sys

from tavid_core.errors import ErrorCode, TavidError

__all__ = ["connect_to_parent", "describe_error", "is_out_of_memory"]

_PR_SET_PDEATHSIG = 1
_MAX_MESSAGE_CHARACTERS = 800
# What torch's CPU allocator, CUDA and cuBLAS say in a plain RuntimeError.
_OUT_OF_MEMORY_WORDS = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def connect_to_parent(args: list[str] | None, description: str) -> socket.socket:
    """Tie this process to the node that started it.

    Args:
        args: Command line, without the program's name; None = that of the process.
        description: Of the program, for --help.

    Returns:
        The socket to the node.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--socket", type=int, required=True, help="inherited file descriptor")
    parser.add_argument("--parent", type=int, required=True, help="process id of the node")
    parser.add_argument("--niceness", type=int, default=0, help="added to that of the node")
    options = parser.parse_args(args)
    _die_with_parent(options.parent)
    # Ctrl-C reaches the whole group; the node decides when its child ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(options.niceness)
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s] [%(name)s]: %(message)s")
    return socket.socket(fileno=options.socket)


def describe_error(error: Exception, logger: logging.Logger) -> dict[str, object]:
    """Put an error into words for the node.

    Args:
        error: Any.
        logger: Of the child; what nobody foresaw goes there with its traceback.

    Returns:
        code and message, JSON values.
    """
    if isinstance(error, TavidError):
        code, message = error.code, str(error)
    elif is_out_of_memory(error):
        code = ErrorCode.OUT_OF_MEMORY
        message = (
            f"memory must hold the model and its work, got {type(error).__name__}: {error}. "
            "Use a smaller model or image, or close other programs on the device."
        )
    else:
        code = ErrorCode.MODEL_ERROR
        message = (
            f"the model must answer, got {type(error).__name__}: {error}. See the worker's log."
        )
    if not isinstance(error, TavidError):
        logger.error("%s", message, exc_info=error)
    return {"code": int(code), "message": message[:_MAX_MESSAGE_CHARACTERS]}


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that there was not enough memory.

    Args:
        error: Any.

    Returns:
        True for MemoryError and for what torch raises on any device.
    """
    # torch.OutOfMemoryError is known by name, so that torch need not be imported for it.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in _OUT_OF_MEMORY_WORDS
    )


def _die_with_parent(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the line above took effect.
    if os.getppid() != parent_pid:
        os._exit(0)
