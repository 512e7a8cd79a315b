"""An interrupted encoding goes on where it was, and never with what is of others or damaged."""

import pytest
import torch

from training.cache_blocks import CacheBlocks

FILES = [f"hash-{index}" for index in range(5)]


class Encoder:
    """Counts what it encodes; may be interrupted at a clip."""

    def __init__(self, stops_at=None):
        self.stops_at = stops_at
        self.done = []

    def __call__(self, index):
        if index == self.stops_at:
            raise KeyboardInterrupt
        self.done.append(index)
        return {"a": torch.tensor([float(index)]), "b": torch.full((2, 2), index)}


def compute(path, encoder, key="key", files=FILES):
    shown = []
    tensors = CacheBlocks(path, key, files, block_clips=2).compute(encoder, shown.append)
    assert sum(shown) == len(files)
    return tensors


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


def test_nothing_is_left_when_the_cache_is_whole(path):
    CacheBlocks(path, "key", FILES).remove()
    assert list(path.parent.iterdir()) == []
    CacheBlocks(path, "key", FILES).remove()
