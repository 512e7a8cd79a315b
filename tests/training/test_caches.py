"""Latents and texts on the disk: read again, refused when they are of others, never torn."""

import hashlib

import numpy as np
import pytest
import torch

from tavid_core.config import PromptConfig
from tavid_core.errors import InputError
from tests.tiny import MAX_TEXT, NUM_FRAMES, make_image, make_text_encoder, make_tokenizer, make_vae
from tests.training_clips import write_clips
from training.cache import load_or_build_cache
from training.cache_file import write_cache
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


def test_latents_of_another_precision_are_refused(tmp_path):
    """Weights loaded in bfloat16, or products in it, give other latents of the same clips."""
    clips, path = tmp_path / "clips", tmp_path / "latents.safetensors"
    write_clips(clips, num_clips=1)
    single = load_or_build_cache(clips, make_vae(), path, uses_bfloat16=False)
    for number, (vae, products) in enumerate(
        [(make_vae(), True), (make_vae().bfloat16(), False), (make_vae().bfloat16(), True)]
    ):
        with pytest.raises(InputError, match="these settings and this precision, got"):
            load_or_build_cache(clips, vae, path, uses_bfloat16=products)
        own = tmp_path / f"{number}.safetensors"
        other = load_or_build_cache(clips, vae, own, uses_bfloat16=products)
        assert not torch.equal(other.latents_NFCHW, single.latents_NFCHW)
        assert other.latents_NFCHW.dtype == torch.float32


def test_latents_of_older_versions_in_float32_are_still_good(tmp_path):
    """Their key, written down before the precision was in it."""
    clips, path = tmp_path / "clips", tmp_path / "latents.safetensors"
    write_clips(clips, num_clips=1)
    vae = make_vae()
    digest = hashlib.sha256((clips / "metadata.jsonl").read_bytes())
    for name, tensor in sorted(vae.encoder.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    digest.update(str(vae.config.scaling_factor).encode())
    tensors = {
        "latents_NFCHW": torch.ones(1, 2, 3, 4, 4),
        "images_NKCHW": torch.ones(1, 1, 3, 4, 4),
    }
    tensors["masks_NSHW"] = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
    write_cache(path, tensors, {"key": digest.hexdigest()})
    cache = load_or_build_cache(clips, vae, path, uses_bfloat16=False)
    assert (cache.latents_NFCHW == 1).all()


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

    monkeypatch.setattr("training.clip_encoder.read_frames", read)
    with pytest.raises(KeyboardInterrupt):
        load_or_build_cache(clips, make_vae(), path, num_noisy_images=2)
    again = load_or_build_cache(clips, make_vae(), path, num_noisy_images=2)
    assert reads.count(reads[0]) == 1
    assert torch.equal(again.latents_NFCHW, whole.latents_NFCHW)
    assert torch.equal(again.images_NKCHW, whole.images_NKCHW)
    assert not list(tmp_path.glob(".*"))
