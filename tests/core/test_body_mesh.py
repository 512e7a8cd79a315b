"""Surfaces: at rest they are the template, posed they follow the joints."""

import numpy as np
import pytest

from tavid_core.errors import InputError, WeightsError
from tavid_core.lifting.body_mesh import mesh_body, write_obj
from tavid_core.lifting.body_model import load_body_model
from tavid_core.lifting.joint_tree import JOINT_NAMES
from tavid_core.types import BodyFit


def make_fit(model="STANDIN", betas=None, **turns):
    rotations = np.zeros((1, 55, 3), np.float32)
    for name, turn in turns.items():
        rotations[0, JOINT_NAMES.index(name)] = turn
    return BodyFit(
        model=model,
        joint_rotations=rotations,
        betas=np.zeros(10, np.float32) if betas is None else betas,
        pelvis_camera_m=np.float32([[0, 0, 2]]),
        residual_px=np.zeros(1, np.float32),
    )


def test_standin_at_rest_is_an_adult_around_the_pelvis():
    vertices_m, triangles = mesh_body(make_fit(), load_body_model(), 0)
    assert np.ptp(vertices_m[:, 1]) == pytest.approx(1.666, abs=0.02)
    assert np.ptp(vertices_m[:, 0]) > 1.5
    assert vertices_m[:, 2].mean() == pytest.approx(2.0, abs=0.1)
    assert triangles.max() < len(vertices_m)


def test_hanging_arm_takes_its_skin_along():
    raised = mesh_body(make_fit(), load_body_model(), 0)[0]
    hanging = mesh_body(make_fit(left_shoulder=(0, 0, -1.4)), load_body_model(), 0)[0]
    hand = raised[:, 0] > 0.7
    assert (hanging[hand, 1] < raised[hand, 1] - 0.3).all()
    np.testing.assert_allclose(hanging[raised[:, 0] < -0.2], raised[raised[:, 0] < -0.2], atol=1e-4)


def test_shape_numbers_change_the_height():
    tall = mesh_body(make_fit(betas=np.eye(10, dtype=np.float32)[0]), load_body_model(), 0)[0]
    assert abs(np.ptp(tall[:, 1]) - 1.666) > 0.1


def write_smplx(path, **extra):
    rng = np.random.default_rng(0)
    np.savez(
        path,
        v_template=rng.normal(size=(60, 3)),
        shapedirs=rng.normal(size=(60, 3, 10)),
        J_regressor=np.eye(60)[:55],
        **extra,
    )
    return load_body_model(path)


def test_smplx_surface_follows_its_own_joints(tmp_path):
    model = write_smplx(
        tmp_path / "S.npz",
        f=np.array([[0, 1, 2]]),
        weights=np.eye(60, 55),
        posedirs=np.zeros((60, 3, 486)),
    )
    vertices_m, triangles = mesh_body(make_fit("SMPLX"), model, 0)
    np.testing.assert_allclose(vertices_m[:55], np.add(model.joints_m, [0, 0, 2]), atol=1e-5)
    assert triangles.tolist() == [[0, 1, 2]]


def test_wrong_bodies_are_refused(tmp_path):
    with pytest.raises(InputError, match="must be of the body STANDIN, got one of SMPLX"):
        mesh_body(make_fit("SMPLX"), load_body_model(), 0)
    with pytest.raises(WeightsError, match=r"S\.npz must hold a surface"):
        mesh_body(make_fit("SMPLX"), write_smplx(tmp_path / "S.npz"), 0)


def test_obj_counts_from_one(tmp_path):
    write_obj(
        tmp_path / "a.obj", np.float32([[0, 0, 1], [1, 0, 1], [0, 1, 1]]), np.array([[0, 1, 2]])
    )
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert lines[0] == "v 0.00000 0.00000 1.00000"
    assert lines[-1] == "f 1 2 3"
