"""The timing of a fine-tuning step, at tiny size; the mini model's takes a minute."""

import dataclasses
import json

import pytest
import torch

from benchmarks import training_step
from benchmarks.training_step import WEIGHTS, TrainingStep, main, measure_full, time_ways
from tests.tiny import make_transformer
from training.dry_run import COGVIDEOX_5B_I2V
from training.recipes import RECIPES


@pytest.fixture
def steps():
    config = dataclasses.replace(RECIPES["debug_cpu"](), micro_batch_size=1)
    transformer = make_transformer()
    sizes = {name: transformer.config[name] for name in COGVIDEOX_5B_I2V}
    made = {}
    for way, weight in WEIGHTS.items():
        supervision = dataclasses.replace(config.supervision, weight=weight)
        changed = dataclasses.replace(config, supervision=supervision)
        made[way] = TrainingStep(changed, sizes, torch.device("cpu"))
    return made


def test_both_ways_are_timed_in_turns(steps):
    seconds = time_ways(steps, 2, torch.device("cpu"))
    assert {way: len(values) for way, values in seconds.items()} == {"with": 2, "without": 2}
    assert all(value > 0 for values in seconds.values() for value in values)


def test_figures_are_one_line_of_json(steps, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training_step, "make_step", lambda way, _, __: steps[way])
    monkeypatch.setattr(training_step, "_peak_bytes", {"with": 3 << 20, "without": 2 << 20}.get)
    num_threads = torch.get_num_threads()
    try:
        assert main(["--json", "--rounds", "2"]) == 0
    finally:
        torch.set_num_threads(num_threads)
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["peak_memory_ratio"] == 1.5
    assert 0.1 < told["step_time_ratio"] < 10
    assert (told["num_rounds"], told["peak_mib_with"]) == (2, 3.0)


def test_full_size_says_why_it_is_not_measured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert measure_full("cogvideox_5b_paper", 1) == {"full_size": "skipped: no CUDA device"}


def test_full_size_has_recipes_of_5b_only(capsys):
    with pytest.raises(SystemExit):
        main(["--recipe", "mini"])
    assert "cogvideox_5b_24gb" in capsys.readouterr().err
