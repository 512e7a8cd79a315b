"""The fitted body as other programs read it."""

import dataclasses

import numpy as np
import pytest
import torch

from tavid_core import cli
from tavid_core.errors import InputError
from tavid_core.export_body import physhoi_reference, write_smplx
from tavid_core.io import save_plan
from tavid_core.lifting.body_model import load_body_model
from tavid_core.motion import BodyFit, Contact
from tests.drawn import draw_plan, fill_plan


def upright_motion(**fields):
    """A body at rest that faces the camera, 2 m away, and moves 16 cm to the right."""
    motion = fill_plan(draw_plan()).motion
    num_frames = motion.num_frames
    rotations = np.zeros((num_frames, 55, 3), np.float32)
    # y up and z towards the camera: half a turn about x.
    rotations[:, 0, 0] = np.pi
    pelvis_m = np.tile(np.float32([0.0, 0.2, 2.0]), (num_frames, 1))
    pelvis_m[:, 0] = np.linspace(0, 0.16, num_frames)
    fit = BodyFit(
        model="STANDIN",
        joint_rotations=rotations,
        betas=np.zeros(10, np.float32),
        pelvis_camera_m=pelvis_m,
        residual_px=np.zeros(num_frames, np.float32),
    )
    quaternions = np.tile(np.float32([0, 0, 0, 1]), (num_frames, 1))
    changes = {"body_fit": fit, "target_quaternions_xyzw": quaternions, **fields}
    return dataclasses.replace(motion, **changes)


