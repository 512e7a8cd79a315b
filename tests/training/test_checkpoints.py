import json

import pytest
import torch

from tavid_core.errors import StorageError
from training.checkpoints import Checkpoints


def save(folder, *steps):
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, {"weight": torch.full((3,), float(step))}, {"0": {"step": step}})
    return checkpoints


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    newest = save(tmp_path, 2, 4, 6).newest()
    assert newest.step == 6
    assert newest.tensors["weight"].tolist() == [6.0, 6.0, 6.0]
    assert newest.optimizer == {"0": {"step": 6}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_0000004", "step_0000006"]
    assert save(tmp_path / "other").newest() is None


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.pt", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_ones_are_told_and_passed_over(tmp_path, capsys, file, damage):
    checkpoints = save(tmp_path, 2, 4)
    path = tmp_path / "step_0000004" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[:-3] if damage == "cut" else content)
    if damage == "gone":
        path.unlink()
    assert checkpoints.newest().step == 2
    told = capsys.readouterr()
    assert "checkpoint step_0000004 must be whole, got" in told.err
    assert "Falling back to the one before." in told.err
    assert told.out == "", "it would stand beside the line of JSON"


def test_a_manifest_cannot_name_other_files(tmp_path):
    checkpoints = save(tmp_path, 2)
    path = tmp_path / "step_0000002" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "sha256": {"../../etc/passwd": "0"}}))
    assert checkpoints.newest() is None


def test_what_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    checkpoints = save(tmp_path, 2)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.checkpoints.write_durably", full)
    with pytest.raises(StorageError, match=r"No space left on device.*step_0000002 is kept"):
        save(tmp_path, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["step_0000002"]
    assert checkpoints.newest().step == 2


def test_after_a_fall_back_what_is_written_stays_and_damaged_later_ones_go(tmp_path):
    checkpoints = save(tmp_path, 100, 200)
    for step in (100, 200):
        (tmp_path / f"step_{step:07d}" / "optimizer.pt").write_bytes(b"torn")
    assert checkpoints.newest() is None
    save(tmp_path, 50)
    assert [path.name for path in tmp_path.iterdir()] == ["step_0000050"]
    assert save(tmp_path, 75).newest().step == 75
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_0000050", "step_0000075"]


def test_a_later_one_that_is_whole_stays_too(tmp_path):
    assert save(tmp_path, 100, 200, 50).newest().step == 200
    assert (tmp_path / "step_0000050").is_dir()
