"""The file of a cache is what the library would have written, and it is whole or not there."""

import pytest
import safetensors
import torch
from safetensors.torch import load_file

from tavid_core.errors import InputError, StorageError
from training.cache_file import read_cache, write_cache, write_joined


def make_tensors(num_clips, seed=0):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(num_clips, 3, 5, generator=generator)
    return {
        "single": numbers,
        "half": numbers.bfloat16(),
        "other_half": numbers.half(),
        "bytes": (numbers > 0).to(torch.uint8),
        "turned": numbers.transpose(1, 2),
    }


def test_the_library_reads_what_is_written(tmp_path):
    tensors = make_tensors(3)
    write_cache(tmp_path / "one", tensors, {"key": "k", "files": "[]"})
    read = load_file(tmp_path / "one")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    with safetensors.safe_open(tmp_path / "one", "pt") as file:
        assert file.metadata() == {"key": "k", "files": "[]"}


def test_joined_parts_are_stacked(tmp_path):
    parts = [make_tensors(size, seed=size) for size in (2, 1, 4)]
    write_joined(tmp_path / "all", parts, {"key": "k"})
    read, metadata = read_cache(tmp_path / "all", "k", "cache must be mine")
    assert metadata == {"key": "k"}
    for name, tensor in read.items():
        assert torch.equal(tensor, torch.cat([part[name] for part in parts])), name


def test_what_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_cache(tmp_path / "one", make_tensors(1), {"key": "k"})

    def full(path, *pieces):
        path.write_bytes(pieces[0])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.cache_file.write_durably", full)
    with pytest.raises(StorageError, match=r"one must fit on the disk, got: .*No space left"):
        write_cache(tmp_path / "one", make_tensors(2), {"key": "k"})
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert len(read_cache(tmp_path / "one", "k", "cache")[0]["single"]) == 1


def test_other_keys_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "one"
    assert read_cache(path, "k", "cache must be mine") is None
    write_cache(path, make_tensors(1), {"key": "k"})
    with pytest.raises(InputError, match="cache must be mine, got one of others"):
        read_cache(path, "other", "cache must be mine")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="must be a whole cache file"):
        read_cache(path, "k", "cache must be mine")
