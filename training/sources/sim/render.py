"""Draw a scene and read its ground truth off the renderer."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import MissingExtraError
from tavid_core.types import CameraIntrinsics
from training.sources.sim.model import (
    ACTOR_BODIES,
    MAX_OBJECTS,
    TEXTURE_FILE,
    build_mjcf,
    object_body,
)
from training.sources.sim.motion import JOINT_NAMES, ActorMotion, plan_motion
from training.sources.sim.scene import COLORS, KINDS, Scene
from training.sources.sim.texture import MIN_PRINT_RGB, draw_print

__all__ = ["SceneRenderer", "SimClip", "limb_quat", "yaw_quat"]

LOOK_AT_M = np.array([0.0, 0.09, 0.13])
CAMERA_DISTANCE_M = 1.05  # on the table plane, from the point looked at
HIDDEN_M = np.array([0.0, 0.0, -20.0])
IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimClip:
    """One rendered clip with its truth.

    Args:
        scene: What was drawn.
        frames: RGB, uint8 (T, H, W, 3).
        instance_masks: Visible pixels of each object in frame 0, bool (N, H, W).
        actor_mask: Visible pixels of person or arm in frame 0, bool (H, W).
        depth_m: Depth of frame 0 along the optical axis, float32 (H, W), metres.
        intrinsics: Of the drawn size.
        camera_from_world: float64 (4, 4), optical frame.
        motion: Truth in the world frame.
        joint_pixels: float32 (T, K, 2), column and row.
        object_pixels: Projected centres, float32 (T, N, 2).
    """

    scene: Scene
    frames: NDArray[np.uint8]
    instance_masks: NDArray[np.bool_]
    actor_mask: NDArray[np.bool_]
    depth_m: NDArray[np.float32]
    intrinsics: CameraIntrinsics
    camera_from_world: NDArray[np.float64]
    motion: ActorMotion
    joint_pixels: NDArray[np.float32]
    object_pixels: NDArray[np.float32]


def yaw_quat(yaw_rad: float) -> NDArray[np.float64]:
    """Give the quaternion of a turn about the world's z.

    Args:
        yaw_rad: The turn, radians.

    Returns:
        wxyz, float64 (4,).
    """
    return np.array([math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)])


def _quat_from_matrix(mujoco: Any, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, matrix.flatten())
    return quat


def limb_quat(mujoco: Any, direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a limb so that its z runs along a direction and its fingers' plane lies flat.

    Args:
        mujoco: The module.
        direction: Of the limb in the world, (3,), any length.

    Returns:
        wxyz, float64 (4,).
    """
    z = direction / np.linalg.norm(direction)
    x = np.cross(np.array([0.0, 0.0, 1.0]), z)
    x = x / max(float(np.linalg.norm(x)), 1e-6)
    return _quat_from_matrix(mujoco, np.stack([x, np.cross(z, x), z], axis=1))


