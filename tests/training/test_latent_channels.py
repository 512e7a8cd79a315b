"""More latent channels change nothing that a model computes, and can be learnt."""

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX

from tavid_core.errors import ConfigError
from training.latent_channels import add_latent_channels
from training.mini import MiniConfig, build_transformer, build_vae
from training.widen import main, widen_vae

CONFIG = MiniConfig(num_heads=1, num_layers=2, vae_channels=(8, 16, 16), latent_channels=4)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(3)
    return build_vae(CONFIG).eval()


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(4)
    transformer = build_transformer(CONFIG).eval()
    # Fresh heads are zeros, which would predict the same whatever they read.
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    return transformer


def predict(transformer, latents_BFCHW):
    with torch.no_grad():
        return transformer(
            hidden_states=latents_BFCHW,
            encoder_hidden_states=torch.ones(1, CONFIG.max_text_tokens, CONFIG.text_dim),
            timestep=torch.tensor([300]),
            return_dict=False,
        )[0]


@pytest.mark.parametrize("channels", [(8, 16, 16), (16, 32, 32)])
def test_pictures_and_old_latents_of_the_vae_stay(vae, channels):
    video_BCTHW = torch.rand(1, 3, 9, 16, 24) * 2 - 1
    more = widen_vae(vae, channels, latent_channels=7)
    with torch.no_grad():
        before, after = (one.encode(video_BCTHW).latent_dist for one in (vae, more))
        assert torch.allclose(after.mean[:, :4], before.mean, atol=1e-4)
        assert torch.allclose(after.logvar[:, :4], before.logvar, atol=1e-4)
        assert after.mean.shape[1] == 7
        assert 0.3 < after.mean[:, 4:].std() / before.mean.std() < 3
        pictures = (vae.decode(before.mean).sample, more.decode(after.mean).sample)
    assert torch.allclose(*pictures, atol=1e-4)


def test_the_decoder_learns_to_read_the_new_channels(vae):
    more = widen_vae(vae, (8, 16, 16), latent_channels=6)
    more.decode(torch.randn(1, 6, 1, 4, 6)).sample.square().mean().backward()
    gradient = more.decoder.conv_in.conv.weight.grad
    assert (gradient[:, 4:].flatten(2).abs().amax(-1) > 0).all()


def test_the_transformer_predicts_the_old_channels_as_before(transformer):
    more = add_latent_channels(transformer, 7)
    noisy, image = torch.randn(2, 1, 5, 7, 16, 24)
    both = torch.cat([noisy, image], dim=2)
    old = torch.cat([noisy[:, :, :4], image[:, :, :4]], dim=2)
    before, after = predict(transformer, old), predict(more, both)
    assert torch.allclose(after[:, :, :4], before, atol=1e-4)
    assert not after[:, :, 4:].any()
    assert (more.config.in_channels, more.config.out_channels) == (14, 7)


def test_as_many_channels_are_a_copy(transformer):
    same = add_latent_channels(transformer, 4)
    for name, tensor in transformer.state_dict().items():
        assert torch.equal(same.state_dict()[name], tensor)


def test_fewer_channels_are_refused(vae, transformer):
    with pytest.raises(ConfigError, match=r"latent_channels must be at least 4.*got 3 and 8"):
        add_latent_channels(transformer, 3)
    with pytest.raises(ConfigError, match="latent_channels must be at least 4, got 3"):
        widen_vae(vae, (8, 16, 16), latent_channels=3)


def test_a_base_with_mask_channels_is_refused(transformer):
    masked = type(transformer).from_config({**transformer.config, "in_channels": 9})
    with pytest.raises(ConfigError, match=r"for a base with 8 input channels, got 4 and 9"):
        add_latent_channels(masked, 4)


def test_the_command_adds_them(vae, tmp_path):
    vae.save_pretrained(tmp_path / "vae")
    words = [str(tmp_path / "vae"), str(tmp_path / "more"), "--channels", "8", "16", "16"]
    assert main([*words, "--latent-channels", "8"]) == 0
    assert AutoencoderKLCogVideoX.from_pretrained(tmp_path / "more").config.latent_channels == 8
