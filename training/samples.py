"""Training samples, each a function of (seed, step, index) and nothing else.

So it does not matter how many processes share a batch, nor whether a run was interrupted.

Shapes: B samples, F latent frames, C channels, H x W latents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from training.cache import LatentCache

__all__ = ["SampleBatch", "SampleDrawer", "make_generator"]

# What a generator is for; equal keys of two purposes must not give the same numbers.
ORDER, SAMPLE, STEP = range(3)


def make_generator(seed: int, *key: int) -> torch.Generator:
    """Make a source of randomness that depends on its arguments only.

    Args:
        seed: Of the run.
        *key: Whole numbers of 0 or more.

    Returns:
        A generator of the CPU.
    """
    # The length goes first, for numpy takes no notice of zeros at the end.
    state = np.random.SeedSequence((len(key), seed, *key)).generate_state(1, np.uint64)
    # torch takes signed numbers.
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


@dataclasses.dataclass(frozen=True)
class SampleBatch:
    """Some samples of a step.

    Args:
        clips_B: Which clips, int64, on the CPU.
        latents_BFCHW: Clean latents.
        image_BFCHW: Image latents: the first frame's, then zeros; all zeros where dropped.
        noise_BFCHW: Standard normal.
        timesteps_B: int64.
        is_bare_B: Whether neither text nor masks are shown, bool, on the CPU.
    """

    clips_B: torch.Tensor
    latents_BFCHW: torch.Tensor
    image_BFCHW: torch.Tensor
    noise_BFCHW: torch.Tensor
    timesteps_B: torch.Tensor
    is_bare_B: torch.Tensor


class SampleDrawer:
    """Draws clips without replacement, epoch by epoch, each sample with its own noise.

    Args:
        cache: All clips.
        seed: Of the run.
        batch_size: Samples of a step, over all processes.
        num_timesteps: Of the scheduler.
        image_dropout: How often the image latents are zeroed.
        condition_dropout: How often neither text nor masks are shown.
    """

    def __init__(
        self,
        cache: LatentCache,
        *,
        seed: int,
        batch_size: int,
        num_timesteps: int,
        image_dropout: float,
        condition_dropout: float = 0.0,
    ) -> None:
        self._cache, self._seed, self._batch_size = cache, seed, batch_size
        self._num_timesteps, self._image_dropout = num_timesteps, image_dropout
        self._condition_dropout = condition_dropout

    def step_generator(self, step: int) -> torch.Generator:
        """Make the source of what all samples of a step have in common.

        Args:
            step: Of the run.

        Returns:
            A generator of the CPU.
        """
        return make_generator(self._seed, STEP, step)

    def draw(self, step: int, indices: Sequence[int], device: torch.device) -> SampleBatch:
        """Draw samples of a step.

        Args:
            step: Of the run.
            indices: Which samples of the global batch.
            device: Where the latents go.

        Returns:
            The samples.
        """
        samples = [self._draw_one(step, index) for index in indices]
        clips, images, noises, timesteps, bare = zip(*samples, strict=True)
        clips_B = torch.tensor(clips)
        latents_BFCHW = self._cache.latents_NFCHW[clips_B]
        image_BFCHW = torch.zeros_like(latents_BFCHW)
        image_BFCHW[:, 0] = torch.stack(images)
        return SampleBatch(
            clips_B=clips_B,
            latents_BFCHW=latents_BFCHW.to(device),
            image_BFCHW=image_BFCHW.to(device),
            noise_BFCHW=torch.stack(noises).to(device),
            timesteps_B=torch.tensor(timesteps, device=device),
            is_bare_B=torch.tensor(bare),
        )

    def _draw_one(self, step: int, index: int) -> tuple[int, torch.Tensor, torch.Tensor, int, bool]:
        generator = make_generator(self._seed, SAMPLE, step, index)
        clip = self._pick_clip(step * self._batch_size + index)
        images_KCHW = self._cache.images_NKCHW[clip]
        number = int(torch.randint(len(images_KCHW), (), generator=generator))
        is_kept = float(torch.rand((), generator=generator)) >= self._image_dropout
        timestep = int(torch.randint(self._num_timesteps, (), generator=generator))
        noise = torch.randn(self._cache.latents_NFCHW.shape[1:], generator=generator)
        # Drawn last, so that without it all else is as it was before there was such a thing.
        is_bare = float(torch.rand((), generator=generator)) < self._condition_dropout
        return clip, images_KCHW[number] * is_kept, noise, timestep, is_bare

    def _pick_clip(self, position: int) -> int:
        epoch, place = divmod(position, len(self._cache))
        order = torch.randperm(len(self._cache), generator=make_generator(self._seed, ORDER, epoch))
        return int(order[place])
