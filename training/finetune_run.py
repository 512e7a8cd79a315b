"""One fine-tuning run in one process: load, check, cache, train, write."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from tavid_core.adapter import add_slot_tokens
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import ConfigError, PromptError
from tavid_core.model_folder import load_pipeline
from tavid_core.prompt import build_prompt, count_tokens, find_slot_indices
from tavid_core.weights_file import hash_folder
from training.adapter_model import describe_adapter, prepare_transformer, write_adapter
from training.cache import LatentCache, hash_clips, load_or_build_cache
from training.clip_check import ClipDemands, ClipReport, check_clips, require_all_good
from training.engine import Engine, split_batch
from training.finetune_config import FinetuneConfig
from training.finetune_job import FinetuneJob, FinetuneResult
from training.finetune_loss import FinetuneLoss
from training.optimizers import demand_optimizer
from training.run_folder import claim_run_folder, flatten
from training.start_adapter import load_start, note_other_base
from training.storage import storing
from training.texts import FrozenTexts, TrainedTokens, load_or_build_texts
from training.trainer import LoopResult, StepReport, TrainingLoop, apply_weights
from training.validation import Validation, read_last_rates

__all__ = ["FinetuneRun", "demands_of"]

# What may change between two parts of a run: it decides how it is computed, not what.
NOT_IDENTITY = (
    "loop.save_every",
    "loop.max_minutes",
    "micro_batch_size",
    "gradient_checkpointing",
)


def demands_of(
    tokenizer: PreTrainedTokenizerBase | None,
    size_hw: tuple[int, int],
    sizes: SimpleNamespace | Any,
    config: FinetuneConfig,
) -> ClipDemands:
    """Say what a model and a run ask of every clip.

    Args:
        tokenizer: Of the model, with added tokens; None leaves captions unchecked.
        size_hw: Rows and columns of the frames, pixels.
        sizes: Configuration of the transformer.
        config: Of the run.

    Returns:
        The demands.
    """
    length = sizes.max_text_seq_length

    def check_caption(text: str) -> None:
        # Without a tokenizer nobody knows how long a caption is.
        if tokenizer is None:
            return
        num_tokens = count_tokens(tokenizer, build_prompt(text, config.prompt))
        if num_tokens > length:
            # Before the sentence the slot token would be lost; after it, words without notice.
            raise PromptError(
                f"caption and sentence must fit into {length} tokens, got {num_tokens}. "
                f"Shorten the caption by {num_tokens - length} tokens."
            )
        find_slot_indices(tokenizer, text, config.prompt, length)

    return ClipDemands(
        num_frames=sizes.sample_frames,
        size_hw=size_hw,
        num_slots=config.prompt.num_slots,
        check_caption=check_caption,
    )


class FinetuneRun:
    """Carries a run through its parts; see `training.finetune.finetune` for what they raise.

    Args:
        config: Of the run.
        job: Where it reads and writes.
        engine: The process's place among others.
    """

    def __init__(self, config: FinetuneConfig, job: FinetuneJob, engine: Engine) -> None:
        torch.manual_seed(config.loop.seed)
        self.config, self.job, self.engine = config, job, engine
        # Told before the hours in which latents are made.
        demand_optimizer(config.loop.optimizer)
        split_batch(
            config.batch_size, engine.num_processes, engine.process_index, config.micro_batch_size
        )
        if engine.is_sharded and config.train_tokens:
            raise ConfigError(
                "train_tokens must be false where weights are sharded, got true. Use "
                "config/accelerate/ddp.yaml."
            )
        # Stored in half precision, weights would not mix with the rest on a CPU.
        self.pipeline = load_pipeline(job.base, getattr(torch, config.base_dtype))
        for module in (self.pipeline.text_encoder, self.pipeline.vae):
            module.requires_grad_(False).eval()
        self.start: AdapterManifest | None = None
        if job.start_from is not None:
            self.start = load_start(self.pipeline, job.start_from, config)
        self.tokens = self._add_tokens()

    def train(self) -> FinetuneResult:
        """Go through all parts.

        Returns:
            What came out.
        """
        report = self._check_clips()
        prepare_transformer(self.pipeline.transformer, self.config)
        manifest = self._claim(report)
        with self.engine.main_first():
            cache = self._build_latents(report)
            texts = None if self.tokens is not None else self._build_texts(cache)
        modules = self._place()
        result = self._loop(cache, texts, modules, manifest)
        self._write(result, modules, manifest)
        return FinetuneResult(
            adapter=self.job.out,
            num_steps=result.num_steps,
            first_step=result.first_step,
            figures=result.figures,
            validation=read_last_rates(self.job.run_folder),
            num_clips=len(cache),
            num_problems=len(report.problems),
            seconds=result.seconds,
            peak_memory_bytes=self.engine.peak_memory_bytes(),
            num_processes=self.engine.num_processes,
            process_index=self.engine.process_index,
        )

    def _add_tokens(self) -> TrainedTokens | None:
        prompt, pipeline = self.config.prompt, self.pipeline
        if not prompt.added_tokens:
            return None
        ids = add_slot_tokens(pipeline.tokenizer, pipeline.text_encoder, prompt.slot_words)
        if not self.config.train_tokens:
            return None
        return TrainedTokens(pipeline.text_encoder, ids)

    def _check_clips(self) -> ClipReport:
        pipeline, job = self.pipeline, self.job
        demands = demands_of(
            pipeline.tokenizer, pipeline.size_hw, pipeline.transformer.config, self.config
        )
        shown, report = None, check_clips(job.clips, demands, job.limit)
        if job.validation_clips is not None:
            shown = check_clips(job.validation_clips, demands, job.num_validations)
        records = require_all_good(report, shown, skip_bad=job.skip_bad)
        if report.problems and self.engine.is_main:
            told = f"{len(report.problems)} problems, {len(records)} clips are left"
            print(told, file=sys.stderr)
        return report

    def _claim(self, report: ClipReport) -> AdapterManifest:
        job, engine = self.job, self.engine
        num_blocks = len(self.pipeline.transformer.transformer_blocks)
        base_sha256 = hash_folder(job.base) if engine.is_main else ""
        manifest = describe_adapter(self.config, num_blocks, job.base, job.clips, base_sha256)
        identity = flatten(self.config)
        for name in NOT_IDENTITY:
            del identity[name]
        if self.config.supervision.normalization == "batch_min_max":
            # Its range is over the samples of a forward pass: their number is part of the maths.
            share = self.config.batch_size // engine.num_processes
            identity["micro_batch_size"] = self.config.micro_batch_size or share
        for name in ("sloppy_masks", "sloppy_loss_masks", "condition_dropout"):
            if not identity[name]:
                # Runs that began before this setting was there are still the same.
                del identity[name]
        if self.config.loop.schedule == "constant":
            # More steps are then a longer run, not another one.
            del identity["loop.num_steps"]
        identity["base_sha256"] = base_sha256
        identity["clips_sha256"] = manifest.dataset_sha256
        if job.start_from is not None:
            identity["start_sha256"] = hash_folder(job.start_from)
        identity["num_clips"] = len(report.records)
        if engine.is_main:
            note = self.start and note_other_base(self.start, base_sha256)
            if note:
                print(note, file=sys.stderr)
            # The data set's hash is of its list alone, and the latents may be made anew.
            files = hash_clips(job.clips, report.records, self.config.prompt.num_slots)
            identity["files_sha256"] = hashlib.sha256("".join(files).encode()).hexdigest()
            claim_run_folder(job.run_folder, identity, job.resume)
            engine.start_trackers("tracker", identity)
        return manifest

    def _build_latents(self, report: ClipReport) -> LatentCache:
        job, pipeline = self.job, self.pipeline
        pipeline.vae.to(self.engine.device)
        cache = load_or_build_cache(
            job.clips,
            pipeline.vae,
            job.latents_file,
            job.limit,
            records=report.records if report.problems else None,
            num_noisy_images=self.config.num_noisy_images,
            num_slots=self.config.prompt.num_slots,
            uses_bfloat16=self.config.uses_bfloat16,
        )
        pipeline.vae.cpu()
        return cache

    def _build_texts(self, cache: LatentCache) -> FrozenTexts:
        pipeline = self.pipeline
        pipeline.text_encoder.to(self.engine.device)
        texts = load_or_build_texts(
            [*cache.captions, None] if self.config.condition_dropout else cache.captions,
            pipeline.tokenizer,
            pipeline.text_encoder,
            self.config.prompt,
            pipeline.transformer.config.max_text_seq_length,
            self.job.texts_file,
        )
        pipeline.text_encoder.cpu()
        return texts

    def _place(self) -> dict[str, nn.Module]:
        """Put on the device what a step needs, and name what is trained."""
        device = self.engine.device
        if self.job.validation_clips is not None:
            self.pipeline.to(device)
        modules: dict[str, nn.Module] = {"transformer": self.pipeline.transformer.to(device)}
        if self.tokens is not None:
            modules["tokens"] = self.tokens.to(device)
        return modules

    def _loop(
        self,
        cache: LatentCache,
        texts: FrozenTexts | None,
        modules: dict[str, nn.Module],
        manifest: AdapterManifest,
    ) -> LoopResult:
        config, engine = self.config, self.engine
        prepared = {name: engine.prepare(module) for name, module in modules.items()}
        loss = FinetuneLoss(
            self.pipeline, cache, config, texts or prepared["tokens"], prepared["transformer"]
        )
        loop = TrainingLoop(
            config.loop,
            self.job.run_folder,
            modules,
            title="adapter",
            engine=engine,
            batch_size=config.batch_size,
            micro_batch_size=config.micro_batch_size,
        )
        if self.job.validation_clips is None:
            return loop.run(loss)
        validation = Validation(
            self.job,
            self.pipeline,
            manifest,
            modules,
            use_autocast=config.base_dtype != "float32",
            is_writer=engine.is_main,
        )

        def validate(report: StepReport) -> None:
            if validation.is_due(report.step, config.loop.num_steps):
                rates = validation.run(report)
                engine.track(
                    {k: float(v) for k, v in rates.items() if isinstance(v, float | int)},
                    report.step,
                )

        return loop.run(loss, validate)

    def _write(
        self, result: LoopResult, modules: dict[str, nn.Module], manifest: AdapterManifest
    ) -> None:
        if self.engine.is_main:
            if self.engine.is_sharded:
                # A whole one, on the CPU: the model that was trained is in parts. One process
                # alone has it, stored as it was loaded: of 5B all parts are 22 GB.
                base = load_pipeline(self.job.base, getattr(torch, self.config.base_dtype))
                self.pipeline.transformer = modules["transformer"] = base.transformer
                prepare_transformer(base.transformer, self.config)
            apply_weights(modules, result.weights)
            if self.tokens is not None:
                self.tokens.write_back()
            before = self.start.training_step if self.start is not None else 0
            done = dataclasses.replace(manifest, training_step=before + result.num_steps)
            with storing(f"adapter {self.job.out}"):
                write_adapter(Path(self.job.out), self.pipeline, done)
        self.engine.wait()
