"""The authors' layout: what is written is read again, and imagines the same."""

import numpy as np
import pytest
import torch

from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from tests.tiny import make_image, make_mask, make_pipeline
from tests.training_clips import write_clips
from training.finetune import FinetuneJob, finetune
from training.finetune_config import with_settings
from training.recipes import RECIPES
from training.released import main


def train(folder, *settings):
    make_pipeline().save_pretrained(folder / "base", safe_serialization=True)
    write_clips(folder / "clips")
    out = folder / "adapter"
    job = FinetuneJob(base=folder / "base", clips=folder / "clips", out=out, trackers=())
    config = with_settings(RECIPES["debug_cpu"](), ["learning_rate=0.01", *settings])
    return finetune(config, job).adapter


def test_the_released_layout_imagines_the_same(tmp_path, capsys):
    # 3 / 4 is no power of two.
    adapter, out = train(tmp_path, "lora_alpha=3"), tmp_path / "released"
    assert main([str(adapter), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "patch_embed_conv2d.pth",
        "pytorch_lora_weights.safetensors",
    ]
    patch = torch.load(out / "patch_embed_conv2d.pth", weights_only=True)
    assert set(patch) == {"weight", "bias"}
    request = PlanRequest(
        image=make_image(1),
        target_mask=make_mask(),
        prompt="A person lifts the red mug.",
        num_inference_steps=3,
    )
    planners = [
        InteractionPlanner.from_pretrained(tmp_path / "base", folder)
        for folder in (adapter, out, None)
    ]
    own, released, base = (planner.imagine(request).frames.astype(int) for planner in planners)
    assert np.abs(own - released).max() <= 1
    assert np.abs(own - base).max() > 1
    assert main([str(adapter), "--out", str(adapter)]) == 2
    assert "out must hold no other adapter" in capsys.readouterr().err


@pytest.mark.parametrize(
    "setting", ["sentence_position=append", "sentence=The arm touches {target} object."]
)
def test_what_the_layout_cannot_say_is_refused(tmp_path, capsys, setting):
    adapter = train(tmp_path, "steps=1", setting)
    assert main([str(adapter), "--out", str(tmp_path / "released")]) == 2
    assert "adapter must have the released prompt" in capsys.readouterr().err
    assert not (tmp_path / "released").exists()
