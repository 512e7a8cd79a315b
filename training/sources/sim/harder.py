"""The harder world: small targets, more look-alikes, clutter, vague captions, persons and arms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tavid_core.errors import ConfigError
from training.sources.sim.parts import (
    CLUTTER_COLORS,
    CLUTTER_KINDS,
    HARDER_KINDS,
    UNSEEN_KINDS,
    half_height_m,
    half_width_m,
)
from training.sources.sim.scene import (
    COLORS,
    HAIRS,
    SHIRTS,
    SKINS,
    TABLES,
    VERBS,
    WALLS,
    ClutterItem,
    Scene,
    SceneObject,
    pick_color,
)

__all__ = ["ACTORS", "CAMERAS", "MIN_SHARE", "HarderOptions", "sample_harder_scene"]

ACTORS = ("person", "arm")
# Height of the camera above the table, metres: "usual" is what models are trained on.
CAMERAS = {"usual": (0.70, 0.80), "low": (0.46, 0.54), "high": (0.98, 1.08)}
# Of the picture: smaller or more hidden targets are drawn again.
MIN_SHARE = 0.003
ARM_SHELLS = ((0.90, 0.90, 0.92), (0.95, 0.55, 0.12), (0.30, 0.33, 0.38), (0.20, 0.42, 0.70))
ARM_JOINTS = ((0.16, 0.17, 0.19), (0.55, 0.57, 0.60))

LOOK_ALIKE_SHARE = 0.8
HIDDEN_SHARE = 0.3
REST_HAND_M = (0.27, 0.155)
# How often a caption names kind and colour, the kind alone, nothing, or what is not there.
CAPTION_SHARES = (0.55, 0.2, 0.15, 0.1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarderOptions:
    """What may differ between scenes of the harder world.

    Args:
        num_objects: 3 to 6, or None to draw it.
        look_alike: Whether all objects share kind, colour and size, or None to draw it.
        actor: One of `ACTORS`, or None to draw it.
        camera: One of `CAMERAS`.
        unseen_kinds: Whether the objects are of kinds that training never shows.

    Raises:
        ConfigError: If a value is unknown.
    """

    num_objects: int | None = None
    look_alike: bool | None = None
    actor: str | None = None
    camera: str = "usual"
    unseen_kinds: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.num_objects is not None and not 3 <= self.num_objects <= 6:
            raise ConfigError(
                f"num_objects must be in 3..6 in world 1, got {self.num_objects}. World 0 has 2 "
                "to 4."
            )
        if self.actor is not None and self.actor not in ACTORS:
            raise ConfigError(f"actor must be one of {ACTORS}, got {self.actor!r}. Correct it.")
        if self.camera not in CAMERAS:
            raise ConfigError(
                f"camera must be one of {tuple(CAMERAS)}, got {self.camera!r}. Correct it."
            )


def sample_harder_scene(seed: int, options: HarderOptions, attempt: int = 0) -> Scene:
    """Draw one scene; the same arguments give the same scene on every machine.

    Args:
        seed: Non-negative integer; train, validation and held-out use disjoint ranges.
        options: What is fixed.
        attempt: Counts up where the scene turned out unusable once drawn.

    Returns:
        The scene.
    """
    rng = np.random.default_rng([20251126, 1, seed, attempt])
    num_objects = int(rng.integers(3, 7))
    num_objects = options.num_objects or num_objects
    look_alike = bool(rng.random() < LOOK_ALIKE_SHARE)
    look_alike = look_alike if options.look_alike is None else options.look_alike
    actor = ACTORS[int(rng.random() < 0.5)]
    actor = options.actor or actor
    looks = _sample_looks(rng, num_objects, look_alike, options.unseen_kinds)
    places = _sample_places(rng, [scale for _, _, scale in looks])
    objects = tuple(
        SceneObject(
            kind=kind,
            color=color,
            position_m=(x, y, scale * half_height_m(kind)),
            yaw_rad=float(rng.uniform(-0.5, 0.5)),
            scale=scale,
        )
        for (kind, color, scale), (x, y) in zip(looks, places, strict=True)
    )
    target_index = int(rng.integers(num_objects))
    is_arm = actor == "arm"
    return Scene(
        seed=seed,
        objects=objects,
        target_index=target_index,
        caption=_caption(rng, objects, target_index, actor),
        table_rgb=pick_color(rng, TABLES),
        wall_rgb=pick_color(rng, WALLS),
        shirt_rgb=pick_color(rng, ARM_SHELLS if is_arm else SHIRTS),
        skin_rgb=pick_color(rng, ARM_JOINTS if is_arm else SKINS),
        hair_rgb=pick_color(rng, HAIRS),
        camera_azimuth_rad=float(rng.uniform(-0.10, 0.10)),
        camera_height_m=float(rng.uniform(*CAMERAS[options.camera])),
        camera_fov_y_rad=math.radians(float(rng.uniform(38.0, 40.0))),
        light=float(rng.uniform(0.75, 1.0)),
        start_frame=int(rng.integers(1, 3)),
        contact_frame=int(rng.integers(8, 10)),
        lift_height_m=float(rng.uniform(0.14, 0.20)),
        clutter=_sample_clutter(rng, objects, target_index),
        actor=actor,
        arm_base_x_m=float(rng.uniform(-0.06, 0.06)),
    )


def _sample_looks(
    rng: np.random.Generator, num_objects: int, look_alike: bool, unseen: bool
) -> list[tuple[str, str, float]]:
    kinds, names = (UNSEEN_KINDS if unseen else HARDER_KINDS), list(COLORS)
    # Six large things neither fit on the table nor leave room for a hand.
    largest = {3: 1.05, 4: 0.95, 5: 0.85, 6: 0.78}[num_objects]
    if look_alike:
        look = (str(rng.choice(kinds)), str(rng.choice(names)), float(rng.uniform(0.5, largest)))
        return [look] * num_objects
    colors = rng.permutation(names)[:num_objects]
    return [
        (str(rng.choice(kinds)), str(color), float(rng.uniform(0.5, largest))) for color in colors
    ]


def _sample_places(rng: np.random.Generator, scales: list[float]) -> list[tuple[float, float]]:
    """Draw places that do not overlap on the table and are clear of resting hands."""
    apart_m = [0.045 + 0.062 * scale for scale in scales]
    while True:
        places: list[tuple[float, float]] = []
        for _ in range(300):
            x, y = rng.uniform(-0.43, 0.43), rng.uniform(-0.22, 0.04)
            here = apart_m[len(places)]
            clear = all(
                math.hypot(x - px, 0.8 * (y - py)) > here + there
                for (px, py), there in zip(places, apart_m, strict=False)
            )
            hand = math.hypot(abs(x) - REST_HAND_M[0], y - REST_HAND_M[1])
            if clear and hand > 0.09 + here:
                places.append((float(x), float(y)))
            if len(places) == len(scales):
                return places


def _sample_clutter(
    rng: np.random.Generator, objects: tuple[SceneObject, ...], target_index: int
) -> tuple[ClutterItem, ...]:
    """Draw things that lie between the objects, and perhaps one that half hides the target."""
    items = []
    if rng.random() < HIDDEN_SHARE:
        items.append(_sample_screen(rng, objects[target_index]))
    taken = [(o.position_m[:2], o.scale * half_width_m(o.kind)) for o in objects]
    for _ in range(40):
        kind, scale = str(rng.choice(CLUTTER_KINDS)), float(rng.uniform(0.7, 1.1))
        x, y = float(rng.uniform(-0.52, 0.52)), float(rng.uniform(-0.27, 0.10))
        radius = scale * half_width_m(kind)
        if all(math.hypot(x - p[0], y - p[1]) > radius + r + 0.004 for p, r in taken):
            taken.append(((x, y), radius))
            items.append(
                ClutterItem(
                    kind=kind,
                    rgb=pick_color(rng, CLUTTER_COLORS),
                    position_m=(x, y, scale * half_height_m(kind)),
                    yaw_rad=float(rng.uniform(-1.5, 1.5)),
                    scale=scale,
                )
            )
        if len(items) >= 6:
            break
    return tuple(items[: int(rng.integers(1, 7))])


def _sample_screen(rng: np.random.Generator, target: SceneObject) -> ClutterItem:
    """Put a carton between camera and target, lower than it and to one side."""
    width = target.scale * half_width_m(target.kind)
    scale = float(np.clip(rng.uniform(0.7, 0.95) * target.half_height_m / 0.05, 0.4, 1.3))
    x = target.position_m[0] + float(rng.choice((-1.0, 1.0)) * rng.uniform(0.2, 0.8)) * width
    y = target.position_m[1] - width - scale * 0.03
    return ClutterItem(
        kind="carton",
        rgb=pick_color(rng, CLUTTER_COLORS),
        position_m=(x, y, scale * half_height_m("carton")),
        yaw_rad=float(rng.uniform(-0.3, 0.3)),
        scale=scale,
    )


def _caption(
    rng: np.random.Generator, objects: tuple[SceneObject, ...], target_index: int, actor: str
) -> str:
    target = objects[target_index]
    who = "A robot arm" if actor == "arm" else "A person"
    verb = rng.choice(VERBS)
    others = sorted(set(COLORS) - {item.color for item in objects})
    what = (
        f"the {target.color} {target.kind}",
        f"the {target.kind}",
        "an object",
        f"the {rng.choice(others)} {target.kind}",
    )[int(rng.choice(4, p=CAPTION_SHARES))]
    return f"{who} {verb} {what}."
