"""Limbs of the simulated person, whose arms are longer than usual, seen without any depth."""

import math

import numpy as np

from benchmarks.lifting_clips import ClipSet, make_scene
from tavid_core.lifting.limb_lift import lift_limbs
from tavid_core.lifting.limb_rows import LimbEvidence
from training.sources.sim.motion import JOINT_NAMES, plan_motion

LEFT, RIGHT = (JOINT_NAMES.index(f"{side}_shoulder") for side in ("left", "right"))
PIXEL = 0.004
EYE_M = np.array([0.0, -0.95, 0.6])


def joints_of(scene):
    """Joints in the frame of a camera that looks down at the table, float64 (T, K, 3)."""
    ahead = -EYE_M / np.linalg.norm(EYE_M)
    right = np.array([1.0, 0.0, 0.0])
    axes = np.stack([right, np.cross(ahead, right), ahead], axis=1)
    return (plan_motion(scene, 17).joints_world_m - EYE_M) @ axes


def turn_deg(joints_m):
    between = joints_m[:, LEFT] - joints_m[:, RIGHT]
    return float(np.degrees(np.abs(np.arctan2(between[:, 2], between[:, 0]))).mean())


def test_without_depth_a_person_is_not_turned_and_pulled_nearer():
    turns, wrists = [], []
    for index in range(5):
        scene = make_scene(index, ClipSet(False, split="validation"))
        joints_m = joints_of(scene)
        rays = joints_m[..., :2] / joints_m[..., 2:]
        rays = rays + PIXEL * np.random.default_rng(index).standard_normal(rays.shape)
        unknown = np.full(len(JOINT_NAMES), math.nan)
        found = lift_limbs(
            LimbEvidence(
                names=JOINT_NAMES,
                rays=rays,
                sigma_rays=np.full(rays.shape[:2], PIXEL),
                first_depth_m=unknown,
                first_sigma_m=unknown,
            )
        ).positions_m
        hand = JOINT_NAMES.index(plan_motion(scene, 17).hand)
        turns.append(turn_deg(found))
        wrists.append(np.linalg.norm(found - joints_m, axis=-1)[:, hand].mean())
    assert np.mean(turns) < 12.0
    assert np.mean(wrists) < 0.09
