"""docs/formats.md says what the code reads and writes."""

import ast
import dataclasses
import json
import re

import pytest

from tavid_core import adapter
from tavid_core.adapter_manifest import MANIFEST_FILE, AdapterManifest, read_manifest
from tavid_core.config import PromptConfig
from tavid_core.errors import WeightsError
from tavid_core.model_card import MODEL_CARD_FILE, ModelCard
from tavid_core.types import CameraIntrinsics
from tests.source_tree import ROOT, parse
from training.clips import METADATA_NAME, ClipRecord, parse_record
from training.sources.sim import dataset

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def list_fields(kind, prefix=""):
    return {prefix + field.name for field in dataclasses.fields(kind)}


def read_table(heading):
    """Cells of the table below a heading, per name in backticks at the start of a row."""
    text = re.split(r"^#+ ", PAGE.split(f"{heading}\n", maxsplit=1)[1], flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in rows}


def read_example(name):
    text = PAGE.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]
    return text.strip().removeprefix("```json").removesuffix("```").strip()


def test_the_keys_of_the_manifest_are_those_of_the_class():
    table = read_table("### tavid_adapter.json")
    assert set(table) == (list_fields(AdapterManifest) - {"prompt"}) | list_fields(
        PromptConfig, "prompt."
    )
    default = json.loads(json.dumps(dataclasses.asdict(AdapterManifest())))
    for name, (value, _) in table.items():
        group, _, key = name.rpartition(".")
        wanted = (default[group] if group else default)[key]
        assert json.loads(value.strip("`")) == wanted, name


def test_the_example_of_a_manifest_is_read(tmp_path):
    path = tmp_path / MANIFEST_FILE
    path.write_text(read_example("adapter"), encoding="utf-8")
    manifest = read_manifest(path)
    assert json.loads(json.dumps(dataclasses.asdict(manifest))) == json.loads(path.read_text())


@pytest.mark.parametrize("change", [{"lora_rang": 4}, {"prompt": {"slot_word": ["target"]}}])
def test_unknown_keys_of_a_manifest_are_refused_as_the_page_says(tmp_path, change):
    path = tmp_path / MANIFEST_FILE
    path.write_text(json.dumps(change), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"slot_word|lora_rang"):
        read_manifest(path)


def test_a_missing_key_of_a_manifest_is_the_default(tmp_path):
    (tmp_path / MANIFEST_FILE).write_text("{}", encoding="utf-8")
    assert read_manifest(tmp_path / MANIFEST_FILE) == AdapterManifest()


def test_the_files_of_an_adapter_are_named():
    files = {adapter.LORA_FILE, adapter.PATCH_FILE, adapter.TOKENS_FILE, MANIFEST_FILE}
    assert set(read_table("## Adapter folder")) == files
    assert f"`{adapter.RELEASED_PATCH_FILE}`" in PAGE


def test_the_keys_of_a_model_card_are_those_of_the_class():
    table = read_table("## Model card")
    default = json.loads(json.dumps(dataclasses.asdict(ModelCard())))
    assert {name: json.loads(value.strip("`")) for name, (value, _) in table.items()} == default
    assert f"`{MODEL_CARD_FILE}`" in PAGE


def test_the_keys_of_a_clip_are_those_of_the_class():
    table = read_table("## Clip folder")
    fields = {field.name: field for field in dataclasses.fields(ClipRecord)}
    assert set(table) == set(fields)
    for name, (required, _) in table.items():
        assert (required == "yes") == (fields[name].default is dataclasses.MISSING), name
    named = set(re.findall(r"`(camera\.\w+)`", PAGE))
    # Clips are undistorted.
    assert named == list_fields(CameraIntrinsics, "camera.") - {"camera.has_distortion"}
    assert f"`{METADATA_NAME}`" in PAGE


def test_the_example_of_a_clip_is_read():
    line = read_example("clip")
    assert json.loads(parse_record(line).to_json()) == json.loads(line)


def test_the_arrays_of_the_truth_are_those_that_are_written():
    path = (ROOT / dataset.__name__.replace(".", "/")).with_suffix(".py").relative_to(ROOT)
    (call,) = [
        node
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.savez_compressed"
    ]
    written = {keyword.arg for keyword in call.keywords}
    assert set(read_table("### Ground truth of simulated clips")) == written
