"""Train the keypoint detector: `python -m training.pretrain_keypoints --clips C --vae V --out F`.

It must work on imagined frames, so half of what it sees went through the VAE, and everything is
blurred, recoloured and made noisy. Pictures without an actor teach it to say no.
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
from torch.nn import functional
from tqdm import tqdm

from tavid_core.lifting.detector import INPUT_HW, STRIDE, HeatmapDetector, HeatmapNetwork
from training.clips import read_frames, read_records, read_truth
from training.device import half_precision, pick_device
from training.loop_config import LoopConfig
from training.mini import frames_to_tensor
from training.sources.sim.motion import JOINT_NAMES
from training.sources.sim.render import SceneRenderer
from training.sources.sim.scene import sample_scene
from training.trainer import run_loop

WIDTH = 24
SIGMA_CELLS = 1.2
FIRST_EMPTY_SEED = 40_000_000


def load_labelled(folder: Path, limit: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read frames and the joints' true pixels.

    Args:
        folder: Clip folder of the mini world.
        limit: Clips at most.

    Returns:
        uint8 (N, H, W, 3) and float32 (N, K, 2).
    """
    frames, pixels = [], []
    for record in tqdm(read_records(folder)[:limit], desc="clips", unit="clip"):
        frames.append(read_frames(folder, record))
        pixels.append(read_truth(folder, record)["joint_pixels"].astype(np.float32))
    return np.concatenate(frames), np.concatenate(pixels)


