"""What things are made of in the harder world: kinds, their parts, and clutter."""

from __future__ import annotations

import dataclasses

__all__ = [
    "CLUTTER_COLORS",
    "CLUTTER_KINDS",
    "HARDER_KINDS",
    "MAX_PARTS",
    "PARTS",
    "UNSEEN_KINDS",
    "Part",
    "half_height_m",
    "half_width_m",
]


@dataclasses.dataclass(frozen=True)
class Part:
    """One primitive of a thing.

    Args:
        shape: MuJoCo's name of the geom type.
        size_m: MuJoCo's size of that type, (3,), metres; what a type does not need is 0.
        offset_m: Its centre from the thing's centre, (3,), metres.
        shade: Factor on the thing's colour.
    """

    shape: str
    size_m: tuple[float, float, float]
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shade: float = 1.0

    @property
    def half_extent_m(self) -> tuple[float, float, float]:
        """Half of the box around it, (3,), metres."""
        radius, second, _ = self.size_m
        return {
            "sphere": (radius, radius, radius),
            "cylinder": (radius, radius, second),
        }.get(self.shape, self.size_m)


MAX_PARTS = 3

# The first five are the easy world's.
PARTS: dict[str, tuple[Part, ...]] = {
    "box": (Part("box", (0.055, 0.055, 0.055)),),
    "can": (Part("cylinder", (0.048, 0.065, 0.0)),),
    "ball": (Part("sphere", (0.062, 0.0, 0.0)),),
    "mug": (
        Part("cylinder", (0.052, 0.058, 0.0)),
        Part("box", (0.022, 0.008, 0.034), (0.066, 0.0, 0.0)),
    ),
    "bottle": (
        Part("cylinder", (0.042, 0.055, 0.0), (0.0, 0.0, -0.03)),
        Part("cylinder", (0.018, 0.03, 0.0), (0.0, 0.0, 0.055)),
    ),
    "bowl": (
        Part("ellipsoid", (0.062, 0.062, 0.04)),
        Part("cylinder", (0.072, 0.012, 0.0), (0.0, 0.0, 0.028)),
    ),
    "book": (
        Part("box", (0.072, 0.052, 0.008), (0.0, 0.0, -0.016)),
        Part("box", (0.072, 0.052, 0.016), (0.0, 0.0, 0.008), 0.75),
    ),
    "jar": (
        Part("cylinder", (0.05, 0.045, 0.0), (0.0, 0.0, -0.012)),
        Part("cylinder", (0.054, 0.012, 0.0), (0.0, 0.0, 0.045), 0.6),
    ),
    "vase": (
        Part("ellipsoid", (0.052, 0.052, 0.055), (0.0, 0.0, -0.03)),
        Part("cylinder", (0.02, 0.045, 0.0), (0.0, 0.0, 0.04)),
    ),
    "lamp": (
        Part("cylinder", (0.046, 0.01, 0.0), (0.0, 0.0, -0.075)),
        Part("cylinder", (0.012, 0.05, 0.0), (0.0, 0.0, -0.015)),
        Part("ellipsoid", (0.056, 0.056, 0.042), (0.0, 0.0, 0.043)),
    ),
    "dumbbell": (
        Part("sphere", (0.04, 0.0, 0.0), (-0.055, 0.0, 0.0)),
        Part("sphere", (0.04, 0.0, 0.0), (0.055, 0.0, 0.0)),
        Part("box", (0.03, 0.014, 0.014)),
    ),
    "plate": (Part("cylinder", (0.075, 0.006, 0.0)),),
    "pen": (Part("box", (0.06, 0.007, 0.006)),),
    "card": (Part("box", (0.042, 0.03, 0.003)),),
    "block": (Part("box", (0.02, 0.02, 0.02)),),
    "carton": (Part("box", (0.036, 0.016, 0.05)), Part("box", (0.038, 0.018, 0.008))),
}
HARDER_KINDS = ("box", "can", "ball", "mug", "bottle", "bowl", "book", "jar")
# Never drawn for training: kinds that a model meets only when it is evaluated.
UNSEEN_KINDS = ("vase", "lamp", "dumbbell")
# Never a target; the carton stands in front of one.
CLUTTER_KINDS = ("plate", "pen", "card", "block")
CLUTTER_COLORS = (
    (0.78, 0.74, 0.66),
    (0.55, 0.58, 0.60),
    (0.88, 0.84, 0.80),
    (0.45, 0.40, 0.36),
    (0.66, 0.56, 0.62),
)


def half_height_m(kind: str) -> float:
    """Give the height of a kind's centre above the table it stands on.

    Args:
        kind: A key of `PARTS`.

    Returns:
        Metres, at scale 1.
    """
    height_m = max(part.half_extent_m[2] - part.offset_m[2] for part in PARTS[kind])
    # To the micrometre: sums of decimals must not depend on how they were added.
    return round(height_m, 6)


def half_width_m(kind: str) -> float:
    """Give half of a kind's width along its own x.

    Args:
        kind: A key of `PARTS`.

    Returns:
        Metres, at scale 1.
    """
    return max(part.half_extent_m[0] + abs(part.offset_m[0]) for part in PARTS[kind])
