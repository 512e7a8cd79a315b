"""Draw scenes of the harder world."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.sources.sim.arm import gripper_opening_m, plan_arm_motion
from training.sources.sim.harder import MIN_SHARE, HarderOptions, sample_harder_scene
from training.sources.sim.harder_model import (
    ARM_BODIES,
    ARM_JOINT_GEOMS,
    MAX_CLUTTER,
    MAX_OBJECTS,
    build_harder_mjcf,
)
from training.sources.sim.model import ACTOR_BODIES
from training.sources.sim.motion import ActorMotion, plan_motion
from training.sources.sim.parts import MAX_PARTS, PARTS
from training.sources.sim.render import HIDDEN_M, IDENTITY, SceneRenderer, limb_quat, yaw_quat
from training.sources.sim.scene import COLORS, ClutterItem, Scene, SceneObject

__all__ = ["HarderRenderer"]

MIN_OTHER_SHARE = 0.7 * MIN_SHARE
MAX_ATTEMPTS = 50


class HarderRenderer(SceneRenderer):
    """Draw many scenes of the harder world with one OpenGL context.

    Args:
        width: Pixels.
        height: Pixels.

    Raises:
        MissingExtraError: If MuJoCo is not installed.
    """

    def __init__(self, width: int = 96, height: int = 64) -> None:
        super().__init__(width, height)

    def usable_scene(self, seed: int, options: HarderOptions) -> Scene:
        """Draw scenes of a seed until the target is large enough and nothing is hidden.

        Args:
            seed: Of the scene.
            options: What is fixed.

        Returns:
            The scene; the same arguments give the same one on every machine.

        Raises:
            AssertionError: If no attempt is usable, which has not been seen.
        """
        for attempt in range(MAX_ATTEMPTS):
            scene = sample_harder_scene(seed, options, attempt)
            shares = self.visible_shares(scene)
            is_large = shares[scene.target_index] >= MIN_SHARE
            if is_large and shares.min() >= MIN_OTHER_SHARE:
                return scene
        raise AssertionError(f"no usable scene in {MAX_ATTEMPTS} attempts of seed {seed}")

    def visible_shares(self, scene: Scene) -> NDArray[np.float64]:
        """Say how much of the first frame each object takes.

        Args:
            scene: What to draw.

        Returns:
            Share of the picture, float64 (N,).
        """
        motion = self._plan_motion(scene, scene.contact_frame + 2)
        self._paint(scene)
        self._place_camera(scene)
        self._pose(scene, motion, 0)
        owner = self._draw_owners()
        seen = [np.char.startswith(owner, f"object_{i}_") for i in range(len(scene.objects))]
        return np.array([mask.mean() for mask in seen])

    def _build_mjcf(self) -> str:
        return build_harder_mjcf()

    def _plan_motion(self, scene: Scene, num_frames: int) -> ActorMotion:
        is_arm = scene.actor == "arm"
        return plan_arm_motion(scene, num_frames) if is_arm else plan_motion(scene, num_frames)

    def _paint(self, scene: Scene) -> None:
        for slot in range(MAX_OBJECTS):
            item = scene.objects[slot] if slot < len(scene.objects) else None
            self._shape(f"object_{slot}", item, COLORS[item.color] if item else (0.0, 0.0, 0.0))
        for slot in range(MAX_CLUTTER):
            thing = scene.clutter[slot] if slot < len(scene.clutter) else None
            self._shape(f"clutter_{slot}", thing, thing.rgb if thing else (0.0, 0.0, 0.0))
        room = self._room_colors(scene)
        for geom, name in enumerate(self._geom_names):
            if not name.startswith(("object_", "clutter_")):
                self._model.geom_rgba[geom] = (*room.get(name, scene.skin_rgb), 1.0)
        self._model.light_diffuse[0] = 0.55 * scene.light

    def _room_colors(self, scene: Scene) -> dict[str, tuple[float, ...]]:
        colors = super()._room_colors(scene)
        arm = [name for name in self._geom_names if name.startswith("arm_")]
        return {
            **colors,
            **{n: scene.skin_rgb if n in ARM_JOINT_GEOMS else scene.shirt_rgb for n in arm},
        }

    def _shape(
        self, body: str, item: SceneObject | ClutterItem | None, rgb: tuple[float, ...]
    ) -> None:
        """Make a slot's parts those of a thing; parts that it does not have become invisible."""
        parts = PARTS[item.kind] if item else ()
        for index in range(MAX_PARTS):
            geom = self._model.geom(f"{body}_{index}").id
            if index >= len(parts):
                self._model.geom_rgba[geom] = 0.0
                continue
            part = parts[index]
            kind = getattr(self._mujoco.mjtGeom, f"mjGEOM_{part.shape.upper()}")
            self._model.geom_type[geom] = int(kind)
            self._model.geom_size[geom] = item.scale * np.array(part.size_m)
            self._model.geom_pos[geom] = item.scale * np.array(part.offset_m)
            self._model.geom_rbound[geom] = 2 * item.scale * max(part.half_extent_m)
            self._model.geom_rgba[geom] = (*(part.shade * np.array(rgb)), 1.0)

    def _pose(self, scene: Scene, motion: ActorMotion, t: int) -> None:
        self._pose_objects(scene, motion, t)
        self._hide(ACTOR_BODIES)
        self._hide(ARM_BODIES)
        if scene.has_actor and scene.actor == "arm":
            self._pose_arm(scene, motion, t)
        elif scene.has_actor:
            self._pose_person(motion, t)

    def _pose_objects(self, scene: Scene, motion: ActorMotion, t: int) -> None:
        for slot in range(MAX_OBJECTS):
            used = slot < len(scene.objects)
            position = motion.objects_world_m[t, slot] if used else HIDDEN_M
            self._put(
                f"object_{slot}",
                position,
                yaw_quat(motion.objects_yaw_rad[t, slot] if used else 0.0),
            )
        for slot in range(MAX_CLUTTER):
            used = slot < len(scene.clutter)
            item = scene.clutter[slot] if used else None
            position = np.array(item.position_m) if item else HIDDEN_M
            self._put(f"clutter_{slot}", position, yaw_quat(item.yaw_rad if item else 0.0))

    def _pose_arm(self, scene: Scene, motion: ActorMotion, t: int) -> None:
        joints = dict(zip(motion.joint_names, motion.joints_world_m[t], strict=True))
        self._put("arm_base", joints["base"], IDENTITY)
        for body, start, end in (
            ("arm_upper", "shoulder", "elbow"),
            ("arm_lower", "elbow", "wrist"),
        ):
            middle = (joints[start] + joints[end]) / 2
            self._put(body, middle, limb_quat(self._mujoco, joints[end] - joints[start]))
        self._put("arm_hand", joints["gripper"], IDENTITY)
        opening = gripper_opening_m(scene, t)
        for side, sign in ((0, -1.0), (1, 1.0)):
            offset = np.array([sign * opening, 0.0, 0.0])
            self._put(f"arm_finger_{side}", joints["gripper"] + offset, IDENTITY)
