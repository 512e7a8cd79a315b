"""Clips with noise through real classes: what the transformer is given, and what is refused."""

import numpy as np
import pytest
import torch

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import InputError
from tavid_core.mask import mask_to_grid
from tests.tiny import HEIGHT, NUM_FRAMES, WIDTH, make_image, make_mask, make_pipeline
from training.noised_clip import ClipNoiser

CAPTION = "A person lifts the red mug."


def make_frames():
    return np.stack([make_image(t) for t in range(NUM_FRAMES)])


def test_image_stands_in_the_first_latent_frame_and_the_masks_after_it():
    pipeline = make_pipeline(num_mask_slots=2)
    masks = [make_mask(), make_mask(left=False)]
    clip = ClipNoiser(pipeline, None).encode(make_frames(), masks, CAPTION)
    channels = pipeline.vae.config.latent_channels
    image, slots = clip.conditions_BFCHW.split([channels, 2], dim=2)
    assert image[:, 0].abs().sum() > 0
    assert image[:, 1:].abs().sum() == 0
    assert slots[:, 1:].abs().sum() == 0
    for grid, mask in zip(slots[0, 0], masks, strict=True):
        assert np.array_equal(grid.numpy(), mask_to_grid(mask, tuple(grid.shape)))
        assert set(grid.unique().tolist()) == {0.0, 1.0}


def test_masks_that_the_model_does_not_know_are_not_looked_at():
    noiser = ClipNoiser(make_pipeline(), None)
    bare = noiser.encode(make_frames(), (), CAPTION)
    masked = noiser.encode(make_frames(), [make_mask()], CAPTION)
    assert torch.equal(bare.conditions_BFCHW, masked.conditions_BFCHW)


def test_noise_is_of_the_timestep_and_the_generator():
    pipeline = make_pipeline()
    noiser = ClipNoiser(pipeline, None)
    clip = noiser.encode(make_frames(), (), CAPTION)
    first, again, later = (
        noiser.predict(clip, timestep, torch.Generator().manual_seed(3))
        for timestep in (100, 100, 900)
    )
    assert torch.equal(first.prediction_BFCHW, again.prediction_BFCHW)
    noise = torch.randn(clip.latents_BFCHW.shape, generator=torch.Generator().manual_seed(3))
    for done, timestep in ((first, 100), (later, 900)):
        wanted = pipeline.scheduler.add_noise(clip.latents_BFCHW, noise, torch.tensor([timestep]))
        assert torch.equal(done.noisy_BFCHW, wanted)
        assert done.timestep_B.tolist() == [timestep]


def test_an_adapters_sentence_stands_before_the_caption():
    manifest = AdapterManifest(lora_rank=2, lora_alpha=1.0, num_mask_slots=1)
    assert ClipNoiser(make_pipeline(), None).text(CAPTION) == CAPTION
    told = ClipNoiser(make_pipeline(), manifest).text(CAPTION)
    assert told.endswith(CAPTION)
    assert "target" in told


@pytest.mark.parametrize(
    "shape",
    [
        (NUM_FRAMES, HEIGHT, WIDTH + 16),
        (NUM_FRAMES, WIDTH, HEIGHT),
        (NUM_FRAMES + 8, HEIGHT, WIDTH),
    ],
)
def test_a_clip_of_another_size_is_refused(shape):
    frames = np.zeros((*shape, 3), np.uint8)
    with pytest.raises(InputError, match=r"must be 9 of 32 x 48 pixels, got .*Cut and scale"):
        ClipNoiser(make_pipeline(), None).encode(frames, (), CAPTION)
