"""What one model does on one set of held-out scenes: contact rates, attention and quality.

Shapes: H x W pixels, h x w video tokens of a latent frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.errors import InputError
from tavid_core.lifting.keypoints import KeypointDetector
from tavid_core.mask import mask_to_grid
from tavid_core.planner_sampler import RolloutSampler
from tavid_core.types import PlanRequest
from training.clips import ClipRecord, read_frames, read_instances, read_records, read_slot_masks
from training.quality import QUALITY_NAMES, measure_quality
from training.referee import Tally, judge
from training.rollouts import BatchContext, Imagined, imagine_batches
from training.sloppy_masks import make_sloppy
from training.target_sizes import tally_by_size

__all__ = ["Measured", "RequestChange", "attention_iou", "measure", "spoil_target"]

RequestChange = Callable[[int, PlanRequest], PlanRequest]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Rates over scenes.

    Args:
        tally: The referee's verdicts.
        attention_iou: Mean overlap of the token's map and the exact mask, 0..1; None without a
            token.
        quality: Means by the names of `QUALITY_NAMES`.
        verdicts: First letters of the verdicts, scene by scene.
        by_target_size: What `tally_by_size` gives.
    """

    tally: Tally
    attention_iou: float | None
    quality: Mapping[str, float]
    verdicts: str = ""
    by_target_size: Sequence[Mapping[str, object]] = ()

    def to_json(self) -> dict[str, object]:
        """Give JSON values.

        Returns:
            Rates, intervals, number of scenes, overlap, "quality", "by_target_size".
        """
        iou = None if self.attention_iou is None else round(self.attention_iou, 4)
        quality = {name: round(value, 4) for name, value in self.quality.items()}
        return {
            **self.tally.summary(),
            "attention_iou": iou,
            "quality": quality,
            "by_target_size": [dict(size) for size in self.by_target_size],
        }


def measure(
    sampler: RolloutSampler,
    folder: Path,
    detector: KeypointDetector,
    *,
    num_scenes: int,
    title: str,
    batch_size: int = 4,
    around: BatchContext | None = None,
    change: RequestChange | None = None,
    rollouts_out: Path | None = None,
) -> Measured:
    """Imagine and judge held-out scenes.

    Args:
        sampler: Model and adapter.
        folder: Held-out clips with truth; the model sees frame 0, mask and caption only.
        detector: The referee's eyes.
        num_scenes: How many of them; the scene's number is the seed of its noise, so that all rows
            are given the same noise.
        title: Of the progress bar.
        batch_size: Scenes imagined at a time.
        around: See `imagine_batches`.
        change: Given the scene's number and what the model is to be asked, returns what it is
            asked instead: other steps, a worse mask.
        rollouts_out: npz to keep the frames and verdicts in, or None.

    Returns:
        The rates.

    Raises:
        InputError: If the folder holds fewer scenes, or a scene lacks the mask of a slot.
    """
    records = read_records(folder)[:num_scenes]
    if len(records) < num_scenes:
        raise InputError(
            f"num_scenes must be at most the folder's {len(records)}, got {num_scenes}. "
            "Draw more: python -m training.sources.sim --split held_out."
        )
    num_slots = sampler.pipeline.num_mask_slots
    requests = [
        make_request(folder, record, seed, num_slots) for seed, record in enumerate(records)
    ]
    if change is not None:
        requests = [change(index, request) for index, request in enumerate(requests)]
    imagined = imagine_batches(sampler, requests, batch_size=batch_size, around=around)
    bar = tqdm(imagined, desc=title, unit="scene", total=len(requests))
    seen, kept = [], []
    for record, clip in zip(records, bar, strict=True):
        seen.append(_look(folder, record, clip, detector))
        # Two hundred videos of a large model are too many to hold unasked.
        kept += [clip.frames] if rollouts_out is not None else []
    if rollouts_out is not None:
        verdicts = [scene.verdict for scene in seen]
        np.savez_compressed(rollouts_out, frames=np.stack(kept), verdicts=np.array(verdicts))
    return _sum_up(seen)


def _sum_up(seen: Sequence[_Scene]) -> Measured:
    tally = Tally()
    for scene in seen:
        tally.add(scene.verdict)
    overlaps = [scene.attention_iou for scene in seen if scene.attention_iou is not None]
    return Measured(
        tally=tally,
        attention_iou=float(np.mean(overlaps)) if overlaps else None,
        quality={n: float(np.mean([s.quality[n] for s in seen])) for n in QUALITY_NAMES},
        verdicts="".join(scene.verdict[0] for scene in seen),
        by_target_size=tally_by_size(
            [scene.target_share for scene in seen], [scene.verdict for scene in seen]
        ),
    )


@dataclasses.dataclass(frozen=True)
class _Scene:
    """What was seen of one scene."""

    verdict: str
    target_share: float
    attention_iou: float | None
    quality: Mapping[str, float]


def _look(folder: Path, record: ClipRecord, clip: Imagined, detector: KeypointDetector) -> _Scene:
    masks, target = read_instances(folder, record)
    has_map = clip.attention_map is not None
    return _Scene(
        verdict=judge(clip.frames, masks, target, detector),
        target_share=float(masks[target].mean()),
        attention_iou=attention_iou(clip.attention_map, masks[target]) if has_map else None,
        quality=measure_quality(clip.frames, read_frames(folder, record)),
    )


def spoil_target(index: int, request: PlanRequest) -> PlanRequest:
    """Show the target's mask as people give it.

    Args:
        index: Number of the scene, so that all rows are shown the same mask.
        request: With the exact mask.

    Returns:
        The request with a sloppy one.
    """
    return dataclasses.replace(request, target_mask=make_sloppy(request.target_mask, 0, index))


def make_request(folder: Path, record: ClipRecord, seed: int, num_slots: int) -> PlanRequest:
    """Ask for the interaction that a clip shows, from its first frame.

    Args:
        folder: Clip folder.
        record: Clip of it.
        seed: Of the noise.
        num_slots: Masks that the model takes: target, actor, further targets.

    Returns:
        The request, with the caption as the prompt.

    Raises:
        InputError: If the clip lacks the mask of a slot.
    """
    # The target's belongs to the request even where the model takes none.
    target, *others = read_slot_masks(folder, record, max(1, num_slots))
    actor, *extras = others or [None]
    return PlanRequest(
        image=read_frames(folder, record)[0],
        target_mask=target,
        actor_mask=actor,
        extra_masks=tuple(extras),
        prompt=record.text,
        seed=seed,
    )


def attention_iou(map_hw: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Overlap of the half-height region of a map with a mask.

    Args:
        map_hw: Of the target token, float32 (h, w).
        mask: bool (H, W).

    Returns:
        Intersection over union on the grid of tokens, 0..1.
    """
    low, high = float(map_hw.min()), float(map_hw.max())
    if high <= low:
        return 0.0
    region = (map_hw - low) / (high - low) >= 0.5
    grid = mask_to_grid(mask, map_hw.shape) >= 0.5
    union = int((region | grid).sum())
    return int((region & grid).sum()) / union if union else 0.0
