"""How much better one row is than another, scene by scene."""

from __future__ import annotations

import dataclasses

import numpy as np

from training.results_table import ResultRow
from training.scene_hits import SAME_DIGITS, draw_means, scene_hits

__all__ = ["Difference", "compare"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Target contact of a row less that of another.

    Args:
        value: Mean over the scenes that both have verdicts of, -1..1.
        interval: 95 % by bootstrap over these scenes, paired; seeds are taken as they are, so it
            says nothing about other seeds than these.
        num_scenes: How many scenes.
    """

    value: float
    interval: tuple[float, float]
    num_scenes: int

    def to_json(self) -> dict[str, object]:
        """Give JSON values.

        Returns:
            The fields.
        """
        return dataclasses.asdict(self)


def compare(row: ResultRow, other: ResultRow) -> Difference | None:
    """Compare two rows at the steps that they stand at.

    Args:
        row: Of the same scenes as
        other: The row that it is compared with.

    Returns:
        The difference; None of a row with itself, or if verdicts of single scenes are missing.
    """
    pair = [
        # Of the seeds that the table's rates are of: others were measured on fewer scenes here.
        [
            seed[each.step]
            for seed in each.verdicts.values()
            if len(seed.get(each.step, "")) == each.num_scenes
        ]
        for each in (row, other)
    ]
    if row.name == other.name or not all(pair):
        return None
    num_scenes = min(len(letters) for seeds in pair for letters in seeds)
    hits_RN = np.stack([scene_hits([letters[:num_scenes] for letters in seeds]) for seeds in pair])
    value = float(np.subtract(*hits_RN.mean(1)))
    draws_K = np.subtract(*draw_means(hits_RN).T).round(SAME_DIGITS)
    low, high = np.percentile(draws_K, [2.5, 97.5])
    return Difference(
        value=round(value, SAME_DIGITS),
        interval=(round(float(low), 4), round(float(high), 4)),
        num_scenes=num_scenes,
    )
