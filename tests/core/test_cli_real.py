"""The command with the shipped model instead of a stand-in."""

import json

import av
import numpy as np
import pytest

from tavid_core import cli
from tavid_core.io import load_plan
from tavid_core.model_folder import ASSETS

FILES = ("rollout.mp4", "overlay.png", "motion.npz", "plan.json", "plan.html")


@pytest.fixture(scope="module")
def words():
    """A request for a shipped scene, without --out."""
    scene = ASSETS / "scenes" / "three_mugs"
    prompt = json.loads((scene / "scene.json").read_text(encoding="utf-8"))["prompt"]
    files = {"image": "image.png", "mask": "mask.png", "depth": "depth.png"}
    named = [word for key, name in files.items() for word in (f"--{key}", str(scene / name))]
    named += ["--camera", str(scene / "camera.json"), "--prompt", prompt]
    return ["plan", *named, "--steps", "2", "--guidance", "1"]


def test_a_plan_of_the_shipped_model_is_a_whole_folder(words, tmp_path, capsys):
    folder = tmp_path / "plan"
    assert cli.main([*words, "--out", str(folder)]) == 0
    said = capsys.readouterr().out.strip().splitlines()[-1]
    assert str(folder / "plan.html") in said
    assert all((folder / name).stat().st_size > 0 for name in FILES)
    with av.open(str(folder / "rollout.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 17
    with np.load(folder / "motion.npz", allow_pickle=False) as motion:
        assert len(motion["time_sec"]) == 17
    facts = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert facts["provenance"]["model"] == "mini"
    assert facts["provenance"]["adapter"] == "default"
    assert facts["request"]["num_inference_steps"] == 2
    assert facts["request"]["has_depth"] is True
    assert load_plan(folder).rollout.attention_map is not None


@pytest.mark.parametrize("adapter", ["none", ""])
def test_without_an_adapter_the_base_model_plans(words, tmp_path, adapter):
    folder = tmp_path / "plan"
    assert cli.main([*words, "--out", str(folder), "--adapter", adapter]) == 0
    facts = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert facts["provenance"]["adapter"] is None
    assert facts["provenance"]["adapter_sha256"] is None
