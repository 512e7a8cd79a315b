"""Files of tensors that can be computed again: keyed by what made them, whole or not there."""

from __future__ import annotations

import json
import struct
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from tavid_core.errors import InputError, StorageError
from training.checkpoints import write_durably

__all__ = ["read_cache", "stale_cache", "write_cache", "write_joined"]

_DTYPES = types.MappingProxyType(
    {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint8: "U8"}
)
# The format wants its tensors to begin at multiples of their numbers' size.
_ALIGNMENT = 8


def read_cache(
    path: Path, key: str, demand: str
) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    """Read a cache.

    Its tensors are mapped from the file: what is not used takes no memory, and processes share
    what is.

    Args:
        path: The file, safetensors.
        key: Of what must have made it.
        demand: Begins the message, "... must belong to ...".

    Returns:
        Its tensors and all that it says of itself, or None if there is no file.

    Raises:
        InputError: If the file is damaged, or was made of other things.
    """
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        tensors = safetensors.torch.load_file(path) if metadata.get("key") == key else None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} must be a whole cache file, got: {error}. Delete it; it is made again."
        ) from error
    if tensors is None:
        raise stale_cache(path, demand)
    return tensors, metadata


def stale_cache(path: Path, demand: str) -> InputError:
    """Say that a cache is of other things.

    Args:
        path: The file.
        demand: Begins the message.

    Returns:
        The error, ready to be raised.
    """
    return InputError(f"{demand}, got {path.name} of others. Delete it or name another file.")


def write_cache(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a cache; a torn write leaves none.

    Args:
        path: The file, safetensors.
        tensors: On the CPU.
        metadata: What made them.

    Raises:
        StorageError: If it cannot be written.
    """
    write_joined(path, [tensors], metadata)


def write_joined(
    path: Path, parts: Sequence[Mapping[str, torch.Tensor]], metadata: Mapping[str, str]
) -> None:
    """Write the cache that several make, stacked, without holding it in memory.

    Args:
        path: The file, safetensors.
        parts: On the CPU, of the same names; mapped ones are read as they are written.
        metadata: What made them.

    Raises:
        StorageError: If it cannot be written.
    """
    # Those of wide numbers first, so that all are aligned.
    names = sorted(parts[0], key=lambda name: (-parts[0][name].itemsize, name))
    header = _make_header(names, parts, metadata)
    pieces = [_view_bytes(part[name]) for name in names for part in parts]
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(temporary, header, *pieces)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path} must fit on the disk, got: {error}. Free some space, or name another file."
        ) from error


def _make_header(
    names: Sequence[str],
    parts: Sequence[Mapping[str, torch.Tensor]],
    metadata: Mapping[str, str],
) -> bytes:
    # The library's own writer wants all tensors whole, and copies them.
    fields: dict[str, object] = {"__metadata__": dict(metadata)}
    start = 0
    for name in names:
        tensors = [part[name] for part in parts]
        stop = start + sum(tensor.nbytes for tensor in tensors)
        fields[name] = {
            "dtype": _DTYPES[tensors[0].dtype],
            "shape": [sum(len(tensor) for tensor in tensors), *tensors[0].shape[1:]],
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(fields).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _view_bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data
