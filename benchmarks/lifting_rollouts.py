"""What the lifting says about the planner's own videos, where nobody knows the true motion.

The scene that a video was imagined from is known: its objects, and which of them was marked. A
second opinion comes from the referee that compares all objects, of which the lifting sees one.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.lifting_clips import ClipSet, load_clip
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.motion import InteractionMotion
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from training.referee import judge

__all__ = ["measure_rollouts", "verdict_of"]


def verdict_of(motion: InteractionMotion) -> str:
    """Say in the referee's words what a motion says.

    Args:
        motion: Lifted.

    Returns:
        "target_contact", "wrong_target" or "no_contact".
    """
    if motion.contact.touches_target:
        return "target_contact"
    return "wrong_target" if motion.contact.touches_other else "no_contact"


def measure_rollouts(
    cache: Path, kind: ClipSet, indices: Sequence[int]
) -> dict[str, float | int | None]:
    """Plan from the first frames of clips and look at what was lifted.

    Args:
        cache: Where the clips are kept.
        kind: Which set; its pictures are what the planner sees.
        indices: Of the held-out scenes.

    Returns:
        Shares of the verdicts, agreement with the referee, and how sure the lifting is.
    """
    planner = InteractionPlanner.from_pretrained()
    detector = HeatmapDetector.from_pretrained()
    said: list[str] = []
    judged: list[str] = []
    starts: list[int] = []
    sure: list[float] = []
    for index in tqdm(indices, unit="plan", desc="planner's own videos"):
        clip = load_clip(cache, kind, index)
        request = PlanRequest(
            image=clip.frames[0],
            target_mask=clip.instance_masks[clip.scene.target_index],
            prompt=clip.scene.caption,
            depth_m=clip.depth_m,
            intrinsics=clip.intrinsics,
        )
        plan = planner.plan(request)
        fit = planner.sampler.frame_fit(request)
        masks = [fit.fit_mask(mask, may_be_cut=True) for mask in clip.instance_masks]
        verdict = judge(plan.rollout.frames, masks, clip.scene.target_index, detector)
        said.append(verdict_of(plan.motion))
        judged.append(verdict)
        sure.append(plan.motion.confidence["contact"])
        if plan.motion.contact.touches_target:
            starts.append(plan.motion.contact.start_frame)
    counts = Counter(said)
    agrees = [mine == other for mine, other in zip(said, judged, strict=True)]
    wrong = [
        mine == "target_contact" and other == "wrong_target"
        for mine, other in zip(said, judged, strict=True)
    ]
    return {
        **{name: counts[name] / len(said) for name in ("target_contact", "wrong_target")},
        "no_contact": counts["no_contact"] / len(said),
        "agreement_with_referee": sum(agrees) / len(agrees),
        "wrong_instance_rate": sum(wrong) / len(wrong),
        "contact_frame_median": statistics.median(starts) if starts else None,
        "contact_confidence_mean": round(statistics.fmean(sure), 4),
        "num_rollouts": len(said),
    }
