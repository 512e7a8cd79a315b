"""The referee that is not the model: which object is taken, from the frames alone.

An object that has left its place and is seen elsewhere at the end was taken, by a hand or by a
gripper that no detector knows. Where nothing was, a hand that stays at an object counts.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.lifting.contact import TOUCH_SCORE
from tavid_core.lifting.instances import rank_instances
from tavid_core.lifting.keypoints import KeypointDetector
from tavid_core.lifting.target import TargetTrack
from training.clips import read_frames, read_instances, read_records

__all__ = ["Tally", "check_referee", "judge", "wilson_interval"]

# By how much more the rest place looks like what is around it than like the object, -1..1. On
# real clips it is above 0.35 for what was taken and below 0 for everything else.
GONE_GAP = 0.3
LATE_FRAMES = 3
# Of a rest place that looks neither like the object nor like what is around it.
COVERED = 0.6
HIDDEN_SURENESS = 0.1


def wilson_interval(successes: float, total: int) -> tuple[float, float]:
    """Give the 95 % Wilson interval of a rate.

    Args:
        successes: 0 to total; a part of one where a scene has several seeds.
        total: 1 or more.

    Returns:
        Lower and upper bound, 0..1.
    """
    z, rate = 1.959964, successes / total
    center = rate + z * z / (2 * total)
    spread = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


@dataclasses.dataclass
class Tally:
    """Count the verdicts over scenes."""

    target_contact: int = 0
    wrong_target: int = 0
    no_contact: int = 0

    def add(self, verdict: str) -> None:
        """Count one verdict.

        Args:
            verdict: What `judge` returned.
        """
        setattr(self, verdict, getattr(self, verdict) + 1)

    def summary(self) -> dict[str, object]:
        """Give rates and intervals.

        Returns:
            Per verdict its rate, per verdict "<name>_interval", and "num_scenes".
        """
        counts = dataclasses.asdict(self)
        total = sum(counts.values())
        row: dict[str, object] = {"num_scenes": total}
        for name, count in counts.items():
            low, high = wilson_interval(count, total)
            row[name] = round(count / total, 4)
            row[f"{name}_interval"] = [round(low, 4), round(high, 4)]
        return row


def judge(
    frames: NDArray[np.uint8],
    instance_masks: NDArray[np.bool_],
    target_index: int,
    detector: KeypointDetector,
) -> str:
    """Decide what happened in a video.

    Args:
        frames: RGB, uint8 (T, H, W, 3); real or imagined.
        instance_masks: All objects in frame 0, bool (N, H, W).
        target_index: Which of them was meant.
        detector: Finds the hands.

    Returns:
        "target_contact", "wrong_target" or "no_contact".
    """
    touches = rank_instances(frames, detector(frames), list(instance_masks))
    gone = {touch.index: _carried_score(touch.track) for touch in touches}
    best = max(touches, key=lambda touch: (gone[touch.index], touch.score))
    if not gone[best.index] and best.score < TOUCH_SCORE:
        return "no_contact"
    return "target_contact" if best.index == target_index else "wrong_target"


def _carried_score(track: TargetTrack) -> float:
    """Say how surely an object is away from its place at the end, 0..1; 0 if it is not."""
    late = slice(-LATE_FRAMES, None)
    gap = float(np.median((track.rest_emptiness - track.rest_likeness)[late]))
    if gap < GONE_GAP:
        return 0.0
    if track.has_moved[-1]:
        return gap * float(track.confidence[late].mean())
    # Nowhere seen: inside a hand, if something came over its place before it was empty. An object
    # that fades away by itself was not taken.
    was_covered = bool(np.maximum(track.rest_likeness, track.rest_emptiness).min() < COVERED)
    return HIDDEN_SURENESS * gap * was_covered


def check_referee(
    folder: Path, detector: KeypointDetector, limit: int | None = None
) -> tuple[float, float | None]:
    """Check the referee on real clips, where the target is always touched, and on halted ones.

    A halted clip stands still from half way to the contact on: nothing is touched in it.

    Args:
        folder: Clip folder with ground truth.
        detector: Finds the hands.
        limit: Clips at most.

    Returns:
        The share of clips it judges rightly, and the share of halted ones in which it sees a touch;
        None where no clip says when its contact is.

    Raises:
        InputError: If the truth of a clip does not tell the objects.
    """
    records = read_records(folder)[:limit]
    right, false = [], []
    for record in tqdm(records, desc="referee on real clips", unit="clip"):
        frames, (masks, target) = read_frames(folder, record), read_instances(folder, record)
        right.append(judge(frames, masks, target, detector) == "target_contact")
        if record.contact_frame is not None:
            halted = np.minimum(np.arange(len(frames)), record.contact_frame // 2)
            false.append(judge(frames[halted], masks, target, detector) != "no_contact")
    return float(np.mean(right)), float(np.mean(false)) if false else None
