"""Imagined latents: the last steps of a rollout from noised clips, over real classes, cached."""

import dataclasses
import shutil

import pytest
import torch

from tavid_core.errors import ConfigError, InputError
from tests.tiny import make_pipeline
from tests.training_clips import write_clips
from training.clips import METADATA_NAME, read_frames, read_records
from training.imagined_latents import MAX_LAST_STEPS, ImaginedLatents, load_or_build_imagined
from training.noised_clip import ClipNoiser

NUM_STEPS = 16


def make_imagine(folder):
    return ImaginedLatents(
        noiser=ClipNoiser(make_pipeline(), None),
        num_steps=NUM_STEPS,
        num_slots=0,
        folder=folder,
        records=read_records(folder),
    )


def test_a_model_that_knows_the_truth_gives_it_back(tmp_path, monkeypatch):
    write_clips(tmp_path)
    imagine, seen = make_imagine(tmp_path), []

    def tell(clip, noisy_BFCHW, timestep, _=None):
        seen.append(timestep)
        scheduler = imagine.noiser.scheduler
        alpha = scheduler.alphas_cumprod[timestep]
        noise = (noisy_BFCHW - alpha.sqrt() * clip.latents_BFCHW) / (1 - alpha).sqrt()
        return scheduler.get_velocity(clip.latents_BFCHW, noise, torch.tensor([timestep]))

    monkeypatch.setattr(imagine.noiser, "velocity", tell)
    found = imagine(range(3))["latents_NFCHW"]
    for index, record in enumerate(imagine.records):
        clip = imagine.noiser.encode(read_frames(tmp_path, record), (), record.text)
        torch.testing.assert_close(found[index], clip.latents_BFCHW[0], atol=1e-3, rtol=1e-3)
    # Only the last steps of a rollout, down to where its noise ends.
    last = [round(1000 * (count + 1) / NUM_STEPS) - 1 for count in range(MAX_LAST_STEPS)]
    assert set(seen) <= set(last)
    assert seen.count(last[0]) == 3


def test_clips_are_imagined_by_their_places(tmp_path):
    write_clips(tmp_path)
    imagine = make_imagine(tmp_path)
    found = imagine(range(3))["latents_NFCHW"]
    assert torch.equal(imagine(range(2, 3))["latents_NFCHW"][0], found[2])
    clip = imagine.noiser.encode(
        read_frames(tmp_path, imagine.records[2]), (), imagine.records[2].text
    )
    # This model has learnt nothing, so what it imagines is not what was recorded.
    assert (found[2] - clip.latents_BFCHW[0]).abs().mean() > 0.01


def test_a_cache_is_of_its_model_and_clips(tmp_path):
    clips, model, path = tmp_path / "clips", tmp_path / "model", tmp_path / "imagined.safetensors"
    write_clips(clips)
    pipeline = make_pipeline()
    pipeline.save_pretrained(model)

    def load(**changes):
        options = {"vae": pipeline.vae, "adapter": "none", **changes}
        return load_or_build_imagined(clips, model, path, **options)

    found, written = load(), path.stat().st_mtime_ns
    assert found.shape[0] == 3
    assert torch.equal(load(), found)
    assert path.stat().st_mtime_ns == written
    assert not list(tmp_path.glob(".imagined*")), "nothing is left of the work"
    with pytest.raises(InputError, match="must be those of these clips by this model, got"):
        load(limit=2)
    lines = (clips / METADATA_NAME).read_text().splitlines()
    shutil.copy(clips / "clips/1.mp4", clips / "clips/0.mp4")
    (clips / METADATA_NAME).write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"Delete it or name another file\.$"):
        load()


def test_a_decoder_is_not_shown_the_latents_of_another_encoder(tmp_path):
    write_clips(tmp_path / "clips")
    pipeline = make_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    with torch.no_grad():
        pipeline.vae.encoder.conv_in.conv.weight.mul_(1.5)
    with pytest.raises(ConfigError, match="model must have the VAE encoder of this run, got"):
        load_or_build_imagined(
            tmp_path / "clips",
            tmp_path / "model",
            tmp_path / "imagined.safetensors",
            vae=pipeline.vae,
            adapter="none",
        )
    assert not (tmp_path / "imagined.safetensors").exists()


def test_a_model_with_mask_channels_is_shown_the_target(tmp_path):
    write_clips(tmp_path, num_clips=2)
    with_masks = dataclasses.replace(
        make_imagine(tmp_path),
        noiser=ClipNoiser(make_pipeline(num_mask_slots=1), None),
        num_slots=1,
    )
    first = with_masks(range(1))["latents_NFCHW"]
    shutil.copy(tmp_path / "masks/1.png", tmp_path / "masks/0.png")
    assert not torch.equal(with_masks(range(1))["latents_NFCHW"], first)
