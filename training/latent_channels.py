"""More latent channels for a trained model: what it computes stays until it is trained on.

A VAE with more numbers per latent loses less of what moves. Its new channels are read by nobody at
first, and the transformer that goes with it neither reads nor predicts them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import CogVideoXTransformer3DModel

from tavid_core.errors import ConfigError

__all__ = ["add_latent_channels", "add_vae_latents"]

# Of the encoder's last convolution, by rows: means, then logarithms of variances.
_POSTERIOR = "encoder.conv_out.conv."
# Of the decoder, by columns: what reads latents, its own first convolution and every norm.
_READERS = ("decoder.conv_in.conv.weight", ".conv_y.conv.weight", ".conv_b.conv.weight")


def add_vae_latents(
    state: Mapping[str, torch.Tensor], num_added: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Add latent channels to the weights of a VAE.

    The means of the new channels are random mixtures of what the encoder sees, as large as those of
    the old ones, and no weight reads them: pictures and old channels stay as they are.

    Args:
        state: Of an `AutoencoderKLCogVideoX`, on the CPU; it is not changed.
        num_added: How many, at least 0.
        generator: Of the CPU, of the new means.

    Returns:
        The weights of the VAE with more latent channels.
    """
    added = dict(state)
    for name, tensor in state.items():
        if name.startswith(_POSTERIOR):
            means, variances = tensor.chunk(2)
            # A bias has no inputs to mix; the new variances are those that the old have on average.
            scale = means.std() if tensor.dim() > 1 else 0.0
            shape = (num_added, *means.shape[1:])
            new_means = scale * torch.randn(shape, generator=generator)
            new_variances = variances.mean(0, keepdim=True).expand(shape)
            added[name] = torch.cat([means, new_means, variances, new_variances])
        elif name.endswith(_READERS):
            added[name] = _append_zeros(tensor, num_added, dim=1)
    return added


def add_latent_channels(
    transformer: CogVideoXTransformer3DModel, latent_channels: int
) -> CogVideoXTransformer3DModel:
    """Build a transformer for a VAE with more latent channels, for the old ones as the given one.

    Args:
        transformer: Of an image-to-video model without mask channels; it is not changed.
        latent_channels: Of the VAE, at least as many as now.

    Returns:
        A new transformer in eval mode, float32, on the CPU. The new channels are ignored and
        predicted as zero until it is trained on.

    Raises:
        ConfigError: If they are fewer than now, or the transformer has channels for masks.
    """
    present = transformer.config.out_channels
    if latent_channels < present or transformer.config.in_channels != 2 * present:
        raise ConfigError(
            f"latent_channels must be at least {present}, for a base with {2 * present} input "
            f"channels, got {latent_channels} and {transformer.config.in_channels}. Train a VAE "
            "with more, or give a base without mask channels."
        )
    num_added = latent_channels - present
    wide = CogVideoXTransformer3DModel.from_config(
        {
            **transformer.config,
            "in_channels": 2 * latent_channels,
            "out_channels": latent_channels,
        }
    )
    state = {name: tensor.cpu() for name, tensor in transformer.state_dict().items()}
    noisy, image = state["patch_embed.proj.weight"].chunk(2, dim=1)
    state["patch_embed.proj.weight"] = torch.cat(
        [_append_zeros(half, num_added, dim=1) for half in (noisy, image)], dim=1
    )
    # The channel is the slowest of what a token's numbers are unfolded into.
    num_rows = num_added * transformer.config.patch_size**2
    for name in ("proj_out.weight", "proj_out.bias"):
        state[name] = _append_zeros(state[name], num_rows, dim=0)
    wide.load_state_dict(state)
    return wide.eval()


def _append_zeros(tensor: torch.Tensor, number: int, dim: int) -> torch.Tensor:
    shape = list(tensor.shape)
    shape[dim] = number
    return torch.cat([tensor, tensor.new_zeros(shape)], dim=dim)
