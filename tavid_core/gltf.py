"""A small writer of glTF 2.0 binary files (.glb), which 3D programs and browsers open.

References:
    Khronos glTF 2.0 specification, sections 3.6 (buffers), 3.7 (meshes, skins), 3.11 (animations)
    and 4.4 (GLB layout).
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GltfScene"]

_MAGIC, _VERSION, _JSON, _BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_COMPONENTS = {np.dtype("<u1"): 5121, np.dtype("<u2"): 5123, np.dtype("<u4"): 5125}
_COMPONENTS[np.dtype("<f4")] = 5126
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_LINE_STRIP = 3


class GltfScene:
    """Collect nodes, meshes and one animation, and write them."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._samplers: list[dict[str, Any]] = []
        self._channels: list[dict[str, Any]] = []
        self._roots: list[int] = []

    def add_node(self, *, is_root: bool = False, **fields: Any) -> int:
        """Add a node.

        Args:
            is_root: Whether it stands in the scene itself and not below another node.
            fields: As the specification names them: name, children, translation, ...

        Returns:
            Its number.
        """
        node = self._append("nodes", fields)
        if is_root:
            self._roots.append(node)
        return node

    def set_node(self, node: int, **fields: Any) -> None:
        """Add fields to a node, its children for example.

        Args:
            node: Its number.
            fields: As for `add_node`.
        """
        self._lists["nodes"][node].update(fields)

    def add_mesh(
        self,
        name: str,
        vertices: NDArray[np.float32],
        *,
        triangles: NDArray[np.int64] | None = None,
        color: tuple[float, float, float, float],
        joints: NDArray[np.uint8] | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> int:
        """Add a surface, or a line where there are no triangles.

        Args:
            name: Shown in 3D programs.
            vertices: float32 (V, 3), metres.
            triangles: int64 (F, 3), or None for a line through all vertices.
            color: Red, green, blue, opacity, each 0..1.
            joints: Up to four joints of each vertex, uint8 (V, 4), or None.
            weights: How much it follows each, float32 (V, 4), rows add up to 1; with `joints`.

        Returns:
            Its number.
        """
        material: dict[str, Any] = {
            "name": name,
            "pbrMetallicRoughness": {
                "baseColorFactor": list(color),
                "metallicFactor": 0.0,
                "roughnessFactor": 0.9,
            },
        }
        if color[3] < 1:
            material["alphaMode"] = "BLEND"
        attributes = {"POSITION": self._accessor(vertices, has_bounds=True)}
        primitive = {"attributes": attributes, "material": self._append("materials", material)}
        if triangles is None:
            primitive["mode"] = _LINE_STRIP
        else:
            primitive["indices"] = self._accessor(triangles.ravel().astype(np.uint32))
        if joints is not None:
            attributes["JOINTS_0"] = self._accessor(joints.astype(np.uint8))
            attributes["WEIGHTS_0"] = self._accessor(weights)
        return self._append("meshes", {"name": name, "primitives": [primitive]})

    def add_skin(self, joints: list[int], inverse_bind: NDArray[np.float32], skeleton: int) -> int:
        """Add a skin.

        Args:
            joints: Nodes in the order of the vertices' joint numbers.
            inverse_bind: Joint from mesh at rest, float32 (J, 4, 4), row by row.
            skeleton: Root of the joints.

        Returns:
            Its number.
        """
        # The file wants matrices column by column.
        matrices = self._accessor(np.swapaxes(inverse_bind, 1, 2))
        fields = {"joints": joints, "inverseBindMatrices": matrices, "skeleton": skeleton}
        return self._append("skins", fields)

    def add_camera(self, yfov_rad: float, aspect_ratio: float) -> int:
        """Add a camera, which looks along -z with y up.

        Args:
            yfov_rad: Vertical field of view.
            aspect_ratio: Width by height.

        Returns:
            Its number.
        """
        view = {"yfov": yfov_rad, "aspectRatio": aspect_ratio, "znear": 0.01}
        return self._append("cameras", {"type": "perspective", "perspective": view})

    def add_motion(
        self, node: int, path: str, times_sec: NDArray[np.float32], values: NDArray[np.float32]
    ) -> None:
        """Move a node over time, in straight lines between the given moments.

        Args:
            node: Which one.
            path: "translation" (T, 3), "rotation" (T, 4, xyzw) or "scale" (T, 3).
            times_sec: Rising, float32 (T,).
            values: One row per moment, float32.
        """
        fields = {
            "input": self._accessor(times_sec, has_bounds=True),
            "output": self._accessor(values),
            "interpolation": "LINEAR",
        }
        self._samplers.append(fields)
        target = {"node": node, "path": path}
        self._channels.append({"sampler": len(self._samplers) - 1, "target": target})

    def to_bytes(self) -> bytes:
        """Write the file.

        Returns:
            A .glb.
        """
        document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "tavid"},
            "scene": 0,
            "scenes": [{"nodes": self._roots}],
            "buffers": [{"byteLength": len(self._data)}],
            **self._lists,
        }
        if self._channels:
            document["animations"] = [
                {"name": "motion", "samplers": self._samplers, "channels": self._channels}
            ]
        text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii")
        parts = [_chunk(_JSON, text, b" "), _chunk(_BIN, bytes(self._data), b"\0")]
        size = 12 + sum(map(len, parts))
        return struct.pack("<III", _MAGIC, _VERSION, size) + b"".join(parts)

    def _append(self, name: str, item: dict[str, Any]) -> int:
        items = self._lists.setdefault(name, [])
        items.append(item)
        return len(items) - 1

    def _accessor(self, array: NDArray[Any], *, has_bounds: bool = False) -> int:
        if array.dtype.kind == "f":
            array = array.astype("<f4")
        array = np.ascontiguousarray(array)
        self._data += b"\0" * (-len(self._data) % 4)
        view = {"buffer": 0, "byteOffset": len(self._data), "byteLength": array.nbytes}
        self._data += array.tobytes()
        fields = {
            "bufferView": self._append("bufferViews", view),
            "componentType": _COMPONENTS[array.dtype],
            "count": len(array),
            "type": _TYPES[array.shape[1:]],
        }
        if has_bounds:
            fields["min"] = np.atleast_1d(array.min(axis=0)).tolist()
            fields["max"] = np.atleast_1d(array.max(axis=0)).tolist()
        return self._append("accessors", fields)


def _chunk(kind: int, data: bytes, filler: bytes) -> bytes:
    data += filler * (-len(data) % 4)
    return struct.pack("<II", len(data), kind) + data
