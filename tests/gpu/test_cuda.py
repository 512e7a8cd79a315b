"""What only a CUDA device can show; skipped with a reason elsewhere (see tests/conftest.py)."""

import numpy as np
import pytest
import torch

from tavid_core.attention import AttentionRecorder, install_processors, token_grid
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from tests.tiny import make_image, make_mask, make_transformer


def make_request(**changes):
    fields = {
        "image": make_image(0, 64, 96),
        "target_mask": make_mask(64, 96),
        "prompt": "A person lifts the red mug.",
        "num_inference_steps": 4,
    }
    return PlanRequest(**{**fields, **changes})


def test_the_same_seed_means_the_same_noise_on_both_devices():
    on_cpu = InteractionPlanner.from_pretrained(device="cpu").imagine(make_request())
    on_gpu = InteractionPlanner.from_pretrained(device="cuda").imagine(make_request())
    difference = np.abs(on_cpu.frames.astype(int) - on_gpu.frames)
    assert difference.mean() < 2.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_two_runs_are_equal(dtype):
    planner = InteractionPlanner.from_pretrained(device="cuda", dtype=dtype)
    first, again = (planner.imagine(make_request()).frames for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_changes_no_pixel(offload):
    whole = InteractionPlanner.from_pretrained(device="cuda").imagine(make_request())
    parts = InteractionPlanner.from_pretrained(device="cuda", offload=offload)
    difference = np.abs(whole.frames.astype(int) - parts.imagine(make_request()).frames)
    assert difference.max() <= 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_the_map_is_that_of_the_cpu(dtype, tolerance):
    maps = []
    for device, kind in (("cpu", torch.float32), ("cuda", dtype)):
        transformer = make_transformer().to(device, kind)
        install_processors(transformer)
        config = transformer.config
        generator = torch.Generator().manual_seed(0)
        shape = (1, 3, config.in_channels, config.sample_height, config.sample_width)
        latents = torch.randn(shape, generator=generator).to(device, kind)
        text_shape = (1, config.max_text_seq_length, config.text_embed_dim)
        text = torch.randn(text_shape, generator=generator).to(device, kind)
        recorder = AttentionRecorder(
            token_index=[4], grid_hw=token_grid(transformer, tuple(shape[-2:]))
        )
        with torch.no_grad():
            transformer(
                hidden_states=latents,
                encoder_hidden_states=text,
                timestep=torch.tensor([500], device=device),
                attention_kwargs={"recorder": recorder},
            )
        maps.append(recorder.mean_map().float().cpu())
    assert torch.allclose(maps[0], maps[1], rtol=tolerance, atol=tolerance * maps[0].max().item())
