"""The planner: one request in, one plan out. numpy and the caller's pixels at its edges."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from tavid_core.adapter import hash_folder, load_adapter
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.candidates import Candidate
from tavid_core.config import PlannerConfig
from tavid_core.errors import ConfigError
from tavid_core.frame_fit import FrameFit
from tavid_core.model_card import ModelCard, read_model_card
from tavid_core.model_folder import find_adapter_folder, find_model_folder, load_pipeline
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.planner_sampler import RolloutSampler
from tavid_core.progress import ProgressReporter
from tavid_core.prompt import count_tokens
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
        card = card or ModelCard(num_frames=pipeline.transformer.config.sample_frames)
        self.sampler = RolloutSampler(pipeline, manifest, card)
        self._provenance = dict(provenance)
        self._detector = detector
        self._lifter = lifter
        self._closing_sec: float | None = None

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "mini",
        adapter: str | Path | None = "default",
        *,
        device: str = "cpu",
        dtype: str = "float32",
        offload: str = "none",
        vae_tiling: bool = False,
        detector: KeypointDetector | None = None,
        lifter: Lifter | None = None,
    ) -> InteractionPlanner:
        """Load a model and its adapter.

        Local folders and "mini" need no network. Weights come from safetensors only.

        Args:
            model: "mini" (shipped), a diffusers folder, or a Hub id.
            adapter: An adapter folder, "default" (shipped with "mini"), or None, "none" or "" for
                the base model.
            device: "cpu", "cuda", "cuda:1", ...
            dtype: "float32", "bfloat16" or "float16".
            offload: "none", "model" or "sequential".
            vae_tiling: Whether to decode in tiles, with much less memory.
            detector: Finds the actor's keypoints in frames; the shipped one if None.
            lifter: Lifts rollouts; the shipped one if None.

        Returns:
            The planner, ready for requests.

        Raises:
            ConfigError: If a setting is unusable.
            WeightsError: If a file is missing, damaged, or made for another model.
        """
        # Before the model, which may be a download of gigabytes.
        adapter_folder = find_adapter_folder(model, adapter)
        config = PlannerConfig(
            model=str(model),
            adapter=None if adapter_folder is None else str(adapter),
            device=device,
            dtype=dtype,
            offload=offload,
            vae_tiling=vae_tiling,
        )
        folder = find_model_folder(model)
        pipeline = load_pipeline(folder, getattr(torch, dtype))
        card = read_model_card(folder, default_num_frames=pipeline.transformer.config.sample_frames)
        manifest = None if adapter_folder is None else load_adapter(pipeline, adapter_folder)
        if manifest is not None and dtype == "float32":
            # One matrix product per layer instead of three; in half precision the sum would round.
            pipeline.fuse_lora(components=["transformer"])
        _place(pipeline, config)
        hashes = _hashes(folder, adapter_folder, manifest)
        known = {"model_name": card.name, "actor": card.actor, **hashes}
        provenance = {**dataclasses.asdict(config), **known}
        return cls(
            pipeline, manifest, card, provenance=provenance, detector=detector, lifter=lifter
        )

    def plan(
        self,
        request: PlanRequest,
        on_progress: Callable[[PlanProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> InteractionPlan:
        """Answer a request, with the best of its candidates.

        Args:
            request: Image, mask and prompt.
            on_progress: Called when a stage begins and after each of its steps: "condition",
                "denoise", "decode", "lift".
            should_stop: Asked at the same moments; True ends the plan at once, without decoding.

        Returns:
            The plan; its provenance names the seed that it shows, and every seed with its score.

        Raises:
            CanceledError: If `should_stop` said so.
            InputError: If the request does not fit the model.
            NonFiniteError: If the model gave NaN or infinity.
        """
        reporter = ProgressReporter(
            on_progress,
            should_stop,
            closing_sec=self._closing_sec,
            num_candidates=request.num_candidates,
        )
        best: Candidate | None = None
        tried: list[dict[str, object]] = []
        for seed in range(request.seed, request.seed + request.num_candidates):
            candidate = self._try_seed(dataclasses.replace(request, seed=seed), reporter)
            tried.append(candidate.to_json())
            # The first of equals, so that one candidate more never changes a tie.
            if best is None or candidate.score > best.score:
                best = candidate
        return InteractionPlan(
            request=request,
            rollout=best.rollout,
            motion=best.motion,
            provenance={**self.provenance(request), "seed": best.seed, "candidates": tried},
            planning_time_sec=reporter.elapsed_sec,
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
        return self.sampler.sample(request, ProgressReporter(on_progress, should_stop))

    def provenance(self, request: PlanRequest) -> dict[str, object]:
        """Say what a plan for this request is made with.

        Args:
            request: Image, mask and prompt.

        Returns:
            JSON values: hashes, settings, the text as sent to the model, versions.
        """
        sampler, pipeline = self.sampler, self.sampler.pipeline
        manifest, text = sampler.manifest, sampler.text(request)
        num_tokens = count_tokens(pipeline.tokenizer, text)
        max_tokens = pipeline.transformer.config.max_text_seq_length
        return {
            **self._provenance,
            **dataclasses.asdict(sampler.settings(request)),
            "adapter_training_step": None if manifest is None else manifest.training_step,
            "seed": request.seed,
            "prompt": text,
            "prompt_tokens_cut_off": max(0, num_tokens - max_tokens),
            "size_hw": list(pipeline.size_hw),
            "fps": sampler.card.fps,
            "scheduler": type(pipeline.scheduler).__name__,
            "versions": {name: _version(name) for name in VERSIONED},
        }

    def _try_seed(self, request: PlanRequest, reporter: ProgressReporter) -> Candidate:
        rollout = self.sampler.sample(request, reporter)
        reporter.report("lift", 0, 1)
        motion = self._lift(rollout, request)
        self._closing_sec = reporter.closing_sec
        reporter.report("lift", 1, 1)
        reporter.end_candidate()
        return Candidate(seed=request.seed, rollout=rollout, motion=motion)

    def _lift(self, rollout: Rollout, request: PlanRequest) -> InteractionMotion:
        if self._detector is None:
            from tavid_core.lifting.detector import HeatmapDetector

            self._detector = HeatmapDetector.from_pretrained()
        if self._lifter is None:
            from tavid_core.lifting.lift import lift

            self._lifter = lift
        keypoints = self._detector(rollout.frames)
        return self._lifter(rollout, request, keypoints, fit=self.sampler.frame_fit(request))


def _hashes(
    folder: Path, adapter_folder: Path | None, manifest: AdapterManifest | None
) -> dict[str, object]:
    model_sha256 = hash_folder(folder)
    trained_on = "" if manifest is None else manifest.base_model_sha256
    return {
        "model_sha256": model_sha256,
        "adapter_sha256": None if adapter_folder is None else hash_folder(adapter_folder),
        # Told, not enforced: a base saved again in another precision has another hash.
        "adapter_was_trained_on_model": trained_on == model_sha256 if trained_on else None,
    }


def _tile(pipeline: TargetAwarePipeline) -> None:
    """Let the VAE work on tiles of half the size that overlap by a quarter, in whole latents.

    With diffusers' own shares that is so at 480x720 only; elsewhere the frames get another size.
    """
    scale = pipeline.vae_scale_factor_spatial
    rows, columns = (scale * 4 * math.ceil(side / scale / 8) for side in pipeline.size_hw)
    pipeline.vae.enable_tiling(
        tile_sample_min_height=rows,
        tile_sample_min_width=columns,
        tile_overlap_factor_height=0.25,
        tile_overlap_factor_width=0.25,
    )


def _place(pipeline: TargetAwarePipeline, config: PlannerConfig) -> None:
    if config.vae_tiling:
        _tile(pipeline)
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
            f"{str(error).splitlines()[0].rstrip('.')}. Use 'cpu'."
        ) from error


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
