"""Devices of a training run: chosen, refused, and used for all that a step needs."""

import pytest
import torch

from tavid_core.errors import ConfigError
from training import device
from training.batches import draw_batch
from training.cache import LatentCache
from training.device import half_precision, has_fast_bfloat16, pick_device
from training.losses import diffusion_loss, noisy_latents
from training.mini import build_scheduler


def test_auto_takes_the_gpu_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device("auto").type == expected
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_unusable_device_is_refused(name):
    with pytest.raises(ConfigError, match="device must be one that torch can use here"):
        pick_device(name)


def test_half_precision_is_bfloat16_and_can_be_left_out():
    matrix = torch.eye(2)
    with half_precision(torch.device("cpu"), enabled=True):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with half_precision(torch.device("cpu"), enabled=False):
        assert (matrix @ matrix).dtype == torch.float32


@pytest.mark.parametrize(
    ("flags", "dtype"), [("avx2 avx512_bf16", torch.bfloat16), ("avx2 avx512f", torch.float32)]
)
def test_half_precision_is_used_where_the_processor_has_it(monkeypatch, flags, dtype):
    """Without the instructions a step took 20 times as long."""
    monkeypatch.setattr(device.Path, "read_text", lambda *_, **__: flags)
    with half_precision(torch.device("cpu")):
        assert (torch.eye(2) @ torch.eye(2)).dtype == dtype
    assert has_fast_bfloat16(torch.device("cuda"))


def test_everything_of_a_step_follows_the_latents():
    """The meta device stands for a GPU: mixing it with the CPU fails in the same places."""
    cache = LatentCache(
        latents_NFCHW=torch.zeros(3, 2, 4, 4, 4),
        images_NKCHW=torch.zeros(3, 1, 4, 4, 4),
        masks_NSHW=torch.zeros(3, 8, 8, dtype=torch.uint8),
        captions=("a", "b", "c"),
    )
    generator, scheduler = torch.Generator().manual_seed(0), build_scheduler()
    batch = draw_batch(cache, 2, generator, device=torch.device("meta"))
    noisy, timesteps_B = noisy_latents(scheduler, batch.latents_BFCHW, generator)
    loss = diffusion_loss(scheduler, noisy, noisy, batch.latents_BFCHW, timesteps_B)
    assert {t.device.type for t in (batch.image_BFCHW, noisy, timesteps_B, loss)} == {"meta"}
    assert batch.index_B.device.type == "cpu"