class SceneRenderer:
    """Draw many scenes with one OpenGL context.

    Creating the context is the slow part: make one renderer per process and keep it.

    Args:
        width: Pixels.
        height: Pixels.
        is_textured: Whether all objects carry one and the same print; models are trained without.

    Raises:
        MissingExtraError: If MuJoCo is not installed.
    """

    def __init__(self, width: int = 96, height: int = 64, *, is_textured: bool = False) -> None:
        # MuJoCo picks its OpenGL back end from the environment, once, at import.
        os.environ.setdefault("MUJOCO_GL", "osmesa")
        try:
            import mujoco
        except ImportError as error:
            raise MissingExtraError.of("mujoco", "train") from error
        self._mujoco = mujoco
        self.width, self.height, self.is_textured = width, height, is_textured
        assets = {TEXTURE_FILE: draw_print()} if is_textured else None
        xml = self._build_mjcf()
        self._model = mujoco.MjModel.from_xml_string(xml, assets)
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, height=height, width=width)
        self._geom_names = [self._model.geom(i).name for i in range(self._model.ngeom)]

    def _build_mjcf(self) -> str:
        return build_mjcf(is_textured=self.is_textured)

    def _plan_motion(self, scene: Scene, num_frames: int) -> ActorMotion:
        return plan_motion(scene, num_frames)

    def close(self) -> None:
        """Free the OpenGL context; the renderer is unusable afterwards."""
        self._renderer.close()

    def __enter__(self) -> SceneRenderer:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def render(self, scene: Scene, num_frames: int = 17) -> SimClip:
        """Draw a clip.

        Args:
            scene: What to draw.
            num_frames: Frames of the clip.

        Returns:
            Frames and ground truth.
        """
        motion = self._plan_motion(scene, num_frames)
        self._paint(scene)
        camera_from_world, intrinsics = self._place_camera(scene)
        frames = np.empty((num_frames, self.height, self.width, 3), np.uint8)
        for t in range(num_frames):
            self._pose(scene, motion, t)
            self._update()
            frames[t] = self._renderer.render()
        self._pose(scene, motion, 0)
        depth_m = self._draw_depth()
        owner = self._draw_owners()
        masks = np.stack(
            [np.char.startswith(owner, f"object_{i}_") for i in range(len(scene.objects))]
        )
        background = np.isin(owner, ["wall", "floor", "table", ""])
        is_thing = np.char.startswith(owner, "object_") | np.char.startswith(owner, "clutter_")
        return SimClip(
            scene=scene,
            frames=frames,
            instance_masks=masks,
            actor_mask=~background & ~is_thing,
            depth_m=depth_m,
            intrinsics=intrinsics,
            camera_from_world=camera_from_world,
            motion=motion,
            joint_pixels=_project(motion.joints_world_m, camera_from_world, intrinsics),
            object_pixels=_project(motion.objects_world_m, camera_from_world, intrinsics),
        )

    def render_masks(
        self, scene: Scene, num_frames: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Draw the masks of every frame, as somebody would who marks a whole video.

        Args:
            scene: What `render` drew.
            num_frames: How many.

        Returns:
            Target and actor, bool (T, H, W) each.
        """
        motion = self._plan_motion(scene, num_frames)
        self._paint(scene)
        self._place_camera(scene)
        targets = np.empty((num_frames, self.height, self.width), bool)
        actors = np.empty_like(targets)
        for t in range(num_frames):
            self._pose(scene, motion, t)
            owner = self._draw_owners()
            targets[t] = np.char.startswith(owner, f"object_{scene.target_index}_")
            room = np.isin(owner, ["wall", "floor", "table", ""])
            things = np.char.startswith(owner, "object_") | np.char.startswith(owner, "clutter_")
            actors[t] = ~room & ~things
        return targets, actors

    def _update(self) -> None:
        mujoco = self._mujoco
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera="camera")
        # Shadows make software rendering ten times slower and teach the model nothing.
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def _draw_depth(self) -> NDArray[np.float32]:
        self._renderer.enable_depth_rendering()
        self._update()
        depth_m = self._renderer.render().astype(np.float32)
        self._renderer.disable_depth_rendering()
        return depth_m

    def _draw_owners(self) -> NDArray[np.str_]:
        """Draw the name of the geom that is seen in every pixel."""
        self._renderer.enable_segmentation_rendering()
        self._update()
        geom_ids = self._renderer.render()[..., 0].astype(np.int64)
        self._renderer.disable_segmentation_rendering()
        return np.array([*self._geom_names, ""])[geom_ids]

    def _paint(self, scene: Scene) -> None:
        fixed = self._room_colors(scene)
        for geom, name in enumerate(self._geom_names):
            if name.startswith("object_"):
                color = self._object_color(scene, int(name.split("_")[1]))
            else:
                color = fixed.get(name, scene.skin_rgb)
            self._model.geom_rgba[geom] = (*color, 1.0)
        self._model.light_diffuse[0] = 0.55 * scene.light

    def _object_color(self, scene: Scene, slot: int) -> tuple[float, ...]:
        used = slot < len(scene.objects)
        color = COLORS[scene.objects[slot].color] if used else (1.0, 1.0, 1.0)
        return tuple(max(c, MIN_PRINT_RGB) for c in color) if self.is_textured else color

    def _room_colors(self, scene: Scene) -> dict[str, tuple[float, ...]]:
        """Give the colours of all geoms that are neither objects nor skin."""
        sleeve = ("torso", "collar", "left_upper_arm", "right_upper_arm")
        return {
            "wall": scene.wall_rgb,
            "floor": tuple(0.6 * c for c in scene.wall_rgb),
            "table": scene.table_rgb,
            "hair": scene.hair_rgb,
            "left_eye": (0.05, 0.05, 0.05),
            "right_eye": (0.05, 0.05, 0.05),
            **dict.fromkeys(sleeve, scene.shirt_rgb),
        }

    def _place_camera(self, scene: Scene) -> tuple[NDArray[np.float64], CameraIntrinsics]:
        azimuth = scene.camera_azimuth_rad
        offset = CAMERA_DISTANCE_M * np.array([math.sin(azimuth), -math.cos(azimuth), 0.0])
        eye = np.array([LOOK_AT_M[0], LOOK_AT_M[1], 0.0]) + offset
        eye[2] = scene.camera_height_m
        forward = (LOOK_AT_M - eye) / np.linalg.norm(LOOK_AT_M - eye)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right = right / np.linalg.norm(right)
        down = np.cross(forward, right)
        world_from_camera = np.eye(4)
        world_from_camera[:3, :3] = np.stack([right, down, forward], axis=1)
        world_from_camera[:3, 3] = eye
        camera = self._model.camera("camera").id
        # MuJoCo cameras look along -z with y up; the optical frame looks along +z, y down.
        mujoco_axes = np.stack([right, -down, -forward], axis=1)
        self._model.cam_pos[camera] = eye
        self._model.cam_quat[camera] = _quat_from_matrix(self._mujoco, mujoco_axes)
        self._model.cam_fovy[camera] = math.degrees(scene.camera_fov_y_rad)
        focal = self.height / 2 / math.tan(scene.camera_fov_y_rad / 2)
        intrinsics = CameraIntrinsics(
            fx=focal,
            fy=focal,
            cx=(self.width - 1) / 2,
            cy=(self.height - 1) / 2,
            width=self.width,
            height=self.height,
        )
        return np.linalg.inv(world_from_camera), intrinsics

    def _put(self, body: str, position: NDArray[np.float64], quat: NDArray[np.float64]) -> None:
        mocap = int(self._model.body(body).mocapid[0])
        self._data.mocap_pos[mocap] = position
        self._data.mocap_quat[mocap] = quat

    def _pose(self, scene: Scene, motion: ActorMotion, t: int) -> None:
        self._pose_objects(scene, motion, t)
        if scene.has_actor:
            self._pose_person(motion, t)
        else:
            self._hide(ACTOR_BODIES)

    def _hide(self, bodies: Iterable[str]) -> None:
        for body in bodies:
            self._put(body, HIDDEN_M, IDENTITY)

    def _pose_objects(self, scene: Scene, motion: ActorMotion, t: int) -> None:
        for slot in range(MAX_OBJECTS):
            for kind in KINDS:
                used = slot < len(scene.objects) and scene.objects[slot].kind == kind
                position = motion.objects_world_m[t, slot] if used else HIDDEN_M
                yaw_rad = motion.objects_yaw_rad[t, slot] if used else 0.0
                self._put(object_body(slot, kind), position, yaw_quat(yaw_rad))

    def _pose_person(self, motion: ActorMotion, t: int) -> None:
        joints = dict(zip(JOINT_NAMES, motion.joints_world_m[t], strict=True))
        middle = (joints["left_shoulder"] + joints["right_shoulder"]) / 2
        self._put("torso", middle + np.array([0.0, 0.02, -0.20]), IDENTITY)
        self._put("head", joints["head"], IDENTITY)
        for side in ("left", "right"):
            shoulder, elbow, hand = (
                joints[f"{side}_{part}"] for part in ("shoulder", "elbow", "hand")
            )
            self._put(
                f"{side}_upper_arm",
                (shoulder + elbow) / 2,
                limb_quat(self._mujoco, elbow - shoulder),
            )
            axis = (hand - elbow) / np.linalg.norm(hand - elbow)
            self._put(
                f"{side}_forearm",
                (elbow + hand - 0.05 * axis) / 2,
                limb_quat(self._mujoco, axis),
            )


def _project(
    points_world_m: NDArray[np.float64],
    camera_from_world: NDArray[np.float64],
    intrinsics: CameraIntrinsics,
) -> NDArray[np.float32]:
    points = points_world_m @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    scale = np.array([intrinsics.fx, intrinsics.fy])
    center = np.array([intrinsics.cx, intrinsics.cy])
    return (points[..., :2] / points[..., 2:] * scale + center).astype(np.float32)
