"""Rollouts during a run, and trackers beside it."""

import json

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tavid_core.errors import ConfigError, InputError, MissingExtraError
from tests.tiny import HEIGHT, WIDTH, make_pipeline
from tests.training_clips import write_clips
from training.clips import METADATA_NAME, read_instances, read_records
from training.engine import Engine
from training.finetune import FinetuneJob, finetune, main
from training.finetune_config import with_settings
from training.recipes import RECIPES


@pytest.fixture
def world(tmp_path):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips")
    return tmp_path


def job_of(world, name, **changes):
    fields = {"base": world / "base", "clips": world / "clips", "out": world / name, "trackers": ()}
    return FinetuneJob(**{**fields, **changes})


def test_validation_shows_rollouts_and_changes_no_weight(world):
    config = with_settings(RECIPES["debug_cpu"](), ["precision=float32"])
    finetune(config, job_of(world, "plain"))
    watched = job_of(
        world,
        "watched",
        trackers=("tensorboard",),
        validation_clips=world / "clips",
        validate_every=3,
        num_validations=2,
        validation_steps=2,
    )
    result = finetune(config, watched)
    shown = sorted((world / "watched_run" / "validation").rglob("*.mp4"))
    places = [path.relative_to(world / "watched_run" / "validation").as_posix() for path in shown]
    assert places == [f"step_000000{step}/00{clip}.mp4" for step in (3, 4) for clip in (0, 1)]
    with av.open(str(shown[0])) as video:
        stream = video.streams.video[0]
        # The rollout, and the attention map beside it.
        assert stream.width / stream.height == pytest.approx(2 * WIDTH / HEIGHT, rel=0.02)
    # Clips without ground truth are shown, not judged.
    assert result.validation == {}
    assert (result.num_steps, result.num_clips, result.num_processes) == (4, 3, 1)
    for name in ("pytorch_lora_weights.safetensors", "patch_embed.safetensors"):
        one, other = (load_file(world / run / name) for run in ("plain", "watched"))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert list((world / "watched_run" / "tracker").glob("events.out.tfevents.*"))


def test_bad_validation_clips_are_told_before_training(world):
    write_clips(world / "shown")
    (world / "shown" / "clips" / "1.mp4").unlink()
    job = job_of(world, "adapter", validation_clips=world / "shown")
    with pytest.raises(InputError, match=r"line 2 clips/1\.mp4: the video is missing"):
        finetune(RECIPES["debug_cpu"](), job)
    assert not (world / "adapter_run").exists()
    with pytest.raises(ConfigError, match="validate_every and num_validations must be at least 1"):
        job_of(world, "adapter", validate_every=0)


def test_what_is_wrong_with_clips_of_both_kinds_is_one_report(world):
    write_clips(world / "shown")
    (world / "shown" / "clips" / "1.mp4").unlink()
    (world / "clips" / "clips" / "0.mp4").unlink()
    job = job_of(world, "adapter", validation_clips=world / "shown")
    with pytest.raises(InputError) as told:
        finetune(RECIPES["debug_cpu"](), job)
    assert "\nvalidation clips must all be usable, got 1 of 3 that are not" in str(told.value)
    assert str(told.value).startswith("clips must all be usable, got 1 of 3 that are not")


def test_a_truth_that_does_not_tell_the_objects_is_no_end_of_the_run(world, capsys):
    """Recorded clips have depth as their truth; the run ended at its first validation."""
    path = world / "clips" / METADATA_NAME
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for index, line in enumerate(lines):
        np.savez(world / "clips" / f"{index}.npz", depth_m=np.ones((2, HEIGHT, WIDTH)))
        line["truth_file"] = f"{index}.npz"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = job_of(
        world, "adapter", validation_clips=world / "clips", num_validations=1, validation_steps=1
    )
    assert finetune(RECIPES["debug_cpu"](), job).validation == {}
    assert "no validation clip says which object is which" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"instance_masks and target_index .* got depth_m\. Judge"):
        read_instances(world / "clips", read_records(world / "clips")[0])


def test_a_validation_that_was_cut_short_is_made_up_for(world):
    config = with_settings(RECIPES["debug_cpu"](), ["precision=float32", "steps=2"])
    job = job_of(
        world, "adapter", validation_clips=world / "clips", num_validations=1, validation_steps=1
    )
    finetune(config, job)
    folder = world / "adapter_run" / "validation" / "step_0000002"
    (folder / "done.json").unlink()
    (folder / "000.mp4").unlink()
    finetune(config, job)
    assert sorted(path.name for path in folder.iterdir()) == ["000.mp4", "done.json"]
    # One that is done is not done again.
    before = (folder / "000.mp4").stat().st_mtime_ns
    finetune(config, job)
    assert (folder / "000.mp4").stat().st_mtime_ns == before


def test_settings_are_refused_before_anything_is_computed(world):
    """A batch that does not divide, an optimizer that is not there: told after the encoding."""
    config = with_settings(RECIPES["debug_cpu"](), ["batch_size=4", "micro_batch_size=3"])
    with pytest.raises(ConfigError, match="batch_size must be a multiple of"):
        finetune(config, job_of(world, "adapter"))
    assert main(["debug_cpu", "--dry-run", "--set", "batch_size=4", "--set", "micro_batch_size=3"])
    assert not (world / "adapter_latents.safetensors").exists()
    with pytest.raises(ConfigError, match="validation_steps must be at least 1, got 0"):
        job_of(world, "adapter", validation_steps=0)


def test_trackers_that_are_unknown_or_missing_are_told(monkeypatch):
    with pytest.raises(ConfigError, match="trackers must be of tensorboard, wandb, got 'paper'"):
        Engine.start(torch.device("cpu"), trackers=("paper",))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tavid\[wandb\]'"):
        Engine.start(torch.device("cpu"), trackers=("wandb",))


def test_a_run_is_followed_by_wandb_without_a_network(world, monkeypatch):
    pytest.importorskip("wandb", reason="needs pip install 'tavid[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(world))
    config = with_settings(RECIPES["debug_cpu"](), ["precision=float32", "steps=2"])
    finetune(config, job_of(world, "followed", trackers=("wandb",)))
    (log,) = world.glob("wandb/offline-run-*/run-*.wandb")
    told = log.read_bytes()
    assert b"loss" in told
    assert b"grad_norm" in told


@pytest.mark.render
def test_clips_with_ground_truth_are_judged(tmp_path):
    """At the mini model's size, one step of it; the referee needs real pictures."""
    from tavid_core.model_folder import ASSETS
    from training.sources.sim.dataset import main as write_scenes

    write_scenes(["--out", str(tmp_path / "clips"), "--num-clips", "2"])
    config = with_settings(RECIPES["debug_cpu"](), ["steps=1", "attention_blocks=1,2"])
    job = job_of(
        tmp_path,
        "adapter",
        base=ASSETS / "mini",
        validation_clips=tmp_path / "clips",
        num_validations=1,
        validation_steps=1,
    )
    result = finetune(config, job)
    assert result.validation["num_scenes"] == 1
    assert result.validation["step"] == 1
    rates = (result.validation[name] for name in ("target_contact", "wrong_target", "no_contact"))
    assert sum(rates) == 1
    lines = (tmp_path / "adapter_run" / "validation.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) == result.validation
