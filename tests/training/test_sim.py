import dataclasses
import hashlib

import numpy as np
import pytest

from training.sources.sim.model import build_mjcf
from training.sources.sim.motion import FOREARM_M, JOINT_NAMES, UPPER_ARM_M, plan_motion
from training.sources.sim.scene import sample_scene

SEEDS = range(60)


def test_the_same_seed_gives_the_same_scene():
    assert sample_scene(5) == sample_scene(5)
    assert sample_scene(5) != sample_scene(6)


def test_at_least_half_of_the_scenes_have_look_alikes():
    assert np.mean([sample_scene(seed).has_look_alikes for seed in range(300)]) >= 0.5


def test_scenes_have_two_to_four_objects_apart_from_each_other():
    for seed in SEEDS:
        scene = sample_scene(seed)
        assert 2 <= len(scene.objects) <= 4
        places = np.array([o.position_m[:2] for o in scene.objects])
        gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
        assert gaps[~np.eye(len(places), dtype=bool)].min() > 0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hand_holds_the_target_and_nothing_else_moves(seed):
    scene = sample_scene(seed)
    motion = plan_motion(scene)
    hand = motion.joints_world_m[:, JOINT_NAMES.index(motion.hand)]
    target = motion.objects_world_m[:, scene.target_index]
    others = np.delete(motion.objects_world_m, scene.target_index, axis=1)
    assert np.ptp(others, axis=0).max(initial=0.0) == 0.0
    held = slice(scene.contact_frame, None)
    assert np.ptp((hand - target)[held], axis=0).max() < 1e-9
    before = np.linalg.norm(hand[: scene.start_frame + 1] - target[0], axis=1)
    assert before.min() > 0.12, "the first frames must show nobody touching"
    assert target[-1, 2] - target[0, 2] == pytest.approx(scene.lift_height_m)


@pytest.mark.parametrize("seed", SEEDS)
def test_arms_keep_their_length(seed):
    joints = plan_motion(sample_scene(seed)).joints_world_m
    for side in ("left", "right"):
        shoulder, elbow, hand = (
            joints[:, JOINT_NAMES.index(f"{side}_{part}")] for part in ("shoulder", "elbow", "hand")
        )
        upper = np.linalg.norm(elbow - shoulder, axis=1)
        fore = np.linalg.norm(hand - elbow, axis=1)
        np.testing.assert_allclose(upper, UPPER_ARM_M, atol=1e-6)
        np.testing.assert_allclose(fore, FOREARM_M, atol=2e-3)


def test_the_world_that_the_models_were_trained_on_has_not_changed():
    """Options for other uses are off by default: existing clips can be drawn again bit by bit."""
    assert hashlib.sha256(build_mjcf().encode()).hexdigest().startswith("b986f73bb9687a33")
    scene = sample_scene(7)
    drawn = repr((scene.objects, scene.caption, scene.start_frame, scene.contact_frame))
    drawn = drawn.replace(", scale=1.0", "")  # a field that the hash is older than
    assert hashlib.sha256(drawn.encode()).hexdigest().startswith("9f68b07b1a89e477")
    yaw = plan_motion(scene).objects_yaw_rad
    assert (yaw == [item.yaw_rad for item in scene.objects]).all()


def test_the_target_turns_only_while_it_is_lifted_and_nothing_else_does():
    scene = dataclasses.replace(sample_scene(7), lift_yaw_rad=0.6)
    turned, still = plan_motion(scene), plan_motion(sample_scene(7))
    np.testing.assert_array_equal(turned.joints_world_m, still.joints_world_m)
    np.testing.assert_array_equal(turned.objects_world_m, still.objects_world_m)
    change = turned.objects_yaw_rad - still.objects_yaw_rad
    assert (change[: scene.contact_frame + 1] == 0).all()
    assert change[-1, scene.target_index] == pytest.approx(0.6)
    assert not np.delete(change, scene.target_index, axis=1).any()
