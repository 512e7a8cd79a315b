"""Rows are trained, measured and logged once, with a tiny base on clips of noise."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from tavid_core.errors import ConfigError, InputError
from tavid_core.weights_file import hash_folder
from tests.training_scenes import make_ablation, write_base, write_scenes
from training import ablate
from training.ablate import main, run
from training.measure import Measured, spoil_target
from training.referee import Tally
from training.rows import ROWS


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    write_base(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_scenes(folder)
    return folder


def test_rows_are_measured_once(base, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(ablate, "STRENGTHS", (1.0,))
    ablation = make_ablation(base, clips, tmp_path)
    run(ablation)
    lines = [json.loads(line) for line in ablation.log.read_text().splitlines()]
    found = [(line["row"], line["step"], line["num_scenes"]) for line in lines]
    assert found == [
        ("base", 0, 1),
        ("attention_modulation", 0, 1),
        ("tavid", 1, 1),
        ("tavid", 2, 1),
    ]
    assert all(line["attention_iou"] is not None for line in lines if line["row"] == "tavid")
    assert {line["base"] for line in lines} == {hash_folder(base)[:12]}
    assert lines[1]["strength"] == 1.0
    manifest = json.loads((tmp_path / "runs" / "tavid_seed0" / "tavid_adapter.json").read_text())
    assert manifest["training_step"] == 2
    before = ablation.log.read_text()
    # An adapter that has gone on is not what it was at an earlier step.
    other = dataclasses.replace(ablation, scenes={"other": clips}, rows=ablation.rows[2:])
    with pytest.raises(ConfigError, match=r"steps must not end before what .* got 1 after 2"):
        run(other)
    assert ablation.log.read_text().count("other") == 0
    monkeypatch.setattr(ablate, "finetune", None)
    monkeypatch.setattr(ablate, "measure", None)
    run(ablation)
    assert ablation.log.read_text() == before
    another = shutil.copytree(base, tmp_path / "another")
    (another / "notes.txt").write_text("trained on")
    with pytest.raises(InputError, match="Give another --log"):
        run(dataclasses.replace(ablation, base=another))


@pytest.mark.parametrize("name", ["tavid", "blocks_fixed", "blocks_random_all"])
def test_blocks_of_another_depth_are_refused_before_anything_is_trained(
    base, clips, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(ablate, "finetune", None)
    deep = shutil.copytree(base, tmp_path / "deep")
    file = deep / "transformer" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "num_layers": 42}))
    rows = (dataclasses.replace(ROWS[name], num_clips=1),)
    ablation = make_ablation(deep, clips, tmp_path, rows=rows, settings=())
    with pytest.raises(ConfigError, match=rf"attention_blocks of {name} must .* has 42 blocks"):
        run(ablation)


def test_a_recipe_of_a_deeper_model_is_refused(base, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(ablate, "finetune", None)
    rows = (dataclasses.replace(ROWS["tavid"], num_clips=1),)
    ablation = make_ablation(base, clips, tmp_path, rows=rows, settings=())
    with pytest.raises(ConfigError, match="attention_blocks must be below the model's"):
        run(dataclasses.replace(ablation, recipe="cogvideox_5b_paper"))


def test_the_frames_that_are_modulated_are_those_of_the_row(base, clips, tmp_path, monkeypatch):
    seen = []

    def modulate(_, __, strength, *, all_frames):
        seen.append((strength, all_frames))
        raise ConfigError("enough seen")

    monkeypatch.setattr(ablate, "modulate", modulate)
    for name in ("attention_modulation", "attention_modulation_all_frames"):
        with pytest.raises(ConfigError, match="enough seen"):
            run(make_ablation(base, clips, tmp_path, rows=(ROWS[name],)))
    assert seen == [(ablate.STRENGTHS[0], False), (ablate.STRENGTHS[0], True)]
    assert {16.0, 32.0} < set(ablate.STRENGTHS)


def test_everything_runs_on_the_device_and_sloppy_scenes_are_rows_of_their_own(
    base, clips, tmp_path, monkeypatch
):
    devices, changes = [], set()

    def load(_, *, adapter, device):
        devices.append(device)
        return SimpleNamespace(sampler=SimpleNamespace(pipeline=None))

    def pretend(*_, change, **__):
        changes.add(change)
        return Measured(tally=Tally(target_contact=1), attention_iou=None, quality={})

    monkeypatch.setattr(ablate.InteractionPlanner, "from_pretrained", load)

    def train(config, job):
        devices.append(str(job.device))
        return SimpleNamespace(num_steps=config.loop.num_steps)

    monkeypatch.setattr(ablate, "finetune", train)
    monkeypatch.setattr(ablate, "measure", pretend)
    ablation = make_ablation(base, clips, tmp_path, device=torch.device("meta"))
    run(ablation)
    # Two bases, and twice a training and its planner.
    assert devices == ["meta"] * 6
    assert changes == {None}
    changes.clear()
    run(dataclasses.replace(ablation, sloppy_masks=True))
    assert changes == {spoil_target}
    lines = [json.loads(line) for line in ablation.log.read_text().splitlines()]
    assert [line["scenes"] for line in lines] == ["drawn"] * 4 + ["drawn_sloppy"] * 4


def test_the_command_line_chooses_the_device_and_the_masks(clips, tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(ablate, "run", seen.append)
    arguments = ["--clips", str(clips), "--scenes", f"drawn={clips}", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert main([*arguments, "--device", "cpu", "--sloppy-masks"]) == 0
    assert seen[0].device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert seen[1].device.type == "cpu"
    assert [ablation.sloppy_masks for ablation in seen] == [False, True]
    assert main([*arguments, "--device", "nonsense"]) == 2
    assert "device must be one that torch can use here" in capsys.readouterr().err


def test_what_cannot_be_run_is_refused_before_training(base, clips, tmp_path, capsys):
    with pytest.raises(ConfigError, match="clips must hold 1290 clips for these rows, got 2"):
        run(make_ablation(base, clips, tmp_path, rows=(ROWS["tavid"],)))
    with pytest.raises(ConfigError, match="steps must grow from 1 on"):
        make_ablation(base, clips, tmp_path, steps=(5, 3))
    with pytest.raises(ConfigError, match="must not be empty"):
        make_ablation(base, clips, tmp_path, rows=())
    rows = (ROWS["attention_modulation"],)
    with pytest.raises(ConfigError, match="validation must be given"):
        run(make_ablation(base, clips, tmp_path, rows=rows, validation=None))
    arguments = ["--clips", str(clips), "--scenes", f"drawn={clips}", "--out", str(tmp_path)]
    assert main([*arguments, "--rows", "nonsense"]) == 2
    assert "row must be one of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--clips", str(clips), "--scenes", "nameless", "--out", str(tmp_path)])
    assert "scenes must be NAME=FOLDER" in capsys.readouterr().err


def test_no_scenes_at_a_time_are_refused(base, clips, tmp_path):
    with pytest.raises(ConfigError, match=r"batch_size must be 1 or more, got 0\. Try 4"):
        dataclasses.replace(make_ablation(base, clips, tmp_path), batch_size=0)
