"""Arrays out of `.npz` files that may hold arrays of objects, which NumPy would unpickle."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tavid_core.errors import InputError
from training.sources.array_pickle import parse_array_pickle

__all__ = ["read_npz"]

MAX_BYTES = 1 << 30


def read_npz(path: Path) -> dict[str, Any]:
    """Read all arrays of a file.

    Args:
        path: The `.npz`.

    Returns:
        Arrays by name; an array of objects has become a list, see `training.sources.array_pickle`.

    Raises:
        InputError: If it cannot be read, is damaged, or unpacks to more than a gigabyte.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_BYTES:
                raise InputError(f"{path.name} must unpack to at most {MAX_BYTES} bytes: {size}.")
            return {
                name.removesuffix(".npy"): _parse_npy(archive.read(name), path.name)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except InputError:
        raise
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as e:
        raise _damaged(path, e) from e
    except (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError) as e:
        raise _damaged(path, e) from e


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path.name} must be a readable .npz, got {error}: {path}. Copy it again.")


def _parse_npy(data: bytes, name: str) -> Any:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of npy")
    _, _, dtype = read_header(stream)
    if dtype.hasobject:
        return parse_array_pickle(data[stream.tell() :], name)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
