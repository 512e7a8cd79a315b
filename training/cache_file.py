"""Files of tensors that can be computed again: keyed by what made them, whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from tavid_core.errors import InputError, StorageError
from training.checkpoints import write_durably

__all__ = ["read_cache", "stale_cache", "write_cache"]


def read_cache(
    path: Path, key: str, demand: str
) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    """Read a cache.

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
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(part, safetensors.torch.save(dict(tensors), metadata=dict(metadata)))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(
            f"{path} must fit on the disk, got: {error}. Free some space, or name another file."
        ) from error
