"""Files of weights: read without executing anything, checked, hashed."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from tavid_core.errors import WeightsError

__all__ = ["hash_folder", "read_tensors"]

_CHUNK_BYTES = 1 << 20


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors from a .safetensors file, or from a .pth file that holds nothing else.

    Args:
        path: The file.

    Returns:
        Its tensors, on the CPU, all floating point and finite.

    Raises:
        WeightsError: If the file is missing, damaged, holds anything but tensors, or holds NaN
            or infinity; the message names it.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path} must be a file, got nothing there. Copy the whole folder, or save it again."
        )
    tensors = _read_pickle(path) if path.suffix == ".pth" else _read_safetensors(path)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsError(
                f"{path} must hold floating point weights, got {tensor.dtype} in '{name}'. "
                "Save it again."
            )
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{path} must hold finite weights, got NaN or infinity in '{name}'. "
                "The training diverged: take an earlier step."
            )
    return tensors


def hash_folder(path: str | Path) -> str:
    """Hash the names and contents of all files of a folder.

    Files and folders whose names begin with a dot are left out (caches, version control).

    Args:
        path: The folder.

    Returns:
        SHA-256, 64 hexadecimal digits; independent of where the folder lies.

    Raises:
        WeightsError: If there is no such folder, or a file in it cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise WeightsError(f"{folder} must be a folder, got nothing there. Check the path.")
    digest = hashlib.sha256()
    try:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder)
            if not file.is_file() or any(part.startswith(".") for part in name.parts):
                continue
            digest.update(f"{name.as_posix()}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
    except OSError as error:
        raise WeightsError(
            f"{folder} must be readable, got: {error}. Check its permissions."
        ) from error
    return digest.hexdigest()


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} must be a whole safetensors file, got: {error}. Copy it again."
        ) from error


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    # Another program's pickle: weights_only admits tensors only, and a damaged one can fail in
    # any of these ways.
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path} must hold tensors only, and whole, got: {reason} Copy it again, or do not "
            "trust it."
        ) from error
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in tensors.items()
    ):
        raise WeightsError(
            f"{path} must hold a dictionary of tensors, got {type(tensors).__name__}. "
            "Save the state dictionary of the layer."
        )
    return dict(tensors)
