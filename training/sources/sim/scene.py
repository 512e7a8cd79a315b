"""What stands on the table: a scene sampled from one integer seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from training.sources.sim.parts import half_height_m

__all__ = ["COLORS", "KINDS", "ClutterItem", "Scene", "SceneObject", "pick_color", "sample_scene"]

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.10, 0.10),
    "green": (0.10, 0.65, 0.20),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.95, 0.85, 0.10),
    "purple": (0.50, 0.12, 0.65),
    "cyan": (0.10, 0.75, 0.80),
    "white": (0.95, 0.95, 0.95),
    "black": (0.08, 0.08, 0.08),
}
KINDS = ("box", "can", "ball", "mug", "bottle")

TABLES = ((0.55, 0.38, 0.24), (0.72, 0.60, 0.45), (0.42, 0.44, 0.47), (0.35, 0.26, 0.20))
WALLS = ((0.80, 0.82, 0.85), (0.70, 0.76, 0.72), (0.86, 0.80, 0.72), (0.62, 0.66, 0.74))
SHIRTS = (
    (0.20, 0.30, 0.50),
    (0.45, 0.16, 0.18),
    (0.16, 0.38, 0.28),
    (0.30, 0.30, 0.32),
    (0.62, 0.50, 0.30),
    (0.42, 0.36, 0.58),
)
SKINS = ((0.95, 0.76, 0.64), (0.87, 0.64, 0.49), (0.68, 0.46, 0.33), (0.45, 0.29, 0.20))
HAIRS = ((0.12, 0.09, 0.07), (0.35, 0.22, 0.12), (0.62, 0.48, 0.28), (0.45, 0.44, 0.43))

VERBS = ("picks up", "lifts", "grabs", "reaches for")

MIN_DISTANCE_M = 0.205
MIN_HAND_DISTANCE_M = 0.185


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One object at rest.

    Args:
        kind: One of `KINDS`, or another one of the harder world (`parts.PARTS`).
        color: One of `COLORS`.
        position_m: Centre in the world frame, (3,), metres.
        yaw_rad: Rotation about the world's z, radians.
        scale: Factor on the kind's size.
    """

    kind: str
    color: str
    position_m: tuple[float, float, float]
    yaw_rad: float
    scale: float = 1.0

    @property
    def half_height_m(self) -> float:
        """Height of the centre above the table, metres."""
        return self.scale * half_height_m(self.kind)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClutterItem:
    """One thing on the table that nobody ever takes.

    Args:
        kind: A key of `parts.PARTS`.
        rgb: Its colour, 0..1; none that a caption names.
        position_m: Centre in the world frame, (3,), metres.
        yaw_rad: Rotation about the world's z, radians.
        scale: Factor on the kind's size.
    """

    kind: str
    rgb: tuple[float, float, float]
    position_m: tuple[float, float, float]
    yaw_rad: float
    scale: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """All that a clip is made of.

    Args:
        seed: What it was sampled from.
        objects: Two to four objects, up to six in the harder world.
        target_index: Which of them is picked up.
        caption: A sentence that fits; with look-alikes it fits several objects.
        table_rgb: Colour of the table, 0..1; likewise the other colours.
        camera_azimuth_rad: Turn of the camera about the table's centre.
        camera_height_m: Height of the camera above the table.
        camera_fov_y_rad: Vertical field of view.
        light: Brightness of the lamp, 0..1.
        start_frame: When the hand leaves its rest.
        contact_frame: First frame in which the hand holds the target.
        lift_height_m: How far the target is lifted.
        has_actor: False draws the room without a person (for detector negatives).
        lift_yaw_rad: How far the target is turned about the world's z while it is lifted.
        clutter: What else lies about.
        actor: "person" or "arm"; the arm has the shirt's and the skin's colours.
        arm_base_x_m: Where an arm is mounted, along the world's x.
    """

    seed: int
    objects: tuple[SceneObject, ...]
    target_index: int
    caption: str
    table_rgb: tuple[float, float, float]
    wall_rgb: tuple[float, float, float]
    shirt_rgb: tuple[float, float, float]
    skin_rgb: tuple[float, float, float]
    hair_rgb: tuple[float, float, float]
    camera_azimuth_rad: float
    camera_height_m: float
    camera_fov_y_rad: float
    light: float
    start_frame: int
    contact_frame: int
    lift_height_m: float
    has_actor: bool = True
    lift_yaw_rad: float = 0.0
    clutter: tuple[ClutterItem, ...] = ()
    actor: str = "person"
    arm_base_x_m: float = 0.0

    @property
    def has_look_alikes(self) -> bool:
        """Whether another object shares the target's kind and colour."""
        target = self.objects[self.target_index]
        twins = [o for o in self.objects if (o.kind, o.color) == (target.kind, target.color)]
        return len(twins) > 1


