"""Limbs against hand-worked geometry: an arm of known length seen by a known camera."""

import numpy as np
import pytest

from tavid_core.lifting.limb_lift import lift_limbs
from tavid_core.lifting.limb_rows import Anchor, LimbEvidence

NAMES = ("left_shoulder", "right_shoulder", "right_elbow", "right_hand")
UPPER_M, FORE_M = 0.30, 0.33


def arm_motion(num_frames=13):
    """Shoulders rest 1.5 m away, the right arm swings from hanging to pointing at the camera."""
    angle = np.linspace(0.3, 1.2, num_frames)
    down_and_near = np.stack([0 * angle, np.cos(angle), -np.sin(angle)], axis=-1)
    left, right = np.array([0.18, 0, 1.5]), np.array([-0.18, 0, 1.5])
    elbow = right + UPPER_M * down_and_near
    hand = elbow + FORE_M * down_and_near
    rest = np.ones((num_frames, 1))
    return np.stack([rest * left, rest * right, elbow, hand], axis=1)


def evidence(points_m, **changes):
    rays = points_m[..., :2] / points_m[..., 2:]
    fields = {
        "names": NAMES,
        "rays": rays,
        "sigma_rays": np.full(rays.shape[:2], 0.003),
        "first_depth_m": points_m[0, :, 2],
        "first_sigma_m": np.full(len(NAMES), 0.02),
    }
    return LimbEvidence(**(fields | changes))


def errors(motion, points_m):
    return np.linalg.norm(motion.positions_m - points_m, axis=-1)


def test_limbs_keep_their_measured_lengths():
    points_m = arm_motion()
    motion = lift_limbs(evidence(points_m))
    assert motion.is_converged
    assert errors(motion, points_m)[:, :3].max() < 0.05
    assert motion.bone_lengths_m["upper_arm"] == pytest.approx(UPPER_M, abs=0.02)
    assert motion.bone_lengths_m["forearm"] == pytest.approx(FORE_M, abs=0.02)


def test_mirror_image_of_a_limb_is_told():
    """A forearm that swings to the camera looks like one that swings away from it."""
    points_m = arm_motion()
    motion = lift_limbs(evidence(points_m))
    assert (errors(motion, points_m) < 3 * motion.sigma_m).all()
    assert motion.sigma_m[12, 3] > 2 * motion.sigma_m[0, 3]


def touch(points_m):
    sigma_m = np.array([0.1, 0.1, 0.02])
    return Anchor(name="right_hand", frame=12, position_m=points_m[12, 3], sigma_m=sigma_m)


def test_touch_pins_the_depth_of_the_hand():
    points_m = arm_motion()
    free, anchor = lift_limbs(evidence(points_m)), touch(points_m)
    held = lift_limbs(evidence(points_m, anchors=(anchor,)))
    assert held.sigma_m[12, 3] < 0.5 * free.sigma_m[12, 3]
    assert errors(held, points_m)[:, 3].max() < 0.04


def test_one_wrong_depth_is_outvoted():
    points_m = arm_motion()
    first_m = points_m[0, :, 2].copy()
    first_m[2] = 2.6
    motion = lift_limbs(evidence(points_m, first_depth_m=first_m))
    assert errors(motion, points_m)[:, 1:].mean() < 0.06


def test_without_depth_the_size_is_that_of_an_adult_and_the_error_is_told():
    points_m = arm_motion()
    motion = lift_limbs(evidence(points_m, first_depth_m=np.full(4, np.nan)))
    assert motion.size == pytest.approx(1.0, abs=0.02)
    assert motion.positions_m[:, 0, 2] == pytest.approx(1.5, abs=0.12)
    assert (motion.sigma_m > 0.06).all()
    off = errors(motion, points_m)
    assert (off < 3 * motion.sigma_m).all()


def test_a_turn_that_a_network_sees_is_not_taken_for_none():
    angle = 0.6
    sine, cosine = np.sin(angle), np.cos(angle)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    middle = np.array([0, 0, 1.5])
    points_m = (arm_motion() - middle) @ turn.T + middle
    unknown_m, relative_m = np.full(4, np.nan), points_m - middle
    blind = lift_limbs(evidence(points_m, first_depth_m=unknown_m))
    told = lift_limbs(evidence(points_m, first_depth_m=unknown_m, relative_m=relative_m))
    true_m, blind_m, told_m = (
        places[0, 1, 2] - places[0, 0, 2]
        for places in (points_m, blind.positions_m, told.positions_m)
    )
    assert told_m == pytest.approx(true_m, abs=0.06)
    # The picture alone does not even say which shoulder is nearer.
    assert abs(blind_m) < 0.5 * true_m


def test_unseen_frames_are_less_sure():
    points_m = arm_motion()
    seen = evidence(points_m, anchors=(touch(points_m),))
    sure = lift_limbs(seen)
    seen.rays[5:8, 3] = np.nan
    motion = lift_limbs(seen)
    assert motion.sigma_m[6, 3] > 1.1 * sure.sigma_m[6, 3]
    assert errors(motion, points_m)[6, 3] < 0.08


@pytest.mark.parametrize("num_frames", [1, 2])
def test_very_short_clips_are_lifted(num_frames):
    points_m = arm_motion()[:num_frames]
    motion = lift_limbs(evidence(points_m))
    assert errors(motion, points_m).max() < 0.05


def test_an_arm_that_goes_back_is_where_it_was():
    """There and back: the way back has a mirror image that is as smooth."""
    there = arm_motion(17)
    points_m = np.concatenate([there, there[::-1], np.repeat(there[:1], 6, axis=0)])
    anchor = Anchor(
        name="right_hand",
        frame=16,
        position_m=points_m[16, 3],
        sigma_m=np.array([0.1, 0.1, 0.02]),
    )
    motion = lift_limbs(evidence(points_m, anchors=(anchor,)))
    assert errors(motion, points_m)[-6:, 3].max() < 0.05
    assert motion.sigma_m[-6:, 3].max() < 0.15
