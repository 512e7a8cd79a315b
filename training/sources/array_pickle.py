"""Arrays and plain containers out of pickle files, without unpickling.

Some data sets come as pickles, and a pickle is a program: Python's own reader imports and calls
what the file names. This one interprets the few opcodes that arrays, numbers, texts, lists, tuples
and dictionaries need, calls nothing, and refuses every other opcode and every other name. The
arrays are built here from checked shapes and bytes, because NumPy trusts the state it is given.

Only the standard library's `pickletools`, which splits a pickle into opcodes and runs none, sees
the bytes first.
"""

from __future__ import annotations

import dataclasses
import math
import pickletools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tavid_core.errors import InputError

__all__ = ["parse_array_pickle", "read_array_pickle"]

MAX_BYTES = 1 << 30
MAX_OPCODES = 5_000_000
MAX_DEPTH = 32
MAX_DIMENSIONS = 32

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_NAMES = {
    **{(module, "_reconstruct"): "array" for module in _MODULES},
    **{(module, "scalar"): "scalar" for module in _MODULES},
    **{(module, "_frombuffer"): "buffer" for module in _NUMERIC},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("collections", "OrderedDict"): "dict",
    ("builtins", "bytes"): "bytes",
    ("__builtin__", "bytes"): "bytes",
}
_DTYPE = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248]|c(?:8|16)|[SU]\d{1,6}|O8?|\?)")
_KEYS = (str, bytes, int, float, bool, type(None))

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"}
_TEXTS |= {"BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_VALUES = frozenset(_NUMBERS | _TEXTS)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _RefusedError(Exception):
    pass


@dataclasses.dataclass(eq=False)
class _Name:
    kind: str


@dataclasses.dataclass(eq=False)
class _Dtype:
    code: str
    byte_order: str = "="


@dataclasses.dataclass(eq=False)
class _Array:
    value: Any = None
    items: list[Any] | None = None


_MARK = object()


def read_array_pickle(path: Path) -> Any:
    """Read a pickle file of arrays and plain containers, see `parse_array_pickle`.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        InputError: If it cannot be read, or holds anything else.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(
            f"{path.name} must be a readable file, got {error.strerror}. Check the path."
        ) from error
    if size > MAX_BYTES:
        raise InputError(f"{path.name} must have at most {MAX_BYTES} bytes, got {size}. Split it.")
    return parse_array_pickle(data, path.name)


def parse_array_pickle(data: bytes, name: str = "pickle") -> Any:
    """Interpret a pickle of arrays, numbers, texts, lists, tuples and dictionaries.

    Args:
        data: The pickle, any protocol; texts of Python 2 are taken as Latin-1.
        name: For the message.

    Returns:
        What it holds. Arrays are read-only; arrays of objects have become lists.

    Raises:
        InputError: If it is damaged, or needs any other opcode or name.
    """
    try:
        return _Machine().run(data)
    except (_RefusedError, ValueError, TypeError, LookupError, OverflowError) as error:
        reason = str(error)[:120] or type(error).__name__
        raise InputError(
            f"{name} must be a pickle of arrays and plain containers, got {reason}. "
            "Get the file from the data set's own page; others are not opened."
        ) from error


class _Machine:
    """A stack, a memo, and one method for each kind of opcode."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._calls: dict[str, Callable[[], None]] = {
            "MARK": lambda: self._stack.append(_MARK),
            "POP": lambda: self._drop(1),
            "POP_MARK": lambda: self._drop_to_mark(),
            "DUP": lambda: self._stack.append(self._top()),
            "EMPTY_LIST": lambda: self._stack.append([]),
            "EMPTY_TUPLE": lambda: self._stack.append(()),
            "EMPTY_DICT": lambda: self._stack.append({}),
            "LIST": lambda: self._stack.append(self._drop_to_mark()),
            "TUPLE": lambda: self._stack.append(tuple(self._drop_to_mark())),
            "DICT": lambda: self._stack.append(_pairs({}, self._drop_to_mark())),
            "APPEND": lambda: self._append(self._drop(1)),
            "APPENDS": lambda: self._append(self._drop_to_mark()),
            "SETITEM": lambda: self._set_items(self._drop(2)),
            "SETITEMS": lambda: self._set_items(self._drop_to_mark()),
            "MEMOIZE": lambda: self._memo.update({len(self._memo): self._top()}),
            "STACK_GLOBAL": lambda: self._stack.append(_find_name(*self._drop(2))),
            "REDUCE": lambda: self._stack.append(_call(*self._drop(2))),
            "BUILD": lambda: _set_state(*self._drop(1, keep=True)),
        }

    def run(self, data: bytes) -> Any:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if number >= MAX_OPCODES:
                raise _RefusedError(f"more than {MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                break
            self._step(opcode.name, argument)
        if len(self._stack) != 1:
            raise _RefusedError("a stack that is not empty at the end")
        return _resolve(self._stack[0], 0, {})

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            # A writable buffer becomes bytes: nothing that is read here is to change.
            self._stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self._stack.append(tuple(self._drop(_TUPLES[name])))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name == "GLOBAL":
            self._stack.append(_find_name(*argument.split(" ", 1)))
        elif name in self._calls:
            self._calls[name]()
        elif name not in ("PROTO", "FRAME"):
            raise _RefusedError(f"the opcode {name}")

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise _RefusedError("an empty stack")
        return self._stack[-1]

    def _drop(self, count: int, *, keep: bool = False) -> list[Any]:
        """Take values from the stack; with `keep` the one below stays and comes first."""
        needed = count + keep
        values = self._stack[-needed:]
        if len(values) < needed or any(value is _MARK for value in values):
            raise _RefusedError("an empty stack")
        del self._stack[-count:]
        return values

    def _drop_to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                values = self._stack[place + 1 :]
                del self._stack[place:]
                return values
        raise _RefusedError("a missing mark")

    def _append(self, values: Iterable[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise _RefusedError("an append to something that is no list")
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not dict:
            raise _RefusedError("an item of something that is no dictionary")
        _pairs(target, values)


def _pairs(target: dict[Any, Any], values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise _RefusedError("a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, _KEYS):
            raise _RefusedError(f"a key of type {type(key).__name__}")
        target[key] = value
    return target


def _find_name(module: Any, name: Any) -> _Name:
    if not (isinstance(module, str) and isinstance(name, str)) or (module, name) not in _NAMES:
        raise _RefusedError(f"the name {module}.{name}")
    return _Name(_NAMES[module, name])


def _call(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise _RefusedError("a call of something that is no function")
    if function.kind == "array":
        return _Array()
    if function.kind == "dtype" and arguments and isinstance(arguments[0], str):
        if not _DTYPE.fullmatch(arguments[0]):
            raise _RefusedError(f"the dtype {arguments[0][:40]}")
        return _Dtype(arguments[0])
    if function.kind == "scalar" and len(arguments) == 2:
        return _make_array(arguments[0], (), arguments[1], False)
    if function.kind == "buffer" and len(arguments) == 4:
        raw, dtype, shape, order = arguments
        return _make_array(dtype, shape, raw, order == "F")
    if function.kind == "encode" and len(arguments) == 2 and isinstance(arguments[0], str):
        return arguments[0].encode("latin-1")
    if function.kind in ("dict", "bytes") and not arguments:
        return {} if function.kind == "dict" else b""
    raise _RefusedError(f"the call of {function.kind} with {len(arguments)} arguments")


def _set_state(target: Any, state: Any) -> None:
    if isinstance(target, _Dtype) and isinstance(state, tuple) and len(state) >= 5:
        if state[1] not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise _RefusedError("a dtype with fields")
        target.byte_order = state[1]
    elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5:
        built = _make_array(state[2], state[1], state[4], bool(state[3]))
        target.value, target.items = built.value, built.items
    else:
        raise _RefusedError(f"a state of {type(target).__name__}")


def _make_array(dtype: Any, shape: Any, raw: Any, is_fortran: bool) -> _Array:
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
        raise _RefusedError("an array without dtype or shape")
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise _RefusedError("an array of impossible shape")
    count = math.prod(shape)
    if dtype.code.lstrip("<>=|").startswith("O"):
        if not isinstance(raw, list) or len(raw) != count:
            raise _RefusedError("an array of objects with another number of them")
        return _Array(items=raw)
    kind = np.dtype(dtype.code).newbyteorder(dtype.byte_order)
    # Python 2 wrote bytes as text.
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes) or len(raw) != count * kind.itemsize:
        raise _RefusedError("an array whose bytes do not fill its shape")
    if not kind.itemsize:
        raise _RefusedError("an array of nothing")
    values = np.frombuffer(raw, dtype=kind) if count else np.empty(0, dtype=kind)
    return _Array(value=values.reshape(shape, order="F" if is_fortran else "C"))


def _resolve(value: Any, depth: int, done: dict[int, Any]) -> Any:
    """Put arrays in the places of their builders; containers may share, but not hold themselves."""
    if depth > MAX_DEPTH:
        raise _RefusedError(f"containers more than {MAX_DEPTH} deep")
    if isinstance(value, _Name | _Dtype) or value is _MARK:
        raise _RefusedError("a name or dtype instead of data")
    if not isinstance(value, list | tuple | dict | _Array):
        return value
    if id(value) not in done:
        done[id(value)] = _resolve_container(value, depth + 1, done)
    return done[id(value)]


def _resolve_container(value: Any, depth: int, done: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, depth, done) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_resolve(item, depth, done) for item in value)
    if isinstance(value, list):
        return [_resolve(item, depth, done) for item in value]
    if value.items is not None:
        return [_resolve(item, depth, done) for item in value.items]
    if value.value is None:
        raise _RefusedError("an array that was never filled")
    return value.value
