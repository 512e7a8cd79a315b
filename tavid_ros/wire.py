"""Messages between the node and its worker process: JSON for the words, raw bytes for the arrays.

Frame on the socket: magic, length of the header, length of the body; then the header (JSON object,
UTF-8) and the body (the arrays one after the other, C order, little endian). The header's "arrays"
entry says name, dtype and shape of each. No pickle: bytes from the other side stay data.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import ErrorCode, TavidError

__all__ = ["Message", "WireError", "receive_message", "send_message"]

Message = tuple[dict[str, object], dict[str, NDArray[np.generic]]]

_MAGIC = b"TVD1"
_PREFIX = struct.Struct("<4sIQ")
_MAX_HEADER_BYTES = 16 * 1024 * 1024
_MAX_BODY_BYTES = 2 * 1024 * 1024 * 1024
_DTYPES = frozenset({"|b1", "|u1", "<f4", "<f8", "<i8"})
_MAX_AXES = 8


class WireError(TavidError, ConnectionError):
    """The other side sent something that is no message, or went away inside one."""

    code = ErrorCode.WORKER_DIED


def send_message(
    connection: socket.socket,
    header: Mapping[str, object],
    arrays: Mapping[str, NDArray[np.generic]] | None = None,
) -> None:
    """Send one message.

    Args:
        connection: Connected stream socket; the caller keeps two senders apart.
        header: JSON values or numpy scalars; the key "arrays" is taken.
        arrays: bool, uint8, float32, float64 or int64.

    Raises:
        WireError: If an array has another type, or the message is too long.
        OSError: If the other side is gone or does not read.
    """
    stored, specs = [], []
    for name, values in (arrays or {}).items():
        plain = np.ascontiguousarray(values)
        plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        if plain.dtype.str not in _DTYPES:
            raise WireError(
                f"{name} must have one of the types {sorted(_DTYPES)}, got {plain.dtype}. "
                "Convert it."
            )
        specs.append([name, plain.dtype.str, list(np.shape(values))])
        stored.append(plain)
    text = json.dumps({**header, "arrays": specs}, default=_plain_number).encode()
    num_bytes = sum(values.nbytes for values in stored)
    if len(text) > _MAX_HEADER_BYTES or num_bytes > _MAX_BODY_BYTES:
        raise WireError(
            f"a message must have at most {_MAX_BODY_BYTES} bytes, got {len(text) + num_bytes}. "
            "Use fewer or smaller frames."
        )
    connection.sendall(_PREFIX.pack(_MAGIC, len(text), num_bytes) + text)
    for values in stored:
        if values.nbytes:
            connection.sendall(values.reshape(-1).view(np.uint8).data)


def _plain_number(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise WireError(f"a header must hold JSON values, got {type(value).__name__}. Convert it.")


def receive_message(connection: socket.socket) -> Message | None:
    """Wait for one message.

    Args:
        connection: Connected stream socket.

    Returns:
        Header and arrays, or None if the other side closed the socket between two messages.

    Raises:
        WireError: If what came is no message or ends too early.
        OSError: If the socket breaks or its time-out passes.
    """
    prefix = _receive_bytes(connection, _PREFIX.size, may_end=True)
    if prefix is None:
        return None
    magic, num_header_bytes, num_body_bytes = _PREFIX.unpack(prefix)
    if magic != _MAGIC or num_header_bytes > _MAX_HEADER_BYTES or num_body_bytes > _MAX_BODY_BYTES:
        raise WireError(
            f"a message must begin with {_MAGIC!r} and sane lengths, got {bytes(prefix)!r}. "
            "Does something else write to the worker's socket?"
        )
    text = _receive_bytes(connection, num_header_bytes)
    body = _receive_bytes(connection, num_body_bytes)
    return _parse(bytes(text), body)


def _receive_bytes(
    connection: socket.socket, num_bytes: int, *, may_end: bool = False
) -> bytearray | None:
    buffer = bytearray(num_bytes)
    view, received = memoryview(buffer), 0
    while received < num_bytes:
        count = connection.recv_into(view[received:])
        if count == 0:
            if may_end and received == 0:
                return None
            raise WireError(
                f"a message must have {num_bytes} more bytes, got {received} before the end. "
                "The other process ended."
            )
        received += count
    return buffer


def _parse(text: bytes, body: bytearray) -> Message:
    try:
        header = json.loads(text)
        specs = [(str(name), str(dtype), tuple(shape)) for name, dtype, shape in header["arrays"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WireError(
            f"a header must be a JSON object with arrays, got {text[:80]!r}. Restart the node."
        ) from error
    arrays: dict[str, NDArray[np.generic]] = {}
    position = 0
    for name, dtype, shape in specs:
        num_bytes = _count_bytes(name, dtype, shape)
        if position + num_bytes > len(body):
            raise WireError(
                f"{name} must lie in the {len(body)} bytes of the body, got {num_bytes} more at "
                f"{position}. Restart the node."
            )
        values = np.frombuffer(body, dtype=np.uint8, count=num_bytes, offset=position)
        # A copy, because a view may start at an odd address.
        arrays[name] = values.copy().view(dtype).reshape(shape)
        position += num_bytes
    del header["arrays"]
    return header, arrays


def _count_bytes(name: str, dtype: str, shape: tuple[object, ...]) -> int:
    is_shape = len(shape) <= _MAX_AXES and all(
        type(length) is int and 0 <= length <= _MAX_BODY_BYTES for length in shape
    )
    if dtype not in _DTYPES or not is_shape:
        raise WireError(
            f"{name[:32]} must have a known type and shape, got {dtype[:16]!r} {shape[:9]}. "
            "Restart the node."
        )
    return math.prod(shape) * np.dtype(dtype).itemsize
