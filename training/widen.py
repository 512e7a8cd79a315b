"""Widen a trained VAE without changing what it computes: `python -m training.widen VAE OUT`.

A wider VAE trained from nothing has first to learn again what the narrow one knows. Here every
channel is copied and the weights that read it are split among the copies, so the wide VAE begins
with the pictures of the narrow one, and its latents: a transformer and an adapter made with the
narrow encoder stay valid as long as only the decoder is trained. With `--latent-channels` it also
gets more latent channels, which its pictures do not need at first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX

from tavid_core.errors import ConfigError
from training.latent_channels import add_vae_latents

__all__ = ["main", "widen_vae"]

# How unevenly copies share the weight of their origin: equal shares would give equal gradients,
# and the copies would stay equal for ever.
UNEVENNESS = 0.5


def widen_vae(
    vae: AutoencoderKLCogVideoX,
    channels: tuple[int, ...],
    *,
    latent_channels: int | None = None,
    seed: int = 0,
) -> AutoencoderKLCogVideoX:
    """Build a wider VAE that encodes and decodes as the given one does.

    Copies of a channel lie side by side, so they share a group of the group norms with their
    origin, whose mean and variance they leave as they were.

    Args:
        vae: The narrow one; it is not changed.
        channels: Widths of the levels, the finest first; multiples of the present ones.
        latent_channels: Of its latents, no fewer than now; None = as many. The present ones come
            first and stay as they are.
        seed: Of the shares among copies, and of new latent channels.

    Returns:
        A new VAE in eval mode, float32, on the CPU, with the same latents and pictures but for
        rounding.

    Raises:
        ConfigError: If a width is no multiple of the present one, or latent channels are fewer.

    References:
        Chen, Goodfellow and Shlens, Net2Net (arXiv 1511.05641), section 2.2. They copy channels
        at random and break the tie with noise; whole multiples and uneven shares keep the group
        norms and the function exact.
    """
    present = tuple(vae.config.block_out_channels)
    _check(channels, present)
    num_latents = vae.config.latent_channels
    latent_channels = num_latents if latent_channels is None else latent_channels
    if latent_channels < num_latents:
        raise ConfigError(
            f"latent_channels must be at least {num_latents}, got {latent_channels}. Leave it out "
            "to keep them."
        )
    wide_vae = AutoencoderKLCogVideoX.from_config(
        {**vae.config, "block_out_channels": channels, "latent_channels": latent_channels}
    )
    generator = torch.Generator().manual_seed(seed)
    narrow_state = {name: tensor.float().cpu() for name, tensor in vae.state_dict().items()}
    narrow_state = add_vae_latents(narrow_state, latent_channels - num_latents, generator)
    wide_vae.load_state_dict(
        {
            name: _widen(narrow_state[name], tuple(tensor.shape), generator)
            for name, tensor in wide_vae.state_dict().items()
        }
    )
    return wide_vae.eval()


def _check(channels: tuple[int, ...], present: tuple[int, ...]) -> None:
    # Neighbours of one width have no shortcut convolution between them, others have one.
    if (
        len(channels) != len(present)
        or any(wide < 1 or wide % narrow for wide, narrow in zip(channels, present, strict=True))
        or _equal_neighbours(channels) != _equal_neighbours(present)
    ):
        raise ConfigError(
            f"channels must be multiples of {present}, level by level, and of one width where "
            f"these are, got {channels}. Use {tuple(2 * narrow for narrow in present)}, for "
            "example."
        )


def _equal_neighbours(channels: tuple[int, ...]) -> list[bool]:
    return [first == second for first, second in itertools.pairwise(channels)]


def _widen(
    weight: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator
) -> torch.Tensor:
    copies_out = shape[0] // weight.shape[0]
    weight = weight.repeat_interleave(copies_out, dim=0)
    if weight.dim() < 2 or shape[1] == weight.shape[1]:
        return weight
    copies_in = shape[1] // weight.shape[1]
    shares = 1 + UNEVENNESS * (
        2 * torch.rand((shape[0], weight.shape[1], copies_in), generator=generator) - 1
    )
    shares = (shares / shares.sum(-1, keepdim=True)).flatten(1)
    return weight.repeat_interleave(copies_in, dim=1) * shares.reshape(
        shape[:2] + (1,) * (weight.dim() - 2)
    )


def main(arguments: list[str] | None = None) -> int:
    """Widen the VAE of a folder into another folder.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.widen",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("vae", type=Path, help="diffusers folder of the VAE")
    parser.add_argument("out", type=Path, help="where the wide one goes")
    parser.add_argument(
        "--channels",
        type=int,
        nargs="+",
        required=True,
        metavar="N",
        help="widths of the levels, the finest first, multiples of the present ones",
    )
    parser.add_argument(
        "--latent-channels", type=int, metavar="N", help="of its latents [as many as now]"
    )
    options = parser.parse_args(arguments)
    vae = AutoencoderKLCogVideoX.from_pretrained(options.vae)
    try:
        wide_vae = widen_vae(vae, tuple(options.channels), latent_channels=options.latent_channels)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    wide_vae.save_pretrained(options.out)
    print(json.dumps({"vae": str(options.out), "channels": options.channels}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
