"""Verdicts by how large the target is in the picture: small ones fail first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from training.referee import Tally

__all__ = ["SIZE_EDGES", "tally_by_size"]

# Shares of the picture, each about twice the one before.
SIZE_EDGES = (0.0, 0.005, 0.01, 0.02, 0.05, 1.0)


def tally_by_size(shares: Sequence[float], verdicts: Sequence[str]) -> list[dict[str, object]]:
    """Count verdicts for each size of targets.

    Args:
        shares: Per scene, the share of the picture that the exact mask covers, 0..1.
        verdicts: Per scene, what `judge` returned.

    Returns:
        From small to large, sizes that occur only: "target_share" (from, to) and the fields of
        `Tally.summary`. A target on an edge counts to the larger size.
    """
    found = []
    for low, high in itertools.pairwise(SIZE_EDGES):
        tally = Tally()
        here = [
            verdict
            for share, verdict in zip(shares, verdicts, strict=True)
            if low <= share < high or share == high == SIZE_EDGES[-1]
        ]
        for verdict in here:
            tally.add(verdict)
        if here:
            found.append({"target_share": [low, high], **tally.summary()})
    return found
