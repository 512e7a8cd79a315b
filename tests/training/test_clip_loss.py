"""The loss on clips: the figure against training's own, and the command over real classes."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from tavid_core.errors import ConfigError, InputError
from tests.tiny import make_pipeline
from tests.training_clips import write_clips
from training.clip_loss import main, measure_loss
from training.clips import read_frames, read_records
from training.losses import diffusion_loss
from training.noised_clip import ClipNoiser


def test_every_quarter_of_the_timesteps_is_looked_at_once(tmp_path):
    write_clips(tmp_path, num_clips=2)
    pipeline, records = make_pipeline(), read_records(tmp_path)
    found = measure_loss(pipeline, None, tmp_path, records)
    noiser, scheduler = ClipNoiser(pipeline, None), pipeline.scheduler
    wanted = np.zeros((2, 4))
    for index, record in enumerate(records):
        clip = noiser.encode(read_frames(tmp_path, record), (), record.text)
        generator = torch.Generator().manual_seed(index)
        for quarter in range(4):
            timestep = 250 * quarter + int(torch.randint(250, (), generator=generator))
            done = noiser.predict(clip, timestep, generator)
            wanted[index, quarter] = diffusion_loss(
                scheduler,
                done.prediction_BFCHW,
                done.noisy_BFCHW,
                clip.latents_BFCHW,
                torch.tensor([timestep]),
            )
    assert found.by_quarter == pytest.approx(wanted.mean(axis=0))
    assert found.mean == pytest.approx(wanted.mean())
    assert found.standard_error == pytest.approx(wanted.mean(axis=1).std() / np.sqrt(2))


def test_a_model_with_mask_channels_is_shown_the_masks(tmp_path):
    write_clips(tmp_path, num_clips=2)
    pipeline, record = make_pipeline(num_mask_slots=1), read_records(tmp_path)[0]

    def measure(**changes):
        clips = [dataclasses.replace(record, **changes)]
        return measure_loss(pipeline, None, tmp_path, clips).mean

    assert measure() == measure()
    assert measure(mask_file="masks/1.png") != measure()
    with pytest.raises(InputError, match="must have masks"):
        measure(mask_file=None)


def test_command_tells_the_loss_of_each_folder(tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    folders = [tmp_path / "train", tmp_path / "validation"]
    for folder in folders:
        write_clips(folder, num_clips=2)
    words = [str(tmp_path / "base"), *map(str, folders), "--adapter", "none"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # The same clips in both.
    assert found[str(folders[0])] == found[str(folders[1])]
    assert found[str(folders[0])]["num_clips"] == 2
    assert found[str(folders[0])]["loss"] > 0
    assert main([*words, "--num-clips", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "loss"
    assert [line.split("  ")[-1] for line in lines[1:]] == [f"1 of {path}" for path in folders]


def test_no_clips_are_too_few(tmp_path, capsys):
    with pytest.raises(ConfigError, match="num_clips must be at least 1, got 0"):
        measure_loss(make_pipeline(), None, tmp_path, [])
    assert main(["mini", str(tmp_path), "--num-clips", "0"]) == 2
    assert "num_clips must be at least 1, got 0. Give" in capsys.readouterr().err


def test_clips_of_another_size_are_refused(tmp_path, capsys):
    write_clips(tmp_path, num_clips=1)
    assert main(["mini", str(tmp_path), "--adapter", "none"]) == 2
    assert "frames must be 17 of 64 x 96 pixels, got 9 x 32 x 48." in capsys.readouterr().err
