"""Fetching a model: what is asked of the Hub, and what is accepted as a whole model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import huggingface_hub
import pytest
import safetensors.torch
import torch

from tavid_core.cli import main
from tavid_core.download import download_model
from tavid_core.errors import ConfigError, WeightsError
from tavid_core.model_folder import check_model_files
from tests import tiny

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    tiny.make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def hub(saved, monkeypatch):
    """A Hub that has one model; `asked` is what was asked of it."""
    asked = []

    def snapshot_download(repo_id, *, revision, local_dir, allow_patterns):
        asked.append((repo_id, revision, tuple(allow_patterns)))
        shutil.copytree(saved, local_dir, dirs_exist_ok=True)
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_command_fetches_into_the_folder_and_says_how_to_go_on(hub, tmp_path, capsys):
    folder = tmp_path / "5b"
    assert main(["download", "5b", "--dest", str(folder), "--revision", "a1b2c3"]) == 0
    patterns = ("*.json", "*.safetensors", "*.model", "*.txt")
    assert hub == [("THUDM/CogVideoX-5b-I2V", "a1b2c3", patterns)]
    assert f"{folder} is whole" in capsys.readouterr().out
    (folder / WEIGHTS).unlink()
    assert main(["download", "5b", "--dest", str(folder)]) == 0
    assert hub[1][1] == "main"
    assert (folder / WEIGHTS).is_file()


@pytest.mark.parametrize("name", ["", "6b", "../x", "a/b/c", "a b/c"])
def test_impossible_names_are_refused(hub, tmp_path, name):
    with pytest.raises(ConfigError, match="model must be one of 5b or a Hub id"):
        download_model(name, tmp_path)
    assert not hub


@pytest.mark.parametrize("revision", ["", "-x", "a b"])
def test_impossible_revisions_are_refused(hub, tmp_path, revision):
    with pytest.raises(ConfigError, match="revision must be a branch, tag or commit"):
        download_model("5b", tmp_path, revision=revision)
    assert not hub


def test_what_is_there_is_checked_even_if_the_hub_is_content(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: None)
    folder = shutil.copytree(saved, tmp_path / "model")
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"must be a whole safetensors file.* Run the same"):
        download_model("5b", folder)
    with pytest.raises(WeightsError, match="must list the parts of a diffusers model"):
        download_model("5b", tmp_path / "empty")


def test_every_shard_of_an_index_must_be_there(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "model")
    check_model_files(folder)
    index = folder / "transformer" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    safetensors.torch.save_file({"a": torch.zeros(1)}, index.parent / "one.safetensors")
    with pytest.raises(WeightsError, match=r"two\.safetensors must be a whole"):
        check_model_files(folder)
    index.write_text("[]")
    with pytest.raises(WeightsError, match="must list the files of the weights"):
        check_model_files(folder)


def test_fetching_and_checking_needs_no_torch():
    code = "import sys, tavid_core.download, tavid_core.model_folder; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_offline_the_real_hub_library_sends_nothing_and_the_error_says_so(tmp_path):
    """HF_HUB_OFFLINE counts when the library is imported, hence a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tavid_core.cli", "download", "5b", "--dest", str(tmp_path / "5b")],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert "got 'THUDM/CogVideoX-5b-I2V' at 'main': Cannot find" in done.stderr
    assert "goes on where this one stopped" in done.stderr
