"""The stand-in body, and its fit to points that it made itself."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tavid_core.errors import ConfigError, InputError, WeightsError
from tavid_core.lifting.body_fit import fit_body
from tavid_core.lifting.body_model import load_body_model, pose_joints
from tavid_core.lifting.joint_tree import JOINT_NAMES, PARENTS
from tavid_core.lifting.limb_lift import LimbMotion
from tavid_core.types import CameraIntrinsics

CAMERA = CameraIntrinsics(fx=600.0, fy=600.0, cx=359.5, cy=239.5, width=720, height=480)
NAMES = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist", "hip")
)


def test_tree_is_that_of_smplx():
    assert len(JOINT_NAMES) == len(PARENTS) == 55
    assert all(parent < index for index, parent in enumerate(PARENTS))
    chain, joint = [], JOINT_NAMES.index("right_thumb3")
    while joint > 0:
        joint = PARENTS[joint]
        chain.append(JOINT_NAMES[joint])
    assert chain[:4] == ["right_thumb2", "right_thumb1", "right_wrist", "right_elbow"]
    assert chain[-1] == "pelvis"


def test_standin_is_an_adult_in_t_pose():
    body = load_body_model()
    places = dict(zip(JOINT_NAMES, body.joints_m, strict=True))
    assert body.name == "STANDIN"
    assert places["left_wrist"][0] > places["left_elbow"][0] > places["left_shoulder"][0] > 0.1
    assert places["left_wrist"][1] == pytest.approx(places["left_shoulder"][1], abs=1e-3)
    assert 1.3 < places["head"][1] - places["left_ankle"][1] < 1.6
    # The first shape number makes the whole body taller.
    taller = body.rest_joints(np.eye(10)[0])
    grown = taller[JOINT_NAMES.index("head")] - places["head"]
    assert 0.02 < abs(grown[1]) < 0.2


def posed(num_frames=5):
    """The body 2 m away, facing the camera, the right arm moving."""
    body = load_body_model()
    turns = np.tile(np.eye(3), (num_frames, 55, 1, 1))
    turns[:, 0] = np.diag([1.0, -1.0, -1.0])
    for name, angle in (("left_shoulder", -1.2), ("right_shoulder", 1.0)):
        swing = Rotation.from_rotvec([0, 0, angle]).as_matrix()
        turns[:, JOINT_NAMES.index(name)] = swing
    bend = np.linspace(0.3, 0.9, num_frames)
    turns[:, JOINT_NAMES.index("right_elbow")] = Rotation.from_rotvec(
        np.outer(bend, [0, 1, 0])
    ).as_matrix()
    pelvis_m = np.tile([0.1, 0.2, 2.0], (num_frames, 1))
    places_m, _ = pose_joints(body.joints_m, turns, pelvis_m)
    picks = [JOINT_NAMES.index(name) for name in NAMES]
    return places_m[:, picks], pelvis_m


def motion_of(places_m, names=NAMES):
    return LimbMotion(
        names=names,
        positions_m=places_m,
        sigma_m=np.full(places_m.shape[:2], 0.01),
        bone_lengths_m={},
        size=1.0,
        misfit=1.0,
        is_converged=True,
    )


def test_fit_finds_the_pose_that_made_the_points():
    places_m, pelvis_m = posed()
    fit = fit_body(motion_of(places_m), load_body_model(), CAMERA)
    assert fit.model == "STANDIN"
    assert fit.residual_px.max() < 5
    np.testing.assert_allclose(fit.pelvis_camera_m, pelvis_m, atol=0.03)
    turns = Rotation.from_rotvec(fit.joint_rotations.reshape(-1, 3)).as_matrix()
    body = load_body_model()
    rest_m = body.rest_joints(fit.betas.astype(float))
    again_m, _ = pose_joints(rest_m, turns.reshape(-1, 55, 3, 3), fit.pelvis_camera_m)
    picks = [JOINT_NAMES.index(name) for name in NAMES]
    assert np.linalg.norm(again_m[:, picks] - places_m, axis=-1).mean() < 0.01
    # Nobody saw the legs bend.
    assert np.abs(fit.joint_rotations[:, JOINT_NAMES.index("left_knee")]).max() == 0


def test_back_to_the_camera_is_found():
    places_m, _ = posed()
    mirrored = places_m * [-1, 1, 1]
    fit = fit_body(motion_of(mirrored), load_body_model(), CAMERA)
    heading = Rotation.from_rotvec(fit.joint_rotations[0, 0]).as_matrix() @ [0, 0, 1]
    assert heading[2] > 0.5


def test_points_without_a_torso_are_refused():
    places_m, _ = posed()
    with pytest.raises(InputError, match="both shoulders or both hips, got left_wrist"):
        fit_body(motion_of(places_m[:, 2:3], ("left_wrist",)), load_body_model(), CAMERA)


def write_smplx(path, num_joints=55):
    rng = np.random.default_rng(0)
    template = rng.normal(size=(60, 3))
    np.savez(
        path,
        v_template=template,
        shapedirs=rng.normal(size=(60, 3, 20)),
        J_regressor=np.eye(60)[:num_joints],
    )
    return template


def test_smplx_file_gives_its_own_joints(tmp_path):
    template = write_smplx(tmp_path / "SMPLX_NEUTRAL.npz")
    body = load_body_model(tmp_path / "SMPLX_NEUTRAL.npz")
    assert body.name == "SMPLX"
    np.testing.assert_allclose(body.joints_m, template[:55] - template[0])


def test_unusable_bodies_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"body model must be a \.npz file, got 'SMPLX\.pkl'"):
        load_body_model(tmp_path / "SMPLX.pkl")
    with pytest.raises(WeightsError, match=r"a\.npz must be a SMPL-X model"):
        load_body_model(tmp_path / "a.npz")
    write_smplx(tmp_path / "b.npz", num_joints=24)
    with pytest.raises(WeightsError, match=r"b\.npz must have 55 joints"):
        load_body_model(tmp_path / "b.npz")
