"""Train the mini VAE's decoder on: `python -m training.pretrain_decoder --clips CLIPS --out RUN`.

The encoder stays as it is, so latents that were cached with it stay valid and this may run beside
the training of the transformer. A wider decoder begins with `training.widen`.

Most steps see small windows around something that moves; the last ones see whole clips, as the
planner decodes them: the group norms of a decoder that has seen windows alone shift the colours of
whole frames.

`--imagined MODEL` shows it, beside the encoder's latents, those that the model imagines of the same
clips, and `--critic` has its videos judged for sharpness too.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from numpy.typing import NDArray
from torch import nn

from tavid_core.errors import TavidError
from training.cache import load_or_build_cache
from training.critic import AdversarialLoss, VideoCritic, check_weight
from training.device import half_precision, pick_device
from training.imagined_latents import load_or_build_imagined
from training.loop_config import LoopConfig
from training.losses import frame_loss
from training.mini import frames_to_tensor
from training.pretrain_vae import BATCH_SIZE, load_clips
from training.trainer import apply_weights, run_loop

# What the transformer leaves of the noise when it has finished, in standard deviations.
LATENT_NOISE = 0.08
# A quarter of a clip of the mini world, in latents.
WINDOW_HW = (8, 12)
FULL_SHARE = 0.25
# Of the samples, where there are imagined latents.
IMAGINED_SHARE = 0.8


def _draw_window(latents_FCHW: torch.Tensor, generator: torch.Generator) -> tuple[slice, slice]:
    """Place a window over a latent that changes in time, each as likely as it changes."""
    height, width = latents_FCHW.shape[-2:]
    change_HW = (latents_FCHW[2:] - latents_FCHW[1:-1]).square().sum((0, 1)) + 1e-6
    centre = int(torch.multinomial(change_HW.flatten(), 1, generator=generator))
    jitter = torch.rand(2, generator=generator).tolist()
    window = []
    for middle, size, limit, draw in zip(
        divmod(centre, width), WINDOW_HW, (height, width), jitter, strict=True
    ):
        size = min(size, limit)
        start = min(max(middle - int(draw * size), 0), limit - size)
        window.append(slice(start, start + size))
    return window[0], window[1]


def _cut(
    latents_BFCHW: torch.Tensor,
    shown_BFCHW: torch.Tensor,
    frames_BTHWC: torch.Tensor,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a window out of each clip, the same out of the latents that are shown and its frames."""
    factor = frames_BTHWC.shape[2] // latents_BFCHW.shape[3]
    latents, frames = [], []
    for latents_FCHW, shown_FCHW, frames_THWC in zip(
        latents_BFCHW, shown_BFCHW, frames_BTHWC, strict=True
    ):
        rows, columns = _draw_window(latents_FCHW, generator)
        latents.append(shown_FCHW[..., rows, columns])
        rows_px, columns_px = (
            slice(factor * part.start, factor * part.stop) for part in (rows, columns)
        )
        frames.append(frames_THWC[:, rows_px, columns_px])
    return torch.stack(latents), torch.stack(frames)


