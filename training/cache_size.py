"""How large the caches of a run become on the disk and in the host's memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from training.finetune_config import FinetuneConfig

__all__ = ["CacheSize"]

_BYTES = {"bfloat16": 2, "float32": 4}
_MIB, _GIB = 2**20, 2**30


@dataclasses.dataclass(frozen=True)
class CacheSize:
    """What the caches take, without what their files say of themselves.

    Args:
        clip_bytes: Latents, conditioning images and masks of a clip.
        caption_bytes: States of a caption; 0 where tokens are trained, for nothing is kept then.
    """

    clip_bytes: int
    caption_bytes: int

    @classmethod
    def of(
        cls, config: FinetuneConfig, sizes: Mapping[str, Any], size_hw: tuple[int, int]
    ) -> CacheSize:
        """Work it out.

        Args:
            config: Of the run.
            sizes: Of `read_transformer_config`.
            size_hw: Rows and columns of the frames, pixels.

        Returns:
            The sizes.
        """
        num_frames = (sizes["sample_frames"] - 1) // sizes["temporal_compression_ratio"] + 1
        frame = sizes["out_channels"] * sizes["sample_height"] * sizes["sample_width"]
        num_images = max(1, config.num_noisy_images)
        masks = config.prompt.num_slots * size_hw[0] * size_hw[1]
        states = sizes["max_text_seq_length"] * sizes["text_embed_dim"]
        return cls(
            clip_bytes=_BYTES["float32"] * frame * (num_frames + num_images) + masks,
            caption_bytes=0 if config.train_tokens else _BYTES[config.base_dtype] * states,
        )

    def describe(self, num_clips: int | None, num_captions: int = 0) -> str:
        """Write it for people.

        Args:
            num_clips: Of the run; None = say it of one.
            num_captions: Of these clips, that differ.

        Returns:
            A line.
        """
        clips = "a clip" if num_clips is None else f"{num_clips:,} clips"
        captions = "a caption" if num_clips is None else f"{num_captions:,} captions"
        latents = _format(self.clip_bytes * (1 if num_clips is None else num_clips))
        texts = _format(self.caption_bytes * (1 if num_clips is None else num_captions))
        beside = f", {texts} for {captions}" if self.caption_bytes else ""
        return (
            f"caches          {latents} for {clips}{beside} on the disk, and at most as much of "
            "the host's memory, which processes share; latents take the disk twice while they are "
            "made"
        )


def _format(num_bytes: int) -> str:
    if num_bytes >= _GIB:
        return f"{num_bytes / _GIB:.1f} GiB"
    return f"{num_bytes / _MIB:.1f} MiB"
