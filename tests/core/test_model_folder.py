"""Finding and loading models: local means offline, and nothing foreign is imported."""

from __future__ import annotations

import json
import shutil
import sys
import types

import pytest
import safetensors.torch
import torch

from tavid_core import model_folder
from tavid_core.errors import ConfigError, WeightsError
from tavid_core.model_folder import find_adapter_folder, find_model_folder, load_pipeline
from tests import tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    tiny.make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def test_whole_folder_loads_without_network(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    pipeline = load_pipeline(find_model_folder(folder), torch.float32)
    assert not pipeline.transformer.training
    assert not pipeline.text_encoder.training


def test_names_find_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "ASSETS", tmp_path)
    with pytest.raises(WeightsError, match="mini must hold the shipped weights"):
        find_model_folder("mini")
    for name in ("mini", "mini_adapter"):
        (tmp_path / name).mkdir()
    assert find_model_folder("mini") == tmp_path / "mini"
    assert find_adapter_folder("mini", "default") == tmp_path / "mini_adapter"
    assert find_adapter_folder("other", tmp_path / "mini") == tmp_path / "mini"


@pytest.mark.parametrize("adapter", [None, "none", ""])
@pytest.mark.parametrize("model", ["mini", "THUDM/CogVideoX-5b-I2V"])
def test_no_adapter_has_the_words_of_every_surface(model, adapter):
    """Python says None, the command "none", a parameter file ""."""
    assert find_adapter_folder(model, adapter) is None


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="model must be 'mini', a folder or a Hub id"):
        find_model_folder(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="adapter must be a folder, got 'nowhere'"):
        find_adapter_folder("mini", "nowhere")
    with pytest.raises(ConfigError, match="adapter must name a folder for model"):
        find_adapter_folder("THUDM/CogVideoX-5b-I2V", "default")


class Hub:
    """Stands for huggingface_hub: what is asked of it, and a folder that may be in its cache."""

    def __init__(self, monkeypatch, folder, *, is_cached=False):
        self.folder, self.is_cached, self.asked = folder, is_cached, []
        hub = types.SimpleNamespace(snapshot_download=self.download)
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)

    def download(self, name, allow_patterns, local_files_only=False):
        self.asked.append((name, set(allow_patterns), local_files_only))
        if local_files_only and not self.is_cached:
            raise FileNotFoundError("not in the cache")
        self.is_cached = True
        return str(self.folder)


def test_hub_id_fetches_weights_and_nothing_executable(monkeypatch, folder):
    hub = Hub(monkeypatch, folder)
    assert find_model_folder("THUDM/CogVideoX-5b-I2V") == folder
    files = {"*.json", "*.safetensors", "*.model", "*.txt"}
    assert hub.asked[-1] == ("THUDM/CogVideoX-5b-I2V", files, False)


def test_without_weights_only_settings_and_tokenizer_are_fetched(monkeypatch, folder):
    hub = Hub(monkeypatch, folder)
    assert find_model_folder("a/b", has_weights=False) == folder
    assert hub.asked == [("a/b", {"*.json", "*.model", "*.txt"}, False)]


def test_settings_alone_in_the_cache_do_not_pass_for_the_model(monkeypatch, folder):
    """The Hub's library names their folder when it is asked for what is there."""
    hub = Hub(monkeypatch, folder, is_cached=True)
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    assert find_model_folder("a/b") == folder
    assert [is_local for _, _, is_local in hub.asked] == [True, False]
    weights.write_bytes(content)
    find_model_folder("a/b")
    assert [is_local for _, _, is_local in hub.asked] == [True, False, True]


def test_missing_folder_names_the_command_that_fetches_it(tmp_path):
    with pytest.raises(WeightsError, match=r"or fetch it: tavid download 5b --dest .*/5b"):
        find_model_folder(tmp_path / "5b")


def test_what_is_in_the_cache_needs_no_network(monkeypatch, folder):
    hub = Hub(monkeypatch, folder)
    assert find_model_folder("a/b") == folder
    assert find_model_folder("a/b") == folder
    assert [is_local for _, _, is_local in hub.asked] == [True, False, True]


def test_failed_download_is_a_weights_error(monkeypatch):
    def snapshot_download(name, allow_patterns, local_files_only=False):
        raise OSError("no route\nto host")

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(WeightsError, match=r"got 'a/b': no route .* tavid download a/b --dest"):
        find_model_folder("a/b")


WEIGHTS = [
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "transformer/config.json",
    "tokenizer/tokenizer.json",
]


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_incomplete_folders_are_refused(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="must be a whole CogVideoX folder"):
        load_pipeline(folder, torch.float32)


@pytest.mark.parametrize("name", WEIGHTS[:3])
def test_missing_tensors_are_refused_not_drawn_at_random(folder, name):
    tensors = safetensors.torch.load_file(folder / name)
    tensors.pop(max(key for key in tensors if "norm" in key and "weight" in key))
    safetensors.torch.save_file(tensors, folder / name, metadata={"format": "pt"})
    with pytest.raises(
        WeightsError, match=r"must hold all .* got none for 1 of them, e\.g\. .*norm"
    ):
        load_pipeline(folder, torch.float32)


def test_pickled_weights_are_not_read(folder):
    path = folder / WEIGHTS[0]
    path.unlink()
    state = tiny.make_transformer().state_dict()
    torch.save(state, path.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(WeightsError, match="must be a whole CogVideoX folder"):
        load_pipeline(folder, torch.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vae": ["os", "AutoencoderKLCogVideoX"]}, "must name a diffusers class like .* as vae"),
        ({"transformer": ["diffusers", "FluxTransformer2DModel"]}, "as transformer"),
        ({"tokenizer": None}, "as tokenizer, got None"),
        ({"extra": ["antigravity", "Anything"]}, r"must name only .*got \['extra'\]"),
    ],
)
def test_foreign_parts_are_refused_before_they_are_imported(folder, change, message):
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match=message):
        load_pipeline(folder, torch.float32)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("content", [None, "", "[]"])
def test_damaged_index_is_refused(folder, content):
    path = folder / "model_index.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(WeightsError, match=r"model_index\.json must list the parts"):
        load_pipeline(folder, torch.float32)
