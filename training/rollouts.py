"""Imagine many clips at once, for evaluation: batches through the pipeline that users run.

Shape suffixes: B batch, F latent frames, C channels, H rows, W columns.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from tavid_core.attention import AttentionRecorder
from tavid_core.errors import InputError
from tavid_core.planner_sampler import RolloutSampler
from tavid_core.prompt import find_slot_indices
from tavid_core.types import PlanRequest

__all__ = ["Imagined", "imagine_batch", "imagine_batches"]

# Around the passes of one batch, e.g. a modulation of the attention.
BatchContext = Callable[[Sequence[PlanRequest]], AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imagined:
    """One imagined clip.

    Args:
        frames: RGB, uint8 (T, H, W, 3).
        attention_map: Mean map of the target token on the grid of video tokens, float32
            (rows, columns), not normalised; None for a base model.
    """

    frames: NDArray[np.uint8]
    attention_map: NDArray[np.float32] | None


def imagine_batches(
    sampler: RolloutSampler,
    requests: Sequence[PlanRequest],
    *,
    batch_size: int = 4,
    around: BatchContext | None = None,
) -> Iterator[Imagined]:
    """Imagine requests, some at a time.

    Args:
        sampler: Model and adapter.
        requests: Images must have the model's size; each has its own seed and is sampled as the
            model's card says.
        batch_size: How many at a time.
        around: Entered around each batch, or None.

    Yields:
        One clip per request, in their order.
    """
    for first in range(0, len(requests), batch_size):
        batch = requests[first : first + batch_size]
        with contextlib.nullcontext() if around is None else around(batch):
            yield from imagine_batch(sampler, batch)


@torch.inference_mode()
def imagine_batch(sampler: RolloutSampler, requests: Sequence[PlanRequest]) -> list[Imagined]:
    """Imagine requests in one batch; each has the noise that it has alone.

    Args:
        sampler: Model and adapter; settings are those of the first request.
        requests: At least one; see `imagine_batches`.

    Returns:
        One clip per request.

    Raises:
        InputError: If a request lacks the mask of a slot.
    """
    pipeline, settings = sampler.pipeline, sampler.settings(requests[0])
    recorder = _make_recorder(sampler, requests)

    def end_step(_: object, __: int, ___: object, state: dict) -> dict:
        if recorder is not None:
            recorder.end_step()
        return state

    latents_BFCHW = pipeline(
        [PIL.Image.fromarray(request.image) for request in requests],
        [sampler.text(request) for request in requests],
        masks=_stack_masks(sampler, requests),
        num_frames=settings.num_frames,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        use_dynamic_cfg=settings.use_dynamic_guidance,
        guide_by_mask=settings.guide_by_mask,
        generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
        output_type="latent",
        attention_kwargs=None if recorder is None else {"recorder": recorder},
        callback_on_step_end=end_step,
    ).frames
    video_BCFHW = pipeline.decode_latents(latents_BFCHW)
    clips = pipeline.video_processor.postprocess_video(video_BCFHW, output_type="np")
    maps: list[NDArray[np.float32] | None] = [None] * len(requests)
    if recorder is not None:
        maps = list(recorder.step_mean().view(len(requests), *recorder.grid_hw).cpu().numpy())
    return [
        Imagined(frames=np.rint(clip * 255.0).astype(np.uint8), attention_map=map_hw)
        for clip, map_hw in zip(clips, maps, strict=True)
    ]


def _make_recorder(
    sampler: RolloutSampler, requests: Sequence[PlanRequest]
) -> AttentionRecorder | None:
    if sampler.manifest is None:
        return None
    pipeline, prompt = sampler.pipeline, sampler.manifest.prompt
    length = pipeline.transformer.config.max_text_seq_length
    return AttentionRecorder(
        token_index=[
            find_slot_indices(pipeline.tokenizer, request.prompt, prompt, length)[0]
            for request in requests
        ],
        grid_hw=pipeline.token_grid(),
        conditional_only=sampler.settings(requests[0]).guidance_scale > 1.0,
        direction=sampler.manifest.attention_direction,
    )


def _stack_masks(
    sampler: RolloutSampler, requests: Sequence[PlanRequest]
) -> list[NDArray[np.bool_]] | None:
    num_slots = sampler.pipeline.num_mask_slots
    if num_slots == 0:
        return None
    stacks = []
    for request in requests:
        slots = (request.target_mask, request.actor_mask, *request.extra_masks)[:num_slots]
        num_given = sum(mask is not None for mask in slots)
        if num_given != num_slots:
            raise InputError(
                f"requests must each have masks for {num_slots} slots, got {num_given}. "
                "Give actor_mask and extra_masks."
            )
        stacks.append(np.stack(slots))
    return stacks
