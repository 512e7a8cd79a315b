"""Rows of clips on disk: what was written comes back, for the same code only."""

import pytest

from benchmarks.lifting_rows import RowStore, code_fingerprint
from tavid_core.errors import InputError


def test_rows_come_back_for_the_same_code_only(tmp_path):
    store = RowStore(tmp_path, "aa")
    assert store.read("clip_000001") is None
    rows = [("textured_480/depth/true", False, {"wrist_error_m": 0.02, "lost": float("nan")})]
    store.write("clip_000001", rows)
    ((setting, is_decoy, row),) = store.read("clip_000001")
    assert (setting, is_decoy, row["wrist_error_m"]) == ("textured_480/depth/true", False, 0.02)
    assert row["lost"] != row["lost"]
    assert RowStore(tmp_path, "bb").read("clip_000001") is None
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


def test_a_damaged_file_is_named(tmp_path):
    store = RowStore(tmp_path, "aa")
    store.write("clip_000001", [])
    store.path("clip_000001").write_text('[["a", tr')
    with pytest.raises(InputError, match=r"clip_000001\.json must hold a clip's rows"):
        store.read("clip_000001")


def test_the_fingerprint_is_the_same_twice():
    assert code_fingerprint() == code_fingerprint()
    assert len(code_fingerprint()) == 16
