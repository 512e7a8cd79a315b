"""Messages and values that the tests of the ROS layer share."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import Image

from tavid_core.types import (
    CameraIntrinsics,
    Contact,
    InteractionMotion,
    InteractionPlan,
    PlanRequest,
    PointTrack,
    Rollout,
)


def make_image_message(
    values: np.ndarray, encoding: str, padding: int = 0, is_bigendian: bool = False
) -> Image:
    """Write rows with padding in either byte order, independently of the code under test."""
    stored = values.astype(values.dtype.newbyteorder(">" if is_bigendian else "<"))
    height, width = values.shape[:2]
    rows = [row.tobytes() + b"\xab" * padding for row in stored]
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(is_bigendian),
        step=len(rows[0]),
        data=b"".join(rows),
    )


def make_request(seed: int = 0, height: int = 48, width: int = 64, **fields) -> PlanRequest:
    """Make a valid request with every optional field filled."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    mask[10:20, 30:40] = True
    values = {
        "image": rng.integers(0, 255, (height, width, 3), dtype=np.uint8),
        "target_mask": mask,
        "prompt": "the person lifts the cup",
        "actor_mask": np.roll(mask, 12, axis=1),
        "depth_m": rng.uniform(0.5, 2.0, (height, width)).astype(np.float32),
        "intrinsics": CameraIntrinsics(
            fx=60.0, fy=61.0, cx=31.5, cy=23.5, width=width, height=height
        ),
        "seed": 7,
        "num_inference_steps": 4,
        "guidance_scale": 3.0,
        "num_frames": 17,
        "stamp_ns": 1_700_000_000_123_456_789,
        "frame_id": "head_camera_optical_frame",
    }
    return PlanRequest(**{**values, **fields})


def make_track(name: str, num_frames: int = 9, lost: tuple[int, ...] = ()) -> PointTrack:
    """Make a track that moves along x; the frames in `lost` are NaN."""
    positions = np.zeros((num_frames, 3), np.float32)
    positions[:, 0] = np.arange(num_frames) * 0.01
    positions[:, 2] = 1.0
    pixels = positions[:, :2] * 100
    confidence = np.ones(num_frames, np.float32)
    for frame in lost:
        positions[frame], pixels[frame], confidence[frame] = np.nan, np.nan, 0.0
    return PointTrack(name=name, pixels=pixels, positions_camera_m=positions, confidence=confidence)


def make_motion(num_frames: int = 9, **fields) -> InteractionMotion:
    """Make a motion with two hands, a head and a target."""
    quaternions = np.tile(np.array([0, 0, 0, 1], np.float32), (num_frames, 1))
    values = {
        "hands": (make_track("right_hand", num_frames), make_track("left_hand", num_frames)),
        "body": (make_track("head", num_frames), make_track("left_shoulder", num_frames)),
        "target": make_track("target", num_frames),
        "target_quaternions_xyzw": quaternions,
        "target_dof": 3,
        "contact": Contact(
            hand="right_hand",
            start_frame=3,
            end_frame=8,
            point_camera_m=np.array([0.03, 0.0, 1.0], np.float32),
            touches_target=True,
            confidence=0.8,
        ),
        "scale_source": "sensor",
        "confidence": {"actor": 0.9, "hands": 0.8, "target": 0.7, "contact": 0.8, "scale": 1.0},
        "reasons": {"target": "half of it is hidden"},
    }
    return InteractionMotion(**{**values, **fields})


def make_plan(num_frames: int = 9, **fields) -> InteractionPlan:
    """Make a whole plan."""
    rng = np.random.default_rng(1)
    values = {
        "request": make_request(),
        "rollout": Rollout(
            frames=rng.integers(0, 255, (num_frames, 32, 40, 3), dtype=np.uint8),
            fps=8.0,
            attention_map=rng.random((8, 10), dtype=np.float32),
        ),
        "motion": make_motion(num_frames),
        "provenance": {"model": "none", "seed": 7},
        "planning_time_sec": 1.5,
    }
    return InteractionPlan(**{**values, **fields})
