"""Which points of the actor belong together, for whoever draws them."""

from __future__ import annotations

__all__ = ["LIMBS"]

# Pairs of track names; a limb is drawn where both of its ends are known.
LIMBS = (
    ("head", "left_shoulder"),
    ("head", "right_shoulder"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_hand"),
    ("right_elbow", "right_hand"),
)