def test_reference_stands_upright_and_is_resampled():
    motion = upright_motion()
    reference = physhoi_reference(motion, 8.0)
    assert reference.shape == (51, 331)
    np.testing.assert_allclose(reference[0, :2], [2.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(reference[-1, :2], [2.0, -0.16], atol=1e-6)
    bodies = reference[0, 162:318].reshape(52, 3)
    np.testing.assert_allclose(bodies[0], reference[0, :3], atol=1e-6)
    head, left_ankle = bodies[15], bodies[7]
    assert head[2] - left_ankle[2] > 1.0
    # It faces the camera, so its left is on the camera's right: y is negative there.
    assert bodies[20, 1] < -0.3 < 0.3 < bodies[21, 1]


def test_reference_holds_object_and_contact():
    motion = upright_motion()
    reference = physhoi_reference(motion, 8.0)
    x, y, z = motion.target.positions_camera_m[0]
    np.testing.assert_allclose(reference[0, 318:320], [z, -x], atol=1e-6)
    # The pelvis is 0.2 m below the optical axis, the target y.
    np.testing.assert_allclose(reference[0, 320] - reference[0, 2], 0.2 - y, atol=1e-6)
    times_sec = np.arange(51) / 25
    touching = times_sec >= motion.contact.start_frame / 8.0
    np.testing.assert_array_equal(reference[:, 330] == 1, touching)


def test_every_contact_with_the_target_counts():
    first, again, other = (
        Contact(hand=hand, start_frame=start, end_frame=end, touches_target=touches)
        for hand, start, end, touches in (
            ("right_hand", 2, 4, True),
            ("left_hand", 8, 12, True),
            ("left_hand", 14, 16, False),
        )
    )
    motion = upright_motion(contact=first, contacts=(first, again, other))
    frames = 8 * np.arange(51) / 25
    touching = ((frames >= 2) & (frames <= 4)) | ((frames >= 8) & (frames <= 12))
    np.testing.assert_array_equal(physhoi_reference(motion, 8.0)[:, 330] == 1, touching)


def test_target_that_was_never_seen_is_refused():
    target = draw_plan().motion.target
    nowhere = np.full_like(target.positions_camera_m, np.nan)
    motion = upright_motion(target=dataclasses.replace(target, positions_camera_m=nowhere))
    with pytest.raises(InputError, match="target must have a place in some frame, got none"):
        physhoi_reference(motion, 8.0)


def test_reference_stands_on_the_ground():
    motion = upright_motion()
    fit = motion.body_fit
    # In the last frame the body is 10 cm lower (y is down), so there the feet touch the ground.
    pelvis_m = fit.pelvis_camera_m.copy()
    pelvis_m[-1, 1] += 0.1
    motion = dataclasses.replace(
        motion, body_fit=dataclasses.replace(fit, pelvis_camera_m=pelvis_m)
    )
    reference = physhoi_reference(motion, 8.0)
    bodies = reference[:, 162:318].reshape(-1, 52, 3)
    lowest_foot_m = bodies[:, [10, 11], 2].min(axis=1)
    assert bodies[..., 2].min() == pytest.approx(0.0, abs=1e-6)
    assert lowest_foot_m[-1] == pytest.approx(0.0, abs=1e-6)
    assert lowest_foot_m[0] == pytest.approx(0.1, abs=1e-6)
    # The pelvis is as high above the sole as its joints are apart at rest.
    rest_m = load_body_model().rest_joints(np.zeros(10))
    leg_m = rest_m[0, 1] - rest_m[[10, 11], 1].min()
    assert reference[-1, 2] == pytest.approx(leg_m, abs=1e-5)


def test_ground_leaves_hand_and_target_together():
    motion = upright_motion()
    reference = physhoi_reference(motion, 8.0)
    wrist_m = reference[0, 162:318].reshape(52, 3)[20]
    rest_m = load_body_model().rest_joints(np.zeros(10))
    # The body is half a turn about x away from rest, with its pelvis at (0, 0.2, 2).
    wrist_camera_m = (rest_m[20] - rest_m[0]) * [1, -1, -1] + [0.0, 0.2, 2.0]
    apart_m = np.linalg.norm(motion.target.positions_camera_m[0] - wrist_camera_m)
    assert np.linalg.norm(reference[0, 318:321] - wrist_m) == pytest.approx(apart_m, abs=1e-5)


def test_lost_target_stays_where_it_was_seen():
    positions = draw_plan().motion.target.positions_camera_m.copy()
    positions[5:] = np.nan
    target = dataclasses.replace(draw_plan().motion.target, positions_camera_m=positions)
    reference = physhoi_reference(upright_motion(target=target), 8.0)
    assert np.isfinite(reference).all()
    np.testing.assert_allclose(
        reference[-1, 320] - reference[0, 320], positions[0, 1] - positions[4, 1], atol=1e-6
    )


def test_smplx_parameters_have_smplx_shapes(tmp_path):
    write_smplx(upright_motion(), 8.0, tmp_path / "body.npz")
    with np.load(tmp_path / "body.npz", allow_pickle=False) as body:
        shapes = {name: body[name].shape for name in body.files}
        assert body["mocap_frame_rate"] == 8.0
        assert str(body["model"]) == "STANDIN"
        np.testing.assert_array_equal(body["transl"], body["pelvis_camera_m"])
    assert shapes["body_pose"] == (17, 63)
    assert shapes["left_hand_pose"] == shapes["right_hand_pose"] == (17, 45)
    assert shapes["global_orient"] == (17, 3)


def test_transl_of_another_model_needs_that_model(tmp_path):
    motion = upright_motion()
    motion = dataclasses.replace(
        motion, body_fit=dataclasses.replace(motion.body_fit, model="SMPLX")
    )
    write_smplx(motion, 8.0, tmp_path / "without.npz")
    model = dataclasses.replace(
        load_body_model(), name="SMPLX", pelvis_m=np.array([0.0, -0.35, 0.01])
    )
    write_smplx(motion, 8.0, tmp_path / "with.npz", model)
    with np.load(tmp_path / "without.npz") as without, np.load(tmp_path / "with.npz") as body:
        assert "transl" not in without.files
        difference = body["pelvis_camera_m"] - body["transl"]
    np.testing.assert_allclose(difference, np.tile([0.0, -0.35, 0.01], (17, 1)), atol=1e-6)
    with pytest.raises(InputError, match="body_model must be the one of the fit, SMPLX, got STAND"):
        physhoi_reference(motion, 8.0)


def test_commands_write_both(tmp_path, capsys):
    plan = dataclasses.replace(fill_plan(draw_plan()), motion=upright_motion())
    save_plan(plan, tmp_path / "plan")
    words = ["export", str(tmp_path / "plan"), "--to"]
    assert cli.main([*words, "physhoi", "--out", str(tmp_path / "ref.pt")]) == 0
    assert torch.load(tmp_path / "ref.pt", weights_only=True).shape == (51, 331)
    assert cli.main([*words, "smplx", "--out", str(tmp_path / "body.npz")]) == 0
    save_plan(draw_plan(), tmp_path / "points")
    words = ["export", str(tmp_path / "points"), "--to", "smplx", "--out", str(tmp_path / "b.npz")]
    assert cli.main(words) == 2
    assert "plan must hold a fitted body, got points only" in capsys.readouterr().err
