"""An interrupted encoding goes on where it was, and never with what is of others or damaged."""

import pytest
import torch

from training.cache_blocks import CacheBlocks

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
    tensors = blocks.compute(encoder, shown.append)
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


def test_nothing_is_left_when_the_cache_is_whole(path):
    CacheBlocks(path, "key", FILES).remove()
    assert list(path.parent.iterdir()) == []
    CacheBlocks(path, "key", FILES).remove()
