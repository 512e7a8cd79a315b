"""What of a cache is done while the rest is still computed: an interrupted run goes on there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tavid_core.errors import InputError, StorageError
from training.cache_file import read_cache, write_joined

__all__ = ["CacheBlocks"]

_BLOCK_CLIPS = 64

Block = dict[str, torch.Tensor]


class CacheBlocks:
    """Blocks of clips on the disk beside a cache file, until that is whole.

    A block that is damaged, or of other clips, is computed again.

    Args:
        path: The cache file.
        key: Of what makes it.
        files: What each clip is made of; a block belongs to these.
        block_clips: Clips per block; None = 64.
        at_once: Clips that are encoded together.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        files: Sequence[str],
        block_clips: int | None = None,
        at_once: int = 1,
    ) -> None:
        self._folder = path.with_name(f".{path.name}.blocks")
        self._key = key
        self._files = list(files)
        self._block_clips = block_clips or _BLOCK_CLIPS
        self._at_once = at_once

    def compute(
        self, encode: Callable[[range], Block], show: Callable[[int], object]
    ) -> list[Block]:
        """Compute what is not there yet.

        Args:
            encode: Given the numbers of clips, returns their tensors, stacked.
            show: Told how many clips are done more.

        Returns:
            The tensors of each block, mapped from its file: together they may be larger than the
            memory.

        Raises:
            StorageError: If a block cannot be written.
        """
        blocks = []
        for start in range(0, len(self._files), self._block_clips):
            stop = min(start + self._block_clips, len(self._files))
            block = self._read(start, stop)
            if block is None:
                self._write(start, stop, encode, show)
                block = self._read(start, stop)
            else:
                show(stop - start)
            if block is None:
                raise StorageError(
                    f"{self._path(start)} must stay as it was written, got another or none. "
                    "Run the same command again."
                )
            blocks.append(block)
        return blocks

    def remove(self) -> None:
        """Delete the blocks: the cache file holds it all."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:06d}.safetensors"

    def _block_key(self, start: int, stop: int) -> str:
        # The place of a clip is part of it: the noise of its images depends on that.
        text = json.dumps([self._key, start, self._files[start:stop]])
        return hashlib.sha256(text.encode()).hexdigest()

    def _write(
        self,
        start: int,
        stop: int,
        encode: Callable[[range], Block],
        show: Callable[[int], object],
    ) -> None:
        parts = []
        for first in range(start, stop, self._at_once):
            indices = range(first, min(first + self._at_once, stop))
            parts.append(encode(indices))
            show(len(indices))
        write_joined(self._path(start), parts, {"key": self._block_key(start, stop)})

    def _read(self, start: int, stop: int) -> Block | None:
        try:
            found = read_cache(self._path(start), self._block_key(start, stop), "block")
        except InputError:
            return None
        return None if found is None else found[0]