def _sample_positions(rng: np.random.Generator, num_objects: int) -> list[tuple[float, float]]:
    """Draw places that neither overlap on the table nor hide one another from the camera."""
    while True:
        places: list[tuple[float, float]] = []
        for _ in range(200):
            x, y = rng.uniform(-0.42, 0.42), rng.uniform(-0.19, 0.02)
            clear = all(math.hypot(x - px, 0.8 * (y - py)) > MIN_DISTANCE_M for px, py in places)
            # The first frame must show nobody touching: stay away from the resting hands.
            clear = clear and math.hypot(abs(x) - 0.27, y - 0.155) > MIN_HAND_DISTANCE_M
            if clear:
                places.append((float(x), float(y)))
            if len(places) == num_objects:
                return places


def _sample_looks(
    rng: np.random.Generator, num_objects: int, look_alike: bool
) -> list[tuple[str, str]]:
    names = list(COLORS)
    if look_alike:
        kind, color = str(rng.choice(KINDS)), str(rng.choice(names))
        return [(kind, color)] * num_objects
    colors = rng.permutation(names)[:num_objects]
    return [(str(rng.choice(KINDS)), str(color)) for color in colors]


def pick_color(rng: np.random.Generator, palette: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Draw a colour near one of a palette.

    Args:
        rng: Source of the choice.
        palette: Colours, 0..1.

    Returns:
        The colour, (3,), 0..1.
    """
    base = np.array(palette[int(rng.integers(len(palette)))])
    return tuple(float(c) for c in np.clip(base + rng.normal(0.0, 0.02, 3), 0.0, 1.0))


def sample_scene(
    seed: int,
    *,
    num_objects: int | None = None,
    look_alike: bool | None = None,
    has_actor: bool = True,
) -> Scene:
    """Draw one scene; the same seed and options give the same scene on every machine.

    Args:
        seed: Non-negative integer; train, validation and held-out use disjoint ranges.
        num_objects: 2 to 4, or None to draw it.
        look_alike: Whether all objects share kind and colour, or None to draw it (70 % do).
        has_actor: Whether a person sits at the table.

    Returns:
        The scene.
    """
    rng = np.random.default_rng([20251122, seed])
    drawn_count, drawn_twins = int(rng.integers(2, 5)), bool(rng.random() < 0.7)
    num_objects = drawn_count if num_objects is None else num_objects
    look_alike = drawn_twins if look_alike is None else look_alike
    looks = _sample_looks(rng, num_objects, look_alike)
    objects = tuple(
        SceneObject(
            kind=kind,
            color=color,
            position_m=(x, y, half_height_m(kind)),
            yaw_rad=float(rng.uniform(-0.5, 0.5)),
        )
        for (kind, color), (x, y) in zip(looks, _sample_positions(rng, num_objects), strict=True)
    )
    target_index = int(rng.integers(num_objects))
    target = objects[target_index]
    return Scene(
        seed=seed,
        objects=objects,
        target_index=target_index,
        caption=f"A person {rng.choice(VERBS)} the {target.color} {target.kind}.",
        table_rgb=pick_color(rng, TABLES),
        wall_rgb=pick_color(rng, WALLS),
        shirt_rgb=pick_color(rng, SHIRTS),
        skin_rgb=pick_color(rng, SKINS),
        hair_rgb=pick_color(rng, HAIRS),
        camera_azimuth_rad=float(rng.uniform(-0.10, 0.10)),
        camera_height_m=float(rng.uniform(0.70, 0.78)),
        camera_fov_y_rad=math.radians(float(rng.uniform(38.0, 40.0))),
        light=float(rng.uniform(0.75, 1.0)),
        start_frame=int(rng.integers(1, 3)),
        contact_frame=int(rng.integers(8, 10)),
        lift_height_m=float(rng.uniform(0.14, 0.20)),
        has_actor=has_actor,
    )