def _draw_samples(
    latents_NFCHW: torch.Tensor,
    imagined_NFCHW: torch.Tensor | None,
    clips: NDArray[np.uint8],
    generator: torch.Generator,
    *,
    is_whole: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw latents that are shown to the decoder, and the frames that it should make of them."""
    index_B = torch.randint(len(clips), (BATCH_SIZE,), generator=generator)
    latents_BFCHW = latents_NFCHW[index_B]
    frames_BTHWC = torch.from_numpy(clips[index_B.numpy()])
    noise = torch.randn(latents_BFCHW.shape, generator=generator)
    shown_BFCHW = latents_BFCHW + LATENT_NOISE * noise
    if imagined_NFCHW is not None:
        is_imagined_B = torch.rand(BATCH_SIZE, generator=generator) < IMAGINED_SHARE
        shown_BFCHW[is_imagined_B] = imagined_NFCHW[index_B[is_imagined_B]]
    if is_whole:
        return shown_BFCHW, frames_BTHWC
    # Where it is cut is told by what the encoder says: noise changes in time everywhere.
    return _cut(latents_BFCHW, shown_BFCHW, frames_BTHWC, generator)


def train_decoder(
    vae: AutoencoderKLCogVideoX,
    latents_NFCHW: torch.Tensor,
    clips: NDArray[np.uint8],
    loop: LoopConfig,
    folder: Path,
    full_share: float = FULL_SHARE,
    *,
    imagined_NFCHW: torch.Tensor | None = None,
    critic_weight: float = 0.0,
) -> None:
    """Train the decoder on slightly noisy latents of windows, then of whole clips.

    Args:
        vae: Changed in place; its encoder is not touched.
        latents_NFCHW: Scaled latents of the clips, of this very encoder.
        clips: uint8 (N, T, H, W, 3).
        loop: The schedule.
        folder: Of the run.
        full_share: Share of the steps, at the end, that see whole clips; 0..1.
        imagined_NFCHW: Scaled latents that a model imagined of the clips, shown in most steps;
            None = none.
        critic_weight: Of a critic's opinion, in units of the error; 0 = no critic.

    Raises:
        ConfigError: If the weight is negative or not finite, or `folder` holds checkpoints of a run
            that trained something else, as with and without a critic.
    """
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    scale, device = vae.config.scaling_factor, vae.device
    modules: dict[str, nn.Module] = {"vae": vae}
    judge = None
    if critic_weight:
        torch.manual_seed(loop.seed)
        modules["critic"] = VideoCritic().to(device)
        last_weight = vae.decoder.conv_out.conv.weight
        judge = AdversarialLoss(modules["critic"], last_weight, critic_weight)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        latents_BFCHW, frames_BTHWC = _draw_samples(
            latents_NFCHW,
            imagined_NFCHW,
            clips,
            generator,
            is_whole=step >= (1 - full_share) * loop.num_steps,
        )
        with half_precision(device):
            output_BCTHW = vae.decode((latents_BFCHW.transpose(1, 2) / scale).to(device)).sample
        output_BCTHW, truth_BCTHW = output_BCTHW.float(), frames_to_tensor(frames_BTHWC).to(device)
        error = frame_loss(output_BCTHW, truth_BCTHW, edge_weight=0.5)
        if judge is None:
            return {"loss": error}
        return judge(step, error, output_BCTHW, truth_BCTHW)

    apply_weights(modules, run_loop(loop, folder, modules, loss_of, title="decoder"))


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain_decoder",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="run folder; changes its vae/")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--learning-rate", type=float, default=6e-4)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=int, help="use only the first clips")
    parser.add_argument(
        "--max-minutes", type=float, help="stop after this time; run again to go on"
    )
    parser.add_argument(
        "--full-share",
        type=float,
        default=FULL_SHARE,
        help="of the steps, that see whole clips [%(default)s]",
    )
    parser.add_argument(
        "--imagined",
        metavar="MODEL",
        help='"mini" or a folder: show what this model imagines of the clips too',
    )
    parser.add_argument(
        "--adapter", default="default", help='of that model: a folder, "default" or "none"'
    )
    parser.add_argument(
        "--critic",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="of a critic's opinion, in units of the error; 0 = no critic [%(default)s]",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Train the decoder of RUN/vae and write it back.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the input is unusable.
    """
    options = _make_parser().parse_args(arguments)
    try:
        _train(options)
    except TavidError as error:
        print(f"pretrain_decoder: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"vae": str(options.out / "vae")}))
    return 0


def _train(options: argparse.Namespace) -> None:
    if options.critic:
        # Before the latents are made, which takes long.
        check_weight(options.critic)
    vae = AutoencoderKLCogVideoX.from_pretrained(options.out / "vae").eval()
    vae.to(pick_device(options.device))
    cache = load_or_build_cache(
        options.clips, vae, options.out / "latents.safetensors", options.limit
    )
    loop = LoopConfig(
        num_steps=options.steps,
        learning_rate=options.learning_rate,
        weight_decay=0.0,
        max_minutes=options.max_minutes,
    )
    clips = load_clips(options.clips, options.limit)
    imagined = None
    if options.imagined is not None:
        imagined = load_or_build_imagined(
            options.clips,
            options.imagined,
            options.out / "imagined.safetensors",
            vae=vae,
            adapter=options.adapter,
            limit=options.limit,
        )
    train_decoder(
        vae,
        cache.latents_NFCHW,
        clips,
        loop,
        options.out / "decoder_run",
        options.full_share,
        imagined_NFCHW=imagined,
        critic_weight=options.critic,
    )
    vae.save_pretrained(options.out / "vae")


if __name__ == "__main__":
    sys.exit(main())
