"""A widened VAE computes what the narrow one did, and can be trained further."""

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from tavid_core.errors import ConfigError
from training.mini import MiniConfig, build_vae
from training.widen import main, widen_vae


@pytest.fixture(scope="module")
def narrow_vae():
    torch.manual_seed(3)
    vae = build_vae(MiniConfig(vae_channels=(8, 16, 16))).eval()
    # Norms as training leaves them: with ones and zeros, a mistake in their order would not show.
    for name, parameter in vae.named_parameters():
        if "norm" in name and parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 1.0, 0.5)
    return vae


@torch.no_grad()
def _through(vae, video_BCTHW):
    latents = vae.encode(video_BCTHW).latent_dist.mean
    return latents, vae.decode(latents).sample


@pytest.mark.parametrize("channels", [(16, 32, 32), (8, 64, 64), (24, 32, 32), (8, 16, 16)])
def test_latents_and_pictures_stay(narrow_vae, channels):
    video_BCTHW = torch.rand(1, 3, 9, 16, 24) * 2 - 1
    latents, pictures = _through(narrow_vae, video_BCTHW)
    wide_vae = widen_vae(narrow_vae, channels)
    wide_latents, wide_pictures = _through(wide_vae, video_BCTHW)
    assert tuple(wide_vae.config.block_out_channels) == channels
    assert torch.allclose(wide_latents, latents, atol=1e-4)
    assert torch.allclose(wide_pictures, pictures, atol=1e-4)


def test_the_narrow_one_is_not_changed(narrow_vae):
    before = {name: tensor.clone() for name, tensor in narrow_vae.state_dict().items()}
    widen_vae(narrow_vae, (16, 32, 32))
    assert tuple(narrow_vae.config.block_out_channels) == (8, 16, 16)
    for name, tensor in narrow_vae.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_copies_of_a_channel_get_gradients_of_their_own(narrow_vae):
    wide_vae = widen_vae(narrow_vae, (16, 32, 32))
    wide_vae.decode(torch.randn(1, 16, 1, 4, 6)).sample.square().mean().backward()
    gradient = wide_vae.decoder.mid_block.resnets[0].conv1.conv.weight.grad
    first, second = gradient[0::2], gradient[1::2]
    assert not torch.allclose(first, second, rtol=1e-3)


@pytest.mark.parametrize("channels", [(12, 16, 16), (8, 16), (8, 16, 32), (8, 8, 16), (0, 16, 16)])
def test_other_widths_are_refused(narrow_vae, channels):
    with pytest.raises(ConfigError, match=r"channels must be multiples of \(8, 16, 16\)"):
        widen_vae(narrow_vae, channels)


def test_the_command_writes_a_folder_and_says_what_is_wrong(narrow_vae, tmp_path, capsys):
    narrow_vae.save_pretrained(tmp_path / "vae")
    words = [str(tmp_path / "vae"), str(tmp_path / "wide"), "--channels"]
    assert main([*words, "16", "32", "30"]) == 2
    assert "multiples of (8, 16, 16)" in capsys.readouterr().err
    assert not (tmp_path / "wide").exists()
    assert main([*words, "16", "32", "32"]) == 0
    wide_vae = AutoencoderKLCogVideoX.from_pretrained(tmp_path / "wide")
    assert tuple(wide_vae.config.block_out_channels) == (16, 32, 32)
