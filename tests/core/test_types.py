"""The plan's data types: every rule of a request has a message, and nothing slips through."""

import dataclasses

import numpy as np
import pytest

from tavid_core.errors import InputError, ShapeError
from tavid_core.types import (
    CameraIntrinsics,
    InteractionMotion,
    PlanProgress,
    PlanRequest,
    PointTrack,
    Rollout,
)
from tests.drawn import draw_plan

IMAGE = np.zeros((32, 48, 3), dtype=np.uint8)
MASK = np.zeros((32, 48), dtype=bool)
MASK[10:20, 10:20] = True
CAMERA = {"fx": 50.0, "fy": 50.0, "cx": 24.0, "cy": 16.0, "width": 48, "height": 32}


def make_request(**changes):
    return PlanRequest(**{"image": IMAGE, "target_mask": MASK, "prompt": "lift it"} | changes)


def test_smallest_request_is_complete():
    request = make_request()
    assert (request.seed, request.depth_m, request.frame_id) == (0, None, "camera_optical_frame")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": IMAGE[..., 0]}, r"image must have shape \(\*, \*, 3\)"),
        ({"image": IMAGE.astype(np.float32)}, "image must be uint8, got float32"),
        ({"image": IMAGE[:8], "target_mask": MASK[:8]}, "image must have sides of 16 to 4096"),
        (
            {"image": np.zeros((16, 4097, 3), np.uint8), "target_mask": MASK},
            "image must have sides of 16 to 4096 pixels, got 4097x16",
        ),
        ({"target_mask": MASK[:16]}, r"target_mask must have shape \(32, 48\), got \(16, 48\)"),
        ({"target_mask": MASK.astype(np.uint8)}, "target_mask must be bool, got uint8"),
        ({"target_mask": ~(MASK | True)}, "target_mask must mark at least one pixel"),
        ({"target_mask": MASK | True}, "target_mask must leave some pixels unmarked"),
        ({"actor_mask": MASK[:16]}, "actor_mask must have shape"),
        ({"extra_masks": (MASK, MASK[:16])}, r"extra_masks\[1\] must have shape"),
        ({"depth_m": np.zeros((16, 24), np.float32)}, "depth_m must have shape"),
        (
            {"intrinsics": CameraIntrinsics(**CAMERA | {"width": 96, "height": 64})},
            "camera_info must be for the image's size 48x32, got 96x64",
        ),
        ({"prompt": "  "}, "prompt must have 1 to 1024 characters, got 0"),
        ({"prompt": "x" * 1025}, "prompt must have 1 to 1024 characters, got 1025"),
        ({"seed": -1}, r"seed must be in 0\.\.2\*\*63-1, got -1"),
        ({"seed": 2**63}, "seed must be in"),
        ({"num_inference_steps": 0}, r"num_inference_steps must be in 1\.\.1000, got 0"),
        ({"guidance_scale": float("nan")}, r"guidance_scale must be in 0\.\.30, got nan"),
        ({"guidance_scale": 31.0}, "guidance_scale must be in"),
        ({"num_frames": 16}, r"num_frames must be 8n\+1 with n >= 1, got 16"),
        ({"num_frames": 1}, "num_frames must be"),
    ],
)
def test_unusable_request_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        make_request(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fx": 0.0}, "finite values and positive focal lengths, got fx=0.0"),
        ({"fy": -5.0}, "positive focal lengths"),
        ({"cx": float("nan")}, "finite values"),
        ({"fx": float("inf")}, "finite values"),
        ({"width": 0}, "camera_info must have a positive size, got 0x32"),
    ],
)
def test_singular_intrinsics_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        CameraIntrinsics(**CAMERA | changes)


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (np.zeros((4, 8, 8), np.uint8), 8.0, "frames must have shape"),
        (np.zeros((4, 8, 8, 3), np.float32), 8.0, "frames must be uint8 and not empty"),
        (np.zeros((0, 8, 8, 3), np.uint8), 8.0, "frames must be uint8 and not empty"),
        (np.zeros((4, 8, 8, 3), np.uint8), 0.0, "fps must be positive, got 0"),
        (np.zeros((4, 8, 8, 3), np.uint8), float("nan"), "fps must be positive, got nan"),
    ],
)
def test_unusable_rollout_is_refused(frames, fps, message):
    with pytest.raises(InputError, match=message):
        Rollout(frames=frames, fps=fps)


@pytest.mark.parametrize("part", ["pixels", "positions_camera_m"])
def test_track_of_uneven_length_is_refused(part):
    arrays = {
        "pixels": np.zeros((4, 2), np.float32),
        "positions_camera_m": np.zeros((4, 3), np.float32),
    }
    arrays[part] = arrays[part][:3]
    with pytest.raises(ShapeError, match="Give track 'head' one row per frame"):
        PointTrack(name="head", confidence=np.ones(4, np.float32), **arrays)


def test_motion_counts_frames_and_knows_its_actor():
    motion = draw_plan().motion
    assert isinstance(motion, InteractionMotion)
    assert motion.num_frames == 17
    assert motion.has_actor
    assert not dataclasses.replace(motion, hands=()).has_actor


@pytest.mark.parametrize(
    "value",
    [
        make_request(),
        CameraIntrinsics(**CAMERA),
        PlanProgress(stage="lift", step=0, total_steps=1, elapsed_sec=0.0),
    ],
)
def test_values_are_frozen(value):
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)
