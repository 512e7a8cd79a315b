"""An interrupted encoding goes on where it was, and never with what is of others or damaged."""

from pathlib import Path

import pytest
import torch

from tavid_core.errors import StorageError
from training.cache_blocks import CacheBlocks
from training.cache_file import read_cache, write_joined

FILES = [f"hash-{index}" for index in range(5)]


class Encoder:
    """Counts what it encodes; may be interrupted at a clip."""

    def __init__(self, stops_at=None):
        self.stops_at = stops_at
        self.done, self.calls = [], []

    def __call__(self, indices):
        if self.stops_at in indices:
            raise KeyboardInterrupt
        self.done += indices
        self.calls.append(len(indices))
        values = torch.tensor([float(index) for index in indices])
        return {"a": values[:, None], "b": values[:, None, None].expand(-1, 2, 2)}


def compute(path, encoder, key="key", files=FILES, at_once=1):
    shown = []
    blocks = CacheBlocks(path, key, files, block_clips=3 if at_once == 2 else 2, at_once=at_once)
    parts = blocks.compute(encoder, shown.append)
    assert sum(shown) == len(files)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture
def path(tmp_path):
    """A cache whose encoding was interrupted at its fourth clip."""
    path = tmp_path / "latents.safetensors"
    with pytest.raises(KeyboardInterrupt):
        compute(path, Encoder(stops_at=3))
    return path


def test_whole_blocks_are_not_encoded_again(path):
    encoder = Encoder()
    tensors = compute(path, encoder)
    assert encoder.done == [2, 3, 4]
    assert tensors["a"].tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert tensors["b"].shape == (5, 2, 2)


def test_clips_are_encoded_together_but_not_across_blocks(tmp_path):
    encoder = Encoder()
    tensors = compute(tmp_path / "latents.safetensors", encoder, at_once=2)
    assert encoder.calls == [2, 1, 2]
    assert tensors["a"].tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]


@pytest.mark.parametrize(
    "change", [{"key": "another VAE"}, {"files": ["replaced", *FILES[1:]]}, {"files": FILES[1:]}]
)
def test_blocks_of_others_are_encoded_again(path, change):
    encoder = Encoder()
    compute(path, encoder, **change)
    assert encoder.done[0] == 0


def test_a_damaged_block_is_encoded_again(path):
    (block,) = path.parent.glob(".latents.safetensors.blocks/*")
    block.write_bytes(block.read_bytes()[:20])
    encoder = Encoder()
    compute(path, encoder)
    assert encoder.done == [0, 1, 2, 3, 4]


def read_own_memory_bytes():
    """Without what is mapped from files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("RssAnon")]
    return int(kib) * 1024


def test_blocks_are_not_held_in_memory(tmp_path, monkeypatch):
    """All of them, joined and serialised, used to be held at once: three times 8 GB for 5B."""
    # Large enough that the allocator gives them back.
    num_blocks, size = 6, 2**23
    held, path = [], tmp_path / "cache"

    def encode(indices):
        held.append(read_own_memory_bytes())
        return {"a": torch.full((1, size), float(indices[0]))}

    monkeypatch.setattr("os.fsync", lambda file: held.append(read_own_memory_bytes()))
    blocks = CacheBlocks(path, "key", [f"hash-{n}" for n in range(num_blocks)], block_clips=1)
    parts = blocks.compute(encode, lambda count: None)
    write_joined(path, parts, {"key": "key"})
    assert len(held) == 2 * num_blocks + 1
    assert max(held) - held[0] < 2 * 4 * size
    found, _ = read_cache(path, "key", "cache")
    assert found["a"][:, 0].tolist() == list(range(num_blocks))
    assert str(path) in Path("/proc/self/maps").read_text()


def test_a_block_that_goes_while_the_others_are_made_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("training.cache_blocks.write_joined", lambda *_: None)
    with pytest.raises(StorageError, match="must stay as it was written, got another or none"):
        compute(tmp_path / "latents.safetensors", Encoder())


def test_nothing_is_left_when_the_cache_is_whole(path):
    CacheBlocks(path, "key", FILES).remove()
    assert list(path.parent.iterdir()) == []
    CacheBlocks(path, "key", FILES).remove()
