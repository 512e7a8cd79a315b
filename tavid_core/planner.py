"""The planner: one request in, one plan out. numpy and the caller's pixels at its edges.

Shape suffixes: B batch (always 1 here), F frames or latent frames, C channels, H rows, W columns.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from tavid_core.adapter import hash_folder, load_adapter
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.attention import AttentionRecorder, install_processors
from tavid_core.config import PlannerConfig, SamplerConfig
from tavid_core.errors import ConfigError, InputError, NonFiniteError
from tavid_core.frame_fit import FrameFit
from tavid_core.model_card import ModelCard, read_model_card
from tavid_core.model_folder import find_adapter_folder, find_model_folder, load_pipeline
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.progress import ProgressReporter
from tavid_core.prompt import build_prompt, count_tokens, find_slot_indices
from tavid_core.types import InteractionMotion, InteractionPlan, PlanProgress, PlanRequest, Rollout

if TYPE_CHECKING:
    from tavid_core.lifting.keypoints import KeypointDetector, Keypoints

__all__ = ["InteractionPlanner", "Lifter"]

VERSIONED = ("torch", "diffusers", "transformers", "peft", "tavid")


class Lifter(Protocol):
    """What turns an imagined video into a 3D motion; see `tavid_core.lifting.lift.lift`."""

    def __call__(
        self, rollout: Rollout, request: PlanRequest, keypoints: Keypoints, *, fit: FrameFit
    ) -> InteractionMotion:
        """Lift a rollout."""


class InteractionPlanner:
    """Imagine an interaction with a masked object and lift it to a 3D motion.

    One plan at a time: the model is shared state, so calls from several threads must take turns.
    The same request gives the same plan, bit for bit, on the same machine and versions.

    Args:
        pipeline: The model, with the adapter on it.
        manifest: What the adapter says, or None for a base model, which knows no target.
        card: How the model wants to be used.
        provenance: What goes into every plan's provenance.
        detector: Finds the actor's keypoints in frames; the shipped one if None.
        lifter: Lifts rollouts; the shipped one if None.

    Raises:
        ConfigError: If the adapter has more slots than a request has masks.
    """

    def __init__(
        self,
        pipeline: TargetAwarePipeline,
        manifest: AdapterManifest | None = None,
        card: ModelCard | None = None,
        *,
        provenance: Mapping[str, object] = types.MappingProxyType({}),
        detector: KeypointDetector | None = None,
        lifter: Lifter | None = None,
    ) -> None:
        if manifest is not None and manifest.num_mask_slots > 2:
            raise ConfigError(
                f"adapter must have 1 or 2 mask slots, got {manifest.num_mask_slots}. "
                "A request carries a target mask and an actor mask."
            )
        self.pipeline = pipeline
        self.manifest = manifest
        self.card = card or ModelCard(num_frames=pipeline.transformer.config.sample_frames)
        self._provenance = dict(provenance)
        self._detector = detector
        self._lifter = lifter
        self._closing_sec: float | None = None
        if manifest is not None:
            install_processors(pipeline.transformer, self.attention_blocks)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "mini",
        adapter: str | Path | None = "default",
        *,
        device: str = "cpu",
        dtype: str = "float32",
        offload: str = "none",
        detector: KeypointDetector | None = None,
        lifter: Lifter | None = None,
    ) -> InteractionPlanner:
        """Load a model and its adapter.

        Local folders and "mini" need no network. Weights come from safetensors only.

        Args:
            model: "mini" (shipped), a diffusers folder, or a Hub id.
            adapter: An adapter folder, "default" (shipped with "mini"), or None for the base model.
            device: "cpu", "cuda", "cuda:1", ...
            dtype: "float32", "bfloat16" or "float16".
            offload: "none", "model" or "sequential".
            detector: Finds the actor's keypoints in frames; the shipped one if None.
            lifter: Lifts rollouts; the shipped one if None.

        Returns:
            The planner, ready for requests.

        Raises:
            ConfigError: If a setting is unusable.
            WeightsError: If a file is missing, damaged, or made for another model.
        """
        config = PlannerConfig(
            model=str(model),
            adapter=None if adapter is None else str(adapter),
            device=device,
            dtype=dtype,
            offload=offload,
        )
        folder = find_model_folder(model)
        adapter_folder = find_adapter_folder(model, adapter)
        pipeline = load_pipeline(folder, getattr(torch, dtype))
        card = read_model_card(folder, default_num_frames=pipeline.transformer.config.sample_frames)
        manifest = None if adapter_folder is None else load_adapter(pipeline, adapter_folder)
        if manifest is not None and dtype == "float32":
            # One matrix product per layer instead of three; in half precision the sum would round.
            pipeline.fuse_lora(components=["transformer"])
        _place(pipeline, config)
        provenance = {
            **dataclasses.asdict(config),
            "model_name": card.name,
            "actor": card.actor,
            "model_sha256": hash_folder(folder),
            "adapter_sha256": None if adapter_folder is None else hash_folder(adapter_folder),
        }
        return cls(
            pipeline, manifest, card, provenance=provenance, detector=detector, lifter=lifter
        )

    @property
    def attention_blocks(self) -> tuple[int, ...]:
        """Blocks whose attention is shown: the adapter's, else the card's, else all."""
        num_blocks = len(self.pipeline.transformer.transformer_blocks)
        named = (self.manifest.attention_blocks if self.manifest else ()) or (
            self.card.attention_blocks
        )
        return tuple(block for block in named if block < num_blocks) or tuple(range(num_blocks))

    def plan(
        self,
        request: PlanRequest,
        on_progress: Callable[[PlanProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> InteractionPlan:
        """Answer a request.

        Args:
            request: Image, mask and prompt.
            on_progress: Called when a stage begins and after each of its steps: "condition",
                "denoise", "decode", "lift".
            should_stop: Asked at the same moments; True ends the plan at once, without decoding.

        Returns:
            The plan.

        Raises:
            CanceledError: If `should_stop` said so.
            InputError: If the request does not fit the model.
            NonFiniteError: If the model gave NaN or infinity.
        """
        reporter = ProgressReporter(on_progress, should_stop, closing_sec=self._closing_sec)
        rollout = self._imagine(request, reporter)
        reporter.report("lift", 0, 1)
        motion = self._lift(rollout, request)
        self._closing_sec = reporter.closing_sec
        planning_time_sec = reporter.elapsed_sec
        reporter.report("lift", 1, 1)
        return InteractionPlan(
            request=request,
            rollout=rollout,
            motion=motion,
            provenance=self.provenance(request),
            planning_time_sec=planning_time_sec,
        )

    def imagine(
        self,
        request: PlanRequest,
        on_progress: Callable[[PlanProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Rollout:
        """Imagine the video only, without lifting it.

        Args:
            request: Image, mask and prompt.
            on_progress: As for `plan`.
            should_stop: As for `plan`.

        Returns:
            The video, and where the target token looked.

        Raises:
            CanceledError: If `should_stop` said so.
            InputError: If the request does not fit the model.
            NonFiniteError: If the model gave NaN or infinity.
        """
        return self._imagine(request, ProgressReporter(on_progress, should_stop))

    def provenance(self, request: PlanRequest) -> dict[str, object]:
        """Say what a plan for this request is made with.

        Args:
            request: Image, mask and prompt.

        Returns:
            JSON values: hashes, settings, the text as sent to the model, versions.
        """
        sampler, text = self._sampler(request), self._text(request)
        num_tokens = count_tokens(self.pipeline.tokenizer, text)
        max_tokens = self.pipeline.transformer.config.max_text_seq_length
        manifest = self.manifest
        return {
            **self._provenance,
            **dataclasses.asdict(sampler),
            "adapter_training_step": None if manifest is None else manifest.training_step,
            "seed": request.seed,
            "prompt": text,
            "prompt_tokens_cut_off": max(0, num_tokens - max_tokens),
            "size_hw": list(self.pipeline.size_hw),
            "fps": self.card.fps,
            "scheduler": type(self.pipeline.scheduler).__name__,
            "versions": {name: _version(name) for name in VERSIONED},
        }

    def frame_fit(self, request: PlanRequest) -> FrameFit:
        """Say how the request's image becomes the model's.

        Args:
            request: Image, mask and prompt.

        Returns:
            The fit, which also maps pixels of the rollout back.
        """
        return FrameFit(request.image.shape[:2], self.pipeline.size_hw)

    def _imagine(self, request: PlanRequest, reporter: ProgressReporter) -> Rollout:
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
        pipeline, sampler, fit = self.pipeline, self._sampler(request), self.frame_fit(request)
        max_length = pipeline.transformer.config.max_text_seq_length
        pipeline.check_size(*pipeline.size_hw, sampler.num_frames)
        recorder = None
        if self.manifest is not None:
            num_recorded = math.ceil(self.card.attention_steps * sampler.num_inference_steps)
            indices = find_slot_indices(
                pipeline.tokenizer, request.prompt, self.manifest.prompt, max_length
            )
            recorder = AttentionRecorder(
                token_index=indices[:1],
                grid_hw=pipeline.token_grid(),
                conditional_only=sampler.guidance_scale > 1.0,
                steps=range(num_recorded),
            )
        masks = self._masks(request, fit)
        positive, negative = pipeline.encode_prompt(
            self._text(request),
            do_classifier_free_guidance=sampler.guidance_scale > 1.0,
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
        return [np.stack(slots)]

    def _denoise(
        self,
        request: PlanRequest,
        inputs: dict[str, Any],
        recorder: AttentionRecorder | None,
        reporter: ProgressReporter,
    ) -> torch.Tensor:
        sampler = self._sampler(request)
        num_steps = sampler.num_inference_steps

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
            num_frames=sampler.num_frames,
            num_inference_steps=num_steps,
            guidance_scale=sampler.guidance_scale,
            use_dynamic_cfg=sampler.use_dynamic_guidance,
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

    def _lift(self, rollout: Rollout, request: PlanRequest) -> InteractionMotion:
        if self._detector is None:
            from tavid_core.lifting.detector import HeatmapDetector

            self._detector = HeatmapDetector.from_pretrained()
        if self._lifter is None:
            from tavid_core.lifting.lift import lift

            self._lifter = lift
        keypoints = self._detector(rollout.frames)
        return self._lifter(rollout, request, keypoints, fit=self.frame_fit(request))

    def _sampler(self, request: PlanRequest) -> SamplerConfig:
        chosen = {
            name: getattr(request, name)
            for name in ("num_inference_steps", "guidance_scale", "num_frames")
            if getattr(request, name) is not None
        }
        return dataclasses.replace(self.card.sampler, **chosen)

    def _text(self, request: PlanRequest) -> str:
        if self.manifest is None:
            return request.prompt.strip()
        return build_prompt(request.prompt, self.manifest.prompt)


def _place(pipeline: TargetAwarePipeline, config: PlannerConfig) -> None:
    try:
        if config.offload == "model":
            pipeline.enable_model_cpu_offload(device=config.device)
        elif config.offload == "sequential":
            pipeline.enable_sequential_cpu_offload(device=config.device)
        else:
            pipeline.to(config.device)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"device must be one that torch can use here, got '{config.device}': "
            f"{str(error).splitlines()[0]} Use 'cpu'."
        ) from error


def _attention_image(recorder: AttentionRecorder, size_hw: tuple[int, ...]) -> NDArray[np.float32]:
    grid = recorder.step_mean()[0].view(recorder.grid_hw).cpu().numpy()
    spread = float(grid.max() - grid.min())
    scaled = (grid - grid.min()) / spread if spread > 0 else np.zeros_like(grid)
    image = cv2.resize(scaled, tuple(size_hw[::-1]), interpolation=cv2.INTER_LINEAR)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
