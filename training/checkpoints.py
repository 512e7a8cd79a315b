"""Checkpoints of a run: whole or not there, with hashes, the newest good one found again."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from tqdm import tqdm

from tavid_core.errors import StorageError, WeightsError

__all__ = ["Checkpoint", "Checkpoints", "write_durably"]

WEIGHTS_FILE, OPTIMIZER_FILE, MANIFEST_FILE = "weights.safetensors", "optimizer.pt", "manifest.json"
NUM_KEPT = 2


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from.

    Args:
        step: Optimiser steps done.
        tensors: Weights, averages and buffers by name, on the CPU.
        optimizer: State of the optimiser.
    """

    step: int
    tensors: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, object]


class Checkpoints:
    """The checkpoints of a run folder; the two newest are kept.

    A checkpoint is written into a hidden folder, its manifest with hashes last, everything is
    synchronised with the disk, and then the folder gets its name. Old ones go after that, and
    damaged ones of later steps, which a run that fell back has left behind.

    Args:
        folder: The run folder; made when the first checkpoint is saved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(
        self, step: int, tensors: Mapping[str, torch.Tensor], optimizer: Mapping[str, object]
    ) -> None:
        """Write a checkpoint.

        Args:
            step: Optimiser steps done.
            tensors: By name, on any device.
            optimizer: State that `torch.load(weights_only=True)` reads.

        Raises:
            StorageError: If it cannot be written; the older checkpoints are intact.
        """
        final = self._folder / f"step_{step:07d}"
        part = self._folder / f".step_{step:07d}.part"
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            _write_files(part, step, tensors, optimizer)
            shutil.rmtree(final, ignore_errors=True)
            part.replace(final)
            _sync(self._folder)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            kept = self._names()
            raise StorageError(
                f"checkpoint of step {step} must fit into {self._folder}, got: {error}. Free some "
                f"space and run the same command again; {kept[-1] if kept else 'nothing'} is kept."
            ) from error
        self._remove_old(final.name)

    def newest(self) -> Checkpoint | None:
        """Read the newest checkpoint whose files are what its manifest says.

        Returns:
            The checkpoint, or None if there is no good one. Damaged ones are told and passed over.
        """
        for name in reversed(self._names()):
            try:
                return _read(self._folder / name)
            except WeightsError as error:
                # The result of a run is the one line on stdout.
                tqdm.write(f"{error} Falling back to the one before.", file=sys.stderr)
        return None

    def _remove_old(self, written: str) -> None:
        names = self._names()
        for name in names[names.index(written) + 1 :]:
            # A later one is of a run that could not be gone on with; it would count as kept.
            if not self._is_whole(name):
                shutil.rmtree(self._folder / name, ignore_errors=True)
        for name in names[: names.index(written) + 1][:-NUM_KEPT]:
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def _is_whole(self, name: str) -> bool:
        try:
            _read(self._folder / name)
        except WeightsError:
            return False
        return True

    def any(self) -> bool:
        """Say whether there is a checkpoint, good or damaged."""
        return bool(self._names())

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._folder.glob("step_*"))


def _write_files(
    part: Path, step: int, tensors: Mapping[str, torch.Tensor], optimizer: Mapping[str, object]
) -> None:
    # Through memory, because the libraries report a full disk in ways of their own.
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    buffer = io.BytesIO()
    torch.save(dict(optimizer), buffer)
    contents = {
        WEIGHTS_FILE: safetensors.torch.save(on_cpu),
        OPTIMIZER_FILE: buffer.getbuffer(),
    }
    for name, content in contents.items():
        write_durably(part / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifest = json.dumps({"step": step, "sha256": hashes})
    write_durably(part / MANIFEST_FILE, manifest.encode())
    _sync(part)


def _read(folder: Path) -> Checkpoint:
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        contents = {name: (folder / name).read_bytes() for name in (WEIGHTS_FILE, OPTIMIZER_FILE)}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        if manifest["sha256"] != hashes:
            raise ValueError("other hashes than its manifest names")
        step = int(manifest["step"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"checkpoint {folder.name} must be whole, got: {error}.") from error
    return Checkpoint(
        step=step,
        tensors=safetensors.torch.load(contents[WEIGHTS_FILE]),
        optimizer=torch.load(
            io.BytesIO(contents[OPTIMIZER_FILE]), map_location="cpu", weights_only=True
        ),
    )


def write_durably(path: Path, *pieces: bytes | memoryview) -> None:
    """Write a file and wait until the disk has it.

    Args:
        path: Where to.
        *pieces: All of it, one behind the other.

    Raises:
        OSError: If it cannot be written.
    """
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
