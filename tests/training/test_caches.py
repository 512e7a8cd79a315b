"""Latents and texts on the disk: read again, refused when they are of others, never torn."""

import numpy as np
import pytest
import torch

from tavid_core.config import PromptConfig
from tavid_core.errors import InputError
from tests.tiny import MAX_TEXT, NUM_FRAMES, make_image, make_text_encoder, make_tokenizer, make_vae
from tests.training_clips import write_clips
from training.cache import load_or_build_cache
from training.clips import read_frames, write_frames
from training.texts import load_or_build_texts

CAPTIONS = ("A person lifts the red mug.", "A person lifts the cup.")


def build_texts(path, captions=CAPTIONS, seed=0, sentence="The person interacts with {target} ."):
    encoder = make_text_encoder(seed)
    config = PromptConfig(sentence=sentence)
    return load_or_build_texts(captions, make_tokenizer(), encoder, config, MAX_TEXT, path)


def test_texts_are_encoded_once(tmp_path, monkeypatch):
    path = tmp_path / "texts.safetensors"
    built = build_texts(path)(CAPTIONS)
    monkeypatch.setattr("tests.tiny.T5EncoderModel.forward", None)
    assert torch.equal(build_texts(path)(CAPTIONS), built)
    assert built.shape == (2, MAX_TEXT, 16)


@pytest.mark.parametrize(
    "change", [{"captions": CAPTIONS[:1]}, {"seed": 1}, {"sentence": "The hand touches {target} ."}]
)
def test_texts_of_others_are_refused(tmp_path, change):
    path = tmp_path / "texts.safetensors"
    build_texts(path)
    with pytest.raises(InputError, match="text cache must belong to these captions"):
        build_texts(path, **change)


def test_a_damaged_cache_is_told(tmp_path):
    path = tmp_path / "texts.safetensors"
    build_texts(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"must be a whole cache file, got.*Delete it"):
        build_texts(path)


def test_latents_of_a_video_that_was_replaced_are_refused(tmp_path):
    """The metadata alone does not show it."""
    clips, path = tmp_path / "clips", tmp_path / "latents.safetensors"
    write_clips(clips)
    built = load_or_build_cache(clips, make_vae(), path)
    again = load_or_build_cache(clips, make_vae(), path)
    assert torch.equal(built.latents_NFCHW, again.latents_NFCHW)
    assert len(load_or_build_cache(clips, make_vae(), path, 2)) == 2
    frames = np.stack([make_image(900 + t) for t in range(NUM_FRAMES)])
    write_frames(clips / "clips/1.mp4", frames, 8.0)
    with pytest.raises(InputError, match="latent cache must belong to these clips"):
        load_or_build_cache(clips, make_vae(), path)
    assert not list(tmp_path.glob(".*"))


def test_latents_are_the_same_after_an_interruption(tmp_path, monkeypatch):
    clips = tmp_path / "clips"
    write_clips(clips)
    whole = load_or_build_cache(
        clips, make_vae(), tmp_path / "whole.safetensors", num_noisy_images=2
    )
    monkeypatch.setattr("training.cache_blocks._BLOCK_CLIPS", 2)
    path, reads = tmp_path / "latents.safetensors", []

    def read(folder, record):
        reads.append(record.file_name)
        if len(reads) == 3:
            raise KeyboardInterrupt
        return read_frames(folder, record)

    monkeypatch.setattr("training.cache.read_frames", read)
    with pytest.raises(KeyboardInterrupt):
        load_or_build_cache(clips, make_vae(), path, num_noisy_images=2)
    again = load_or_build_cache(clips, make_vae(), path, num_noisy_images=2)
    assert reads.count(reads[0]) == 1
    assert torch.equal(again.latents_NFCHW, whole.latents_NFCHW)
    assert torch.equal(again.images_NKCHW, whole.images_NKCHW)
    assert not list(tmp_path.glob(".*"))
