"""Train the mini VAE: `python -m training.pretrain_vae --clips CLIPS --out RUN`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXResnetBlock3D
from numpy.typing import NDArray
from tqdm import tqdm

from training.clips import read_frames, read_records
from training.device import half_precision, pick_device
from training.loop_config import LoopConfig
from training.losses import MOTION_THRESHOLD, frame_loss
from training.mini import MiniConfig, build_vae, frames_to_tensor
from training.trainer import apply_weights, run_loop

KL_WEIGHT = 1e-4
# Most steps see small windows: a full clip costs fifty times as much and teaches little more
# about colours and edges. The last steps see full clips, because group norms measure them.
WINDOW_FRAMES, WINDOW_PX = 9, 32
# Of the windows, around a pixel that moves: hands and lifted objects are a few hundredths of a
# picture, and what is between them is soon learnt.
MOVING_SHARE = 0.75
# Windows or clips per step where nothing else is said; torch takes the fast convolution of CPUs for
# small inputs only when there are two of them.
BATCH_SIZE = 2
FULL_SHARE = 0.08
# Of differences between neighbouring pixels: without it hands and rims are smeared.
EDGE_WEIGHT = 0.5


def load_clips(folder: Path, limit: int | None = None) -> NDArray[np.uint8]:
    """Decode a clip folder into memory.

    Args:
        folder: Clip folder; all clips of one size and length.
        limit: Take only the first ones.

    Returns:
        uint8 (N, T, H, W, 3).
    """
    records = read_records(folder)[:limit]
    return np.stack([read_frames(folder, r) for r in tqdm(records, desc="clips", unit="clip")])


def draw_windows(
    clips: NDArray[np.uint8], generator: torch.Generator, batch_size: int = BATCH_SIZE
) -> torch.Tensor:
    """Cut windows out of random clips, most of them where something moves.

    Args:
        clips: uint8 (N, T, H, W, 3), no smaller than a window.
        generator: Of the CPU; all randomness comes from it.
        batch_size: How many.

    Returns:
        uint8 (batch_size, `WINDOW_FRAMES`, `WINDOW_PX`, `WINDOW_PX`, 3).
    """

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    num_clips, num_frames, height, width = clips.shape[:4]
    windows = []
    for _ in range(batch_size):
        clip, when = draw(num_clips), draw(num_frames - WINDOW_FRAMES + 1)
        window = clips[clip, when : when + WINDOW_FRAMES]
        rows, columns = np.nonzero(_find_moving(window, clips[clip, 0]))
        if len(rows) and float(torch.rand((), generator=generator)) < MOVING_SHARE:
            pixel = draw(len(rows))
            top = int(np.clip(rows[pixel] - WINDOW_PX // 2, 0, height - WINDOW_PX))
            left = int(np.clip(columns[pixel] - WINDOW_PX // 2, 0, width - WINDOW_PX))
        else:
            top, left = draw(height - WINDOW_PX + 1), draw(width - WINDOW_PX + 1)
        windows.append(window[:, top : top + WINDOW_PX, left : left + WINDOW_PX])
    return torch.from_numpy(np.stack(windows))


def _find_moving(frames: NDArray[np.uint8], first: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the pixels that ever differ from the first frame as `frame_loss` counts them."""
    change = np.abs(frames.astype(np.int16) - first).max(axis=(0, -1))
    return change > MOTION_THRESHOLD * 127.5


def _open_shortcuts(vae: AutoencoderKLCogVideoX) -> None:
    """Start every residual branch at zero, so that pictures pass from the first step on."""
    for module in vae.modules():
        if isinstance(module, CogVideoXResnetBlock3D):
            torch.nn.init.zeros_(module.conv2.conv.weight)
            torch.nn.init.zeros_(module.conv2.conv.bias)