@torch.no_grad()
def reconstruct(vae: AutoencoderKLCogVideoX, clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Send clips through the VAE, so that the detector meets its artefacts.

    Args:
        vae: In eval mode.
        clips: uint8 (N, T, H, W, 3).

    Returns:
        The same shape.
    """
    output = np.empty_like(clips)
    for index, clip in enumerate(tqdm(clips, desc="VAE", unit="clip")):
        with half_precision(vae.device):
            pixels = frames_to_tensor(torch.from_numpy(clip[None])).to(vae.device)
            latent = vae.encode(pixels).latent_dist.mean
            video = vae.decode(latent).sample[0].permute(1, 2, 3, 0).float()
        output[index] = ((video + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return output


def empty_pictures(count: int) -> NDArray[np.uint8]:
    """Draw pictures without an actor: bare tables, shapes, noise.

    Args:
        count: How many.

    Returns:
        uint8 (N, H, W, 3).
    """
    rng = np.random.default_rng(7)
    height, width = INPUT_HW
    pictures = []
    with SceneRenderer(width, height) as renderer:
        for index in range(count // 4):
            scene = sample_scene(FIRST_EMPTY_SEED + index, has_actor=False)
            pictures.append(renderer.render(scene, num_frames=10).frames[0])
    for _ in range(count - len(pictures)):
        coarse = rng.integers(0, 256, (*rng.integers(2, 24, 2), 3)).astype(np.float32)
        tensor = torch.from_numpy(coarse).permute(2, 0, 1)[None]
        mode = "nearest" if rng.random() < 0.5 else "bilinear"
        picture = functional.interpolate(tensor, INPUT_HW, mode=mode)[0].permute(1, 2, 0).numpy()
        for _ in range(int(rng.integers(0, 8))):
            top, left = int(rng.integers(height - 4)), int(rng.integers(width - 4))
            bottom, right = top + int(rng.integers(4, 40)), left + int(rng.integers(3, 40))
            picture[top:bottom, left:right] = rng.integers(0, 256, 3)
        pictures.append(picture.astype(np.uint8))
    return np.stack(pictures)


def heatmaps(pixels_BK2: torch.Tensor) -> torch.Tensor:
    """Draw the wanted heatmaps; a joint outside the picture has none.

    Args:
        pixels_BK2: Column and row; NaN for "no such joint".

    Returns:
        float32 (B, K, h, w) in 0..1.
    """
    height, width = INPUT_HW[0] // STRIDE, INPUT_HW[1] // STRIDE
    cells = (pixels_BK2 + 0.5) / STRIDE - 0.5
    rows = torch.arange(height).view(1, 1, -1, 1) - cells[..., 1, None, None]
    columns = torch.arange(width).view(1, 1, 1, -1) - cells[..., 0, None, None]
    drawn = torch.exp(-(rows.square() + columns.square()) / (2 * SIGMA_CELLS**2))
    return torch.nan_to_num(drawn, nan=0.0)


def augment(images_BCHW: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Recolour, blur and add noise.

    Args:
        images_BCHW: In -1..1.
        generator: Source of all randomness.

    Returns:
        The same shape, clipped to -1..1.
    """
    batch = len(images_BCHW)
    gain = 1.0 + 0.25 * torch.randn(batch, 3, 1, 1, generator=generator)
    shift = 0.15 * torch.randn(batch, 3, 1, 1, generator=generator)
    blurred = functional.avg_pool2d(
        functional.pad(images_BCHW, (1, 1, 1, 1), mode="replicate"), 3, 1
    )
    mix = torch.rand(batch, 1, 1, 1, generator=generator)
    noise = 0.06 * torch.randn(images_BCHW.shape, generator=generator)
    return ((images_BCHW * mix + blurred * (1 - mix)) * gain + shift + noise).clamp(-1, 1)


def train_detector(
    frames: NDArray[np.uint8],
    pixels: NDArray[np.float32],
    loop: LoopConfig,
    folder: Path,
    device: torch.device | None = None,
    *,
    batch_size: int = 32,
) -> HeatmapDetector:
    """Train the network.

    Args:
        frames: uint8 (N, H, W, 3), with and without actors.
        pixels: float32 (N, K, 2), NaN where there is no actor.
        loop: The schedule.
        folder: Of the run.
        device: Where to train; None = the CPU.
        batch_size: Pictures per step.

    Returns:
        The detector, on the CPU.
    """
    torch.manual_seed(loop.seed)
    device = device or torch.device("cpu")
    network = HeatmapNetwork(len(JOINT_NAMES), WIDTH).to(device)

    def loss_of(_: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        pick = torch.randint(len(frames), (batch_size,), generator=generator).numpy()
        images = torch.from_numpy(frames[pick]).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        wanted = heatmaps(torch.from_numpy(pixels[pick]))
        logits = network(augment(images, generator).to(device))
        wanted = wanted.to(device)
        weight = 1.0 + 20.0 * wanted
        loss = functional.binary_cross_entropy_with_logits(logits, wanted, weight=weight)
        return {"loss": loss}

    # Averaged weights would need averaged batch statistics; the last weights do as well here.
    run_loop(loop, folder, {"network": network}, loss_of, title="keypoints")
    return HeatmapDetector(network.cpu(), JOINT_NAMES)


def main(arguments: list[str] | None = None) -> int:
    """Train the detector and write its weights.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain_keypoints", description=__doc__
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--vae", type=Path, help="diffusers folder of the mini VAE")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=int, default=600)
    options = parser.parse_args(arguments)
    device = pick_device(options.device)
    frames, pixels = load_labelled(options.clips, options.limit)
    if options.vae:
        vae = AutoencoderKLCogVideoX.from_pretrained(options.vae).eval().to(device)
        length = read_frames(options.clips, read_records(options.clips)[0]).shape[0]
        half = frames.reshape(-1, length, *frames.shape[1:])[::4]
        frames = np.concatenate([frames, reconstruct(vae, half).reshape(-1, *frames.shape[1:])])
        kept = pixels.reshape(-1, length, *pixels.shape[1:])[::4]
        pixels = np.concatenate([pixels, kept.reshape(-1, *pixels.shape[1:])])
    empty = empty_pictures(max(8, len(frames) // 8))
    frames = np.concatenate([frames, empty])
    nothing = np.full((len(empty), *pixels.shape[1:]), np.nan, np.float32)
    pixels = np.concatenate([pixels, nothing])
    loop = LoopConfig(num_steps=options.steps, learning_rate=2e-3, ema_decay=0.0, save_every=500)
    train_detector(frames, pixels, loop, options.run, device).save(options.out)
    print(json.dumps({"keypoints": str(options.out)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
