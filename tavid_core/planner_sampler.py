"""The rollout: conditioning, denoising and decoding of one request, on a loaded pipeline.

Shape suffixes: B batch (always 1 here), F frames or latent frames, C channels, H rows, W columns.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import cv2
import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.attention import AttentionRecorder, install_processors
from tavid_core.config import SamplerConfig
from tavid_core.errors import InputError, NonFiniteError
from tavid_core.frame_fit import FrameFit
from tavid_core.model_card import ModelCard
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.progress import ProgressReporter
from tavid_core.prompt import build_prompt, find_slot_indices
from tavid_core.types import PlanRequest, Rollout

__all__ = ["RolloutSampler"]


class RolloutSampler:
    """Imagine videos with one model and its adapter.

    Args:
        pipeline: The model, with the adapter on it.
        manifest: What the adapter says, or None for a base model, which knows no target.
        card: How the model wants to be used.
    """

    def __init__(
        self, pipeline: TargetAwarePipeline, manifest: AdapterManifest | None, card: ModelCard
    ) -> None:
        self.pipeline = pipeline
        self.manifest = manifest
        self.card = card
        if manifest is not None:
            install_processors(pipeline.transformer, self.attention_blocks)

    @property
    def attention_blocks(self) -> tuple[int, ...]:
        """Blocks whose attention is shown: the adapter's, else the card's, else all."""
        num_blocks = len(self.pipeline.transformer.transformer_blocks)
        named = self.manifest.attention_blocks if self.manifest is not None else ()
        named = named or self.card.attention_blocks
        return tuple(block for block in named if block < num_blocks) or tuple(range(num_blocks))

    def settings(self, request: PlanRequest) -> SamplerConfig:
        """Say with which settings a request is sampled.

        Args:
            request: Its own settings win over the model card's.

        Returns:
            The settings.
        """
        chosen = {
            name: getattr(request, name)
            for name in ("num_inference_steps", "guidance_scale", "num_frames")
            if getattr(request, name) is not None
        }
        return dataclasses.replace(self.card.sampler, **chosen)

    def text(self, request: PlanRequest) -> str:
        """Say what the text encoder is given for a request.

        Args:
            request: Image, mask and prompt.

        Returns:
            The prompt, with the adapter's sentence if there is an adapter.
        """
        if self.manifest is None:
            return request.prompt.strip()
        return build_prompt(request.prompt, self.manifest.prompt)

    def frame_fit(self, request: PlanRequest) -> FrameFit:
        """Say how the request's image becomes the model's.

        Args:
            request: Image, mask and prompt.

        Returns:
            The fit, which also maps pixels of the rollout back.
        """
        return FrameFit(request.image.shape[:2], self.pipeline.size_hw)

    def sample(self, request: PlanRequest, reporter: ProgressReporter) -> Rollout:
        """Imagine one video.

        Args:
            request: Image, mask and prompt.
            reporter: Told of every stage and step, and asked whether to go on.

        Returns:
            The video, and where the target token looked.

        Raises:
            CanceledError: If the reporter was told to stop; nothing is decoded then.
            InputError: If the request does not fit the model.
            NonFiniteError: If the model gave NaN or infinity.
        """
        reporter.report("condition", 0, 1)
        try:
            with torch.inference_mode():
                inputs, recorder = self._condition(request)
                reporter.report("condition", 1, 1)
                latents_BFCHW = self._denoise(request, inputs, recorder, reporter)
                reporter.report("decode", 0, 1)
                frames = self._decode(latents_BFCHW)
        finally:
            # An error or a stop between steps leaves the networks of an offloaded model where
            # they were.
            self.pipeline.maybe_free_model_hooks()
        attention = None if recorder is None else _attention_image(recorder, frames.shape[1:3])
        rollout = Rollout(frames=frames, fps=self.card.fps, attention_map=attention)
        reporter.report("decode", 1, 1)
        return rollout

    def _condition(self, request: PlanRequest) -> tuple[dict[str, Any], AttentionRecorder | None]:
        pipeline, settings, fit = self.pipeline, self.settings(request), self.frame_fit(request)
        max_length = pipeline.transformer.config.max_text_seq_length
        pipeline.check_size(*pipeline.size_hw, settings.num_frames)
        recorder = None
        if self.manifest is not None:
            num_recorded = math.ceil(self.card.attention_steps * settings.num_inference_steps)
            indices = find_slot_indices(
                pipeline.tokenizer, request.prompt, self.manifest.prompt, max_length
            )
            recorder = AttentionRecorder(
                token_index=indices[:1],
                grid_hw=pipeline.token_grid(),
                conditional_only=settings.guidance_scale > 1.0,
                steps=range(num_recorded),
                direction=self.manifest.attention_direction,
            )
        masks = self._masks(request, fit)
        positive, negative = pipeline.encode_prompt(
            self.text(request),
            do_classifier_free_guidance=settings.guidance_scale > 1.0,
            max_sequence_length=max_length,
        )
        return {
            "image": PIL.Image.fromarray(fit.fit_image(request.image)),
            "masks": masks,
            "prompt_embeds": positive,
            "negative_prompt_embeds": negative,
            "attention_kwargs": None if recorder is None else {"recorder": recorder},
        }, recorder

    def _masks(self, request: PlanRequest, fit: FrameFit) -> list[NDArray[np.bool_]] | None:
        num_slots = self.pipeline.num_mask_slots
        target = fit.fit_mask(request.target_mask)
        if num_slots == 0:
            return None
        slots = [target]
        if num_slots > 1:
            if request.actor_mask is None:
                raise InputError(
                    "actor_mask must be given to a model with 2 mask slots, got None. "
                    "Mark the actor, or load an adapter with one slot."
                )
            slots.append(fit.fit_mask(request.actor_mask, name="actor_mask", may_be_cut=True))
        if num_slots > 2:
            if len(request.extra_masks) != num_slots - 2:
                raise InputError(
                    f"extra_masks must hold {num_slots - 2} to a model with {num_slots} mask "
                    f"slots, got {len(request.extra_masks)}. Mark the further targets."
                )
            for number, mask in enumerate(request.extra_masks):
                slots.append(fit.fit_mask(mask, name=f"extra_masks[{number}]"))
        return [np.stack(slots)]

    def _denoise(
        self,
        request: PlanRequest,
        inputs: dict[str, Any],
        recorder: AttentionRecorder | None,
        reporter: ProgressReporter,
    ) -> torch.Tensor:
        settings = self.settings(request)
        num_steps = settings.num_inference_steps

        def end_step(_: object, step: int, __: object, state: dict[str, Any]) -> dict[str, Any]:
            if not torch.isfinite(state["latents"]).all():
                raise NonFiniteError(
                    f"latents must be finite, got NaN or infinity after step {step + 1} of "
                    f"{num_steps}. Use float32 or bfloat16, or a smaller guidance_scale."
                )
            if recorder is not None:
                recorder.end_step()
            reporter.report("denoise", step + 1, num_steps)
            return state

        reporter.report("denoise", 0, num_steps)
        return self.pipeline(
            **inputs,
            num_frames=settings.num_frames,
            num_inference_steps=num_steps,
            guidance_scale=settings.guidance_scale,
            use_dynamic_cfg=settings.use_dynamic_guidance,
            guide_by_mask=settings.guide_by_mask,
            # On the CPU whatever the device, so that a seed means the same noise everywhere.
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="latent",
            callback_on_step_end=end_step,
        ).frames

    def _decode(self, latents_BFCHW: torch.Tensor) -> NDArray[np.uint8]:
        video_BCFHW = self.pipeline.decode_latents(latents_BFCHW)
        if not torch.isfinite(video_BCFHW).all():
            raise NonFiniteError(
                "frames must be finite, got NaN or infinity from the decoder. "
                "Use float32 or bfloat16."
            )
        frames_FHWC = self.pipeline.video_processor.postprocess_video(
            video_BCFHW, output_type="np"
        )[0]
        return np.rint(frames_FHWC * 255.0).astype(np.uint8)


def _attention_image(recorder: AttentionRecorder, size_hw: tuple[int, ...]) -> NDArray[np.float32]:
    grid = recorder.step_mean()[0].view(recorder.grid_hw).cpu().numpy()
    spread = float(grid.max() - grid.min())
    scaled = (grid - grid.min()) / spread if spread > 0 else np.zeros_like(grid)
    image = cv2.resize(scaled, tuple(size_hw[::-1]), interpolation=cv2.INTER_LINEAR)
    return np.clip(image, 0.0, 1.0).astype(np.float32)