def _reconstruction_loss(
    vae: AutoencoderKLCogVideoX, video_BCTHW: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    # Single images need float32: the bfloat16 convolution of torch 2.13 returns NaN gradients for
    # one-frame inputs on CPUs with AMX.
    video_BCTHW = video_BCTHW.to(vae.device)
    with half_precision(vae.device, enabled=None if video_BCTHW.shape[2] > 1 else False):
        posterior = vae.encode(video_BCTHW).latent_dist
        output = vae.decode(posterior.sample(generator=generator)).sample
    kl = posterior.kl().float().mean() / posterior.mean[0].numel()
    return frame_loss(output.float(), video_BCTHW, edge_weight=EDGE_WEIGHT), kl


def train_vae(
    clips: NDArray[np.uint8],
    loop: LoopConfig,
    folder: Path,
    device: torch.device | None = None,
    *,
    channels: tuple[int, ...] = MiniConfig().vae_channels,
    full_share: float = FULL_SHARE,
    batch_size: int = BATCH_SIZE,
    start_from: Path | None = None,
) -> AutoencoderKLCogVideoX:
    """Train on small windows first, on whole clips at the end, and on single frames throughout.

    Args:
        clips: uint8 (N, T, H, W, 3).
        loop: The schedule.
        folder: Of the run.
        device: Where to train; None = the CPU.
        channels: Widths of the levels, the finest first.
        full_share: Share of the steps, at the end, that see whole clips; 0..1.
        batch_size: Windows or clips per step.
        start_from: Diffusers folder of a VAE to go on with, whatever its channels; None = fresh
            weights. A checkpoint in `folder` goes first.

    Returns:
        The VAE in eval mode, with scaling_factor set to 1 / standard deviation of its latents.
    """
    torch.manual_seed(loop.seed)
    if start_from is None:
        vae = build_vae(MiniConfig(vae_channels=channels))
        _open_shortcuts(vae)
    else:
        vae = AutoencoderKLCogVideoX.from_pretrained(start_from, dtype=torch.float32).train()
    vae.to(device)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if step < (1 - full_share) * loop.num_steps:
            windows = frames_to_tensor(draw_windows(clips, generator, batch_size))
            error, kl = _reconstruction_loss(vae, windows, generator)
            if step % 4 == 0:
                # The pipeline encodes the conditioning image alone.
                image_error, _ = _reconstruction_loss(vae, windows[:, :, :1], generator)
                error = 0.5 * (error + image_error)
        else:
            index_B = torch.randint(len(clips), (batch_size,), generator=generator)
            video = frames_to_tensor(torch.from_numpy(clips[index_B.numpy()]))
            error, kl = _reconstruction_loss(vae, video, generator)
            image_error, _ = _reconstruction_loss(vae, video[:, :, :1], generator)
            error = error + 0.3 * image_error
        return {"loss": error + KL_WEIGHT * kl, "error": error, "kl": kl}

    apply_weights({"vae": vae}, run_loop(loop, folder, {"vae": vae}, loss_of, title="VAE"))
    vae.eval()
    vae.register_to_config(scaling_factor=_scaling_factor(vae, clips[:32]))
    return vae


@torch.no_grad()
def _scaling_factor(vae: AutoencoderKLCogVideoX, clips: NDArray[np.uint8]) -> float:
    latents = [
        vae.encode(frames_to_tensor(torch.from_numpy(clip[None])).to(vae.device)).latent_dist.mean
        for clip in clips
    ]
    return round(1.0 / float(torch.cat(latents).std()), 4)


def main(arguments: list[str] | None = None) -> int:
    """Train the VAE and save it as a diffusers folder.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m training.pretrain_vae", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="run folder; the VAE lands in vae/")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=int, help="use only the first clips")
    parser.add_argument(
        "--channels",
        type=int,
        nargs=3,
        default=MiniConfig().vae_channels,
        metavar="N",
        help="widths of the levels, the finest first, multiples of 8",
    )
    parser.add_argument(
        "--start-from", type=Path, metavar="DIR", help="go on with this VAE instead of a fresh one"
    )
    parser.add_argument(
        "--full-share", type=float, default=FULL_SHARE, help="of the steps, that see whole clips"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=BATCH_SIZE,
        help="windows or clips per step; more on a GPU",
    )
    options = parser.parse_args(arguments)
    clips = load_clips(options.clips, options.limit)
    loop = LoopConfig(
        num_steps=options.steps,
        learning_rate=options.learning_rate,
        weight_decay=0.0,
        save_every=250,
    )
    vae = train_vae(
        clips,
        loop,
        options.out / "vae_run",
        pick_device(options.device),
        channels=tuple(options.channels),
        full_share=options.full_share,
        batch_size=options.batch_size,
        start_from=options.start_from,
    )
    vae.save_pretrained(options.out / "vae")
    print(
        json.dumps({"vae": str(options.out / "vae"), "scaling_factor": vae.config.scaling_factor})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
