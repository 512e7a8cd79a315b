"""A segmenter's child process whose answers cannot be used; argument 1 says in which way."""

import contextlib
import socket
import sys

import numpy as np

from tavid_ros.wire import receive_message, send_message

MASK = np.ones((4, 4), dtype=bool)
WORDS = {"type": "result", "score": 1.0, "method": "grabcut", "note": ""}
ANSWERS = {
    "no_mask": (WORDS, {}),
    "no_score": ({"type": "result", "method": "grabcut", "note": ""}, {"mask": MASK}),
    "score_is_no_number": ({**WORDS, "score": "high"}, {"mask": MASK}),
    "no_code": ({"type": "failure", "message": "it failed"}, {}),
    "unknown_code": ({"type": "failure", "message": "it failed", "code": 999}, {}),
}


def main() -> None:
    """Load well, and answer every job badly."""
    kind, number = sys.argv[1], int(sys.argv[2].removeprefix("--socket="))
    with socket.socket(fileno=number) as connection, contextlib.suppress(OSError):
        while receive_message(connection) is not None:
            send_message(connection, {"type": "ready", "load_time_sec": 0.0})
            receive_message(connection)
            if kind == "no_message":
                connection.sendall(b"something else altogether")
            elif kind == "ends_early":
                connection.sendall(b"TVD1")
                return
            else:
                send_message(connection, *ANSWERS[kind])


if __name__ == "__main__":
    main()
