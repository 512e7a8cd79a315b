"""Decompression ends where it is told to."""

import lz4.frame
import numpy as np
import pytest
import zstandard

from tavid_core.errors import InputError
from training.sources.bags.inflate import inflate, inflate_file, inflate_start

DATA = bytes(range(256)) * 2000
NOISE = np.random.default_rng(0).bytes(600_000)
PACKED = {"": DATA, "zstd": zstandard.compress(DATA), "lz4": lz4.frame.compress(DATA)}


@pytest.mark.parametrize("kind", list(PACKED))
def test_data_comes_back(kind):
    assert inflate(PACKED[kind], kind, len(DATA)) == DATA


def test_zstd_without_a_stated_size_comes_back():
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    assert inflate(packer.compress(DATA) + packer.flush(), "zstd", len(DATA)) == DATA


@pytest.mark.parametrize("kind", list(PACKED))
def test_longer_data_is_refused(kind):
    with pytest.raises(InputError, match=f"at most {len(DATA) - 1} bytes"):
        inflate(PACKED[kind], kind, len(DATA) - 1)


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_a_part_is_refused_and_its_start_can_be_had(kind):
    packed = zstandard.compress(NOISE) if kind == "zstd" else lz4.frame.compress(NOISE)
    part = packed[: len(packed) * 3 // 4]
    with pytest.raises(InputError, match=r"must be (whole|readable)"):
        inflate(part, kind, len(NOISE))
    start = inflate_start(part, kind, len(NOISE))
    assert 0 < len(start) < len(NOISE)
    assert NOISE.startswith(start)
    assert inflate_start(part, kind, 100) == NOISE[:100]
    assert inflate_start(b"none of it", kind, 100) == b""


def test_other_compressions_are_refused():
    with pytest.raises(InputError, match="must be zstd, lz4 or none, got 'bz2'"):
        inflate(b"", "bz2", 10)


def test_files(tmp_path):
    path, out = tmp_path / "a.zstd", tmp_path / "a"
    path.write_bytes(PACKED["zstd"])
    with out.open("w+b") as target:
        assert inflate_file(path, target, len(DATA))
    assert out.read_bytes() == DATA
    noise = zstandard.compress(NOISE)
    path.write_bytes(noise[: len(noise) // 2])
    with out.open("w+b") as target:
        assert not inflate_file(path, target, 10**6)
    assert 0 < out.stat().st_size < 600_000


def test_files_that_are_none_or_would_fill_the_disk(tmp_path):
    path, out = tmp_path / "a.zstd", tmp_path / "a"
    path.write_bytes(b"no zstd at all")
    with out.open("w+b") as target, pytest.raises(InputError, match=r"a\.zstd must be a zstd file"):
        inflate_file(path, target, 10**6)
    path.write_bytes(zstandard.compress(bytes(50_000_000)))
    with out.open("w+b") as target, pytest.raises(InputError, match="must inflate to at most"):
        inflate_file(path, target, 10**9)
    assert out.stat().st_size < 5_000_000
