"""The 3D scene of a plan: a glTF file that a reader of the specification finds whole."""

import dataclasses
import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tavid_core.errors import InputError
from tavid_core.export_glb import render_glb
from tavid_core.lifting.body_mesh import mesh_body
from tavid_core.lifting.body_model import load_body_model
from tests.core.test_body_mesh import write_smplx
from tests.drawn import draw_plan, fill_plan

TYPES = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}
COMPONENTS = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
FLIP = np.diag([1.0, -1.0, -1.0])


class Glb:
    """Read a file by the letter of the specification."""

    def __init__(self, data):
        magic, version, size = struct.unpack_from("<4sII", data)
        assert (magic, version, size) == (b"glTF", 2, len(data))
        length, kind = struct.unpack_from("<I4s", data, 12)
        assert (kind, length % 4) == (b"JSON", 0)
        self.json = json.loads(data[20 : 20 + length])
        bin_length, kind = struct.unpack_from("<I4s", data, 20 + length)
        assert kind == b"BIN\0"
        self.data = data[28 + length :]
        assert bin_length == len(self.data)
        self.nodes = self.json["nodes"]

    def array(self, index):
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        dtype = np.dtype(COMPONENTS[accessor["componentType"]])
        assert view["byteOffset"] % dtype.itemsize == 0
        shape = (accessor["count"], *TYPES[accessor["type"]])
        raw = self.data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        return np.frombuffer(raw, dtype).reshape(shape)

    def node(self, name):
        return next(i for i, node in enumerate(self.nodes) if node["name"] == name)

    def local(self, index, frame):
        """Matrix of a node in the parent's frame, at a frame of the animation."""
        node = dict(self.nodes[index])
        animation = self.json["animations"][0]
        for channel in animation["channels"]:
            if channel["target"]["node"] == index:
                sampler = animation["samplers"][channel["sampler"]]
                node[channel["target"]["path"]] = self.array(sampler["output"])[frame]
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
        matrix[:3, 3] = node.get("translation", [0, 0, 0])
        return matrix

    def world(self, index, frame):
        parents = [i for i, node in enumerate(self.nodes) if index in node.get("children", [])]
        local = self.local(index, frame)
        return local if not parents else self.world(parents[0], frame) @ local

    def skinned(self, frame):
        node = next(node for node in self.nodes if "skin" in node)
        skin = self.json["skins"][node["skin"]]
        (primitive,) = self.json["meshes"][node["mesh"]]["primitives"]
        fields = {name: self.array(i) for name, i in primitive["attributes"].items()}
        # Matrices are stored column by column.
        binds = np.swapaxes(self.array(skin["inverseBindMatrices"]), 1, 2)
        moves = np.stack([self.world(joint, frame) for joint in skin["joints"]]) @ binds
        blended = np.einsum("vk,vkab->vab", fields["WEIGHTS_0"], moves[fields["JOINTS_0"]])
        points = np.append(fields["POSITION"], np.ones((len(fields["POSITION"]), 1)), axis=1)
        return np.einsum("vab,vb->va", blended, points)[:, :3], self.array(primitive["indices"])


@pytest.fixture(scope="module")
def plan():
    return fill_plan(draw_plan())


@pytest.fixture(scope="module")
def glb(plan):
    return Glb(render_glb(plan, load_body_model()))


@pytest.mark.parametrize("frame", [0, 7])
def test_body_is_where_its_surface_is(plan, glb, frame):
    vertices, indices = glb.skinned(frame)
    expected_m, triangles = mesh_body(plan.motion.body_fit, load_body_model(), frame)
    np.testing.assert_allclose(vertices, expected_m @ FLIP, atol=1e-4)
    np.testing.assert_array_equal(indices.reshape(-1, 3), triangles)


def test_target_moves_as_in_the_plan(plan, glb):
    place = glb.world(glb.node("target"), 12)[:3, 3]
    np.testing.assert_allclose(place, FLIP @ plan.motion.target.positions_camera_m[12], atol=1e-5)


def test_camera_is_in_the_origin_and_looks_at_the_target(plan, glb):
    camera = glb.json["cameras"][0]["perspective"]
    assert camera["yfov"] == pytest.approx(2 * np.arctan(32 / 90))
    assert camera["aspectRatio"] == pytest.approx(1.5)
    np.testing.assert_allclose(glb.world(glb.node("camera"), 0), np.eye(4), atol=1e-9)


def test_bounds_and_times_are_told(glb):
    sampler = glb.json["animations"][0]["samplers"][0]
    times = glb.json["accessors"][sampler["input"]]
    assert (times["min"], times["max"]) == ([0.0], [2.0])
    mesh = glb.json["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    vertices = glb.array(mesh)
    assert glb.json["accessors"][mesh]["max"] == pytest.approx(vertices.max(axis=0).tolist())


def test_turned_target_turns():
    plan = fill_plan(draw_plan())
    turns = Rotation.from_rotvec(np.linspace(0, 1, 17)[:, None] * [0, 1.0, 0]).as_quat()
    motion = dataclasses.replace(
        plan.motion, target_dof=6, target_quaternions_xyzw=turns.astype(np.float32), body_fit=None
    )
    glb = Glb(render_glb(dataclasses.replace(plan, motion=motion)))
    turn = FLIP @ glb.world(glb.node("target"), 16)[:3, :3]
    np.testing.assert_allclose(turn, Rotation.from_rotvec([0, 1, 0]).as_matrix(), atol=1e-5)
    assert "skins" not in glb.json


def test_plan_without_hand_or_body_is_a_scene_too():
    glb = Glb(render_glb(draw_plan(hand_confidence=0.0)))
    names = {node["name"] for node in glb.nodes}
    assert names == {"tavid plan", "camera", "target", "target path"}


def test_body_of_another_model_is_refused(plan, tmp_path):
    with pytest.raises(InputError, match="must be of the body SMPLX, got one of STANDIN"):
        render_glb(plan, write_smplx(tmp_path / "S.npz"))
