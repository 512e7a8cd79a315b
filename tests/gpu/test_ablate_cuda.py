"""Rows of the results on a CUDA device."""

import json

import torch

from tests.training_scenes import make_ablation, write_base, write_scenes
from training.ablate import run


def test_rows_are_trained_and_measured_on_the_card(tmp_path):
    write_base(tmp_path / "base")
    write_scenes(tmp_path / "clips")
    torch.cuda.reset_peak_memory_stats()
    ablation = make_ablation(
        tmp_path / "base", tmp_path / "clips", tmp_path, device=torch.device("cuda")
    )
    run(ablation)
    lines = [json.loads(line) for line in ablation.log.read_text().splitlines()]
    assert [(line["row"], line["step"]) for line in lines] == [
        ("base", 0),
        ("attention_modulation", 0),
        ("tavid", 1),
        ("tavid", 2),
    ]
    assert torch.cuda.max_memory_allocated() > 0
