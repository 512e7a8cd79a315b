"""Rollouts during a run: what the adapter imagines by now, and which object is touched.

The pictures go into `<run>/validation/step_NNNNNNN`, one mp4 per clip with the attention of the
target token beside it; rates of clips whose truth tells the objects go into
`<run>/validation.jsonl`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import CanceledError
from tavid_core.model_card import read_model_card
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.planner_sampler import RolloutSampler
from tavid_core.progress import ProgressReporter
from tavid_core.types import Rollout
from tavid_core.video import encode_mp4
from tavid_core.visualize import draw_overlay
from training.clips import ClipRecord, has_instances, read_instances, read_records
from training.device import half_precision
from training.finetune_job import FinetuneJob
from training.measure import make_request
from training.referee import Tally, judge
from training.sharding import reshard
from training.storage import storing
from training.texts import TrainedTokens
from training.trainer import StepReport, apply_weights

__all__ = ["Validation", "read_last_rates"]

RATES_FILE = "validation.jsonl"
# Written into a step's folder when all of it is there.
DONE_FILE = "done.json"


class Validation:
    """Imagines the first validation clips with the averaged weights.

    Every process of a run does the same, so that sharded models work too; one writes.

    Args:
        job: Which clips, how often, where to.
        pipeline: The model that is trained.
        manifest: Of the adapter to be.
        modules: That are trained, by the names of the loop.
        use_autocast: Whether frozen weights are in half precision and trained ones are not.
        is_writer: Whether this process writes.
    """

    def __init__(
        self,
        job: FinetuneJob,
        pipeline: TargetAwarePipeline,
        manifest: AdapterManifest,
        modules: Mapping[str, nn.Module],
        *,
        use_autocast: bool = False,
        is_writer: bool = True,
    ) -> None:
        self._use_autocast = use_autocast
        self._device = pipeline.transformer.device
        self._job, self._modules, self._is_writer = job, modules, is_writer
        frames = pipeline.transformer.config.sample_frames
        card = read_model_card(job.base, default_num_frames=frames)
        self._sampler = RolloutSampler(pipeline, manifest, card)
        self._records = read_records(job.validation_clips)[: job.num_validations]
        if is_writer and not any(self._can_judge(record) for record in self._records):
            told = "no validation clip says which object is which: rollouts are not judged"
            print(told, file=sys.stderr)

    def is_due(self, step: int, num_steps: int) -> bool:
        """Say whether a step is followed by a validation.

        Args:
            step: Steps done.
            num_steps: Of the run.

        Returns:
            True after every so many steps, and at the end, unless a run that was interrupted later
            has done it.
        """
        is_place = step % self._job.validate_every == 0 or step == num_steps
        return is_place and not (self._folder(step) / DONE_FILE).is_file()

    def run(self, report: StepReport) -> dict[str, object]:
        """Imagine, write and judge.

        Args:
            report: Of the step; its weights are used and then taken out again.

        Returns:
            Rates over the clips whose truth tells the objects; empty if there are none, or the run
            is to stop.

        Raises:
            StorageError: If the disk is full.
        """
        folder = self._folder(report.step)
        if self._is_writer:
            with storing(f"rollouts {folder}"):
                folder.mkdir(parents=True, exist_ok=True)
        half = half_precision(self._device, enabled=self._use_autocast)
        with _Swapped(self._modules, report.weights), half:
            try:
                rates = self._imagine_all(folder, report.should_stop)
            except CanceledError:
                return {}
        if self._is_writer:
            if rates:
                _append(self._job.run_folder / RATES_FILE, {"step": report.step, **rates})
            with storing(f"rollouts {folder}"):
                (folder / DONE_FILE).write_text(json.dumps(rates) + "\n", encoding="utf-8")
        return rates

    def _folder(self, step: int) -> Path:
        return self._job.run_folder / "validation" / f"step_{step:07d}"

    def _can_judge(self, record: ClipRecord) -> bool:
        return has_instances(self._job.validation_clips, record)

    def _imagine_all(self, folder: Path, should_stop: Callable[[], bool]) -> dict[str, object]:
        tally, num_judged = Tally(), 0
        clips, num_slots = self._job.validation_clips, self._sampler.pipeline.num_mask_slots
        bar = tqdm(self._records, "validate", unit="clip", leave=False, disable=not self._is_writer)
        for index, record in enumerate(bar):
            request = dataclasses.replace(
                make_request(clips, record, index, num_slots),
                num_inference_steps=self._job.validation_steps,
            )
            rollout = self._sampler.sample(request, ProgressReporter(None, should_stop))
            if self._is_writer:
                video = encode_mp4(_beside_attention(rollout, request.image, request.target_mask))
                with storing(f"rollouts {folder}"):
                    (folder / f"{index:03d}.mp4").write_bytes(video)
            if self._can_judge(record):
                tally.add(self._judge(record, rollout))
                num_judged += 1
        return tally.summary() if num_judged else {}

    def _judge(self, record: ClipRecord, rollout: Rollout) -> str:
        from tavid_core.lifting.detector import HeatmapDetector

        masks, target = read_instances(self._job.validation_clips, record)
        return judge(rollout.frames, masks, target, HeatmapDetector.from_pretrained())


def read_last_rates(run_folder: Path) -> dict[str, object]:
    """Read the rates of the last validation of a run.

    Args:
        run_folder: Of the run.

    Returns:
        With their step; empty if there was none.
    """
    path = run_folder / RATES_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in reversed(lines):
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            # The line that a run was writing when the disk was full.
            continue
    return {}


def _append(path: Path, rates: Mapping[str, object]) -> None:
    with storing(str(path)):
        is_torn = path.is_file() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * is_torn + json.dumps(dict(rates)) + "\n")


class _Swapped:
    """Has the averaged weights in the modules while entered."""

    def __init__(
        self, modules: Mapping[str, nn.Module], weights: Mapping[str, torch.Tensor]
    ) -> None:
        self._modules, self._weights = modules, weights
        self._own = {
            f"{name}.{key}": parameter.detach().clone()
            for name, module in modules.items()
            for key, parameter in module.named_parameters()
            if f"{name}.{key}" in weights
        }

    def __enter__(self) -> None:
        apply_weights(self._modules, self._weights)
        for module in self._modules.values():
            if isinstance(module, TrainedTokens):
                module.write_back()

    def __exit__(self, *_: object) -> None:
        for module in self._modules.values():
            reshard(module)
        apply_weights(self._modules, self._own)


def _beside_attention(
    rollout: Rollout, image: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> Rollout:
    overlay = draw_overlay(image, mask, rollout.attention_map)
    beside = [np.concatenate([frame, overlay], axis=1) for frame in rollout.frames]
    return Rollout(frames=np.stack(beside), fps=rollout.fps)
