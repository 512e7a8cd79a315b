"""Draws ~/markers into a PNG, for where no RViz is: `python -m tavid_ros.marker_picture`.

It waits for the latched markers of a planner and draws what RViz would show, seen from the right
of the camera and a little above.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from rclpy.wait_for_message import wait_for_message
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from tavid_core.errors import MissingExtraError, NotReadyError, TavidError
from tavid_ros.publishers import LATCHED_QOS
from tavid_ros.rigid_transform import RigidTransform

__all__ = ["draw_markers", "main", "wait_for_markers"]

_SIZE_IN = (10.0, 7.2)
_DPI = 120
_BACKGROUND = "#242830"
_GRID = "#4a505c"
_INK = "#e1e6f0"
_ELEVATION_DEG, _AZIMUTH_DEG = 16.0, -62.0
_MARGIN = 0.06
_LEAST_EXTENT_M = 0.1
_FONT_PT = 11
_POLL_SEC = 0.5
_LEGEND = (
    "faint = now, full = the end; hands orange (left) and pink (right), target cyan, contact green"
)
# Corners of a unit cube, and its six sides.
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_SIDES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
# Rows are the picture's right, away and up. An optical frame has y down, any other z up.
_FROM_OPTICAL = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
_FROM_UPRIGHT = np.array([[0, -1.0, 0], [1.0, 0, 0], [0, 0, 1.0]])


def draw_markers(markers: MarkerArray, path: Path) -> None:
    """Draw markers as a picture.

    Args:
        markers: Lines, spheres, cubes and texts of one frame; other types and deletions are left
            out.
        path: PNG to write.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        NotReadyError: If there is nothing to draw.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "viz") from error
    shown = [marker for marker in markers.markers if marker.action == Marker.ADD]
    if not shown:
        raise NotReadyError(
            "markers must draw something, got deletions only. Ask for a plan that shows an actor."
        )
    with matplotlib.rc_context({"path.simplify": False}):
        figure = Figure(figsize=_SIZE_IN, facecolor=_BACKGROUND)
        scene = _Scene(figure, shown)
        for marker in shown:
            scene.draw(marker)
        scene.finish(shown[0].header.frame_id)
        figure.savefig(path, dpi=_DPI, facecolor=_BACKGROUND)


class _Scene:
    """Three axes with equal units, and a way to draw each type of marker."""

    def __init__(self, figure: Any, markers: Sequence[Marker]) -> None:
        self._figure = figure
        frame_id = markers[0].header.frame_id
        self._is_optical = "optical" in frame_id
        self._turn = _FROM_OPTICAL if self._is_optical else _FROM_UPRIGHT
        self._axes = figure.add_axes((0.0, 0.06, 1.0, 0.94), projection="3d", facecolor=_BACKGROUND)
        self._axes.computed_zorder = False
        places = np.concatenate([self._place(marker) for marker in markers])
        self._low, self._high = places.min(axis=0), places.max(axis=0)
        extent_m = np.maximum(self._high - self._low, _LEAST_EXTENT_M)
        # About how long a metre is on the paper.
        self._points_per_m = 0.7 * 72 * _SIZE_IN[1] / float(extent_m.max())

    def draw(self, marker: Marker) -> None:
        """Draw one marker; unknown types are left out."""
        draw = {
            Marker.LINE_STRIP: self._draw_strip,
            Marker.LINE_LIST: self._draw_list,
            Marker.SPHERE: self._draw_spheres,
            Marker.SPHERE_LIST: self._draw_spheres,
            Marker.CUBE: self._draw_cube,
            Marker.TEXT_VIEW_FACING: self._draw_text,
        }.get(marker.type)
        if draw is not None:
            draw(marker)

    def finish(self, frame_id: str) -> None:
        """Set view, limits and labels."""
        axes = self._axes
        middle = (self._low + self._high) / 2
        half_m = np.maximum(self._high - self._low, _LEAST_EXTENT_M) * (0.5 + _MARGIN)
        axes.set_xlim(middle[0] - half_m[0], middle[0] + half_m[0])
        axes.set_ylim(middle[1] - half_m[1], middle[1] + half_m[1])
        axes.set_zlim(middle[2] - half_m[2], middle[2] + half_m[2])
        axes.set_box_aspect(half_m, zoom=1.1)
        axes.view_init(_ELEVATION_DEG, _AZIMUTH_DEG)
        names = (
            ("x (m)", "z (m), away", "-y (m), up")
            if self._is_optical
            else ("-y (m)", "x (m), ahead", "z (m), up")
        )
        for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), names, strict=True):
            axis.set_label_text(name, color=_INK)
            axis.get_major_locator().set_params(nbins=5)
            axis.set_tick_params(colors=_INK, labelsize=8)
            axis.set_pane_color(_BACKGROUND)
            axis.line.set_color(_GRID)
            axis._axinfo["grid"].update(color=_GRID, linewidth=0.5)  # noqa: SLF001 - no other way
        self._figure.text(0.02, 0.02, f"{frame_id}: {_LEGEND}", color=_INK, fontsize=9)

    def _place(self, marker: Marker) -> NDArray[np.float64]:
        """Points of a marker (its own place if it has none) in the picture's axes, (N, 3)."""
        place, turn = marker.pose.position, marker.pose.orientation
        frame_from_marker = RigidTransform.of(
            [turn.x, turn.y, turn.z, turn.w], [place.x, place.y, place.z]
        )
        points = np.zeros((1, 3))
        if marker.type == Marker.CUBE:
            points = _CORNERS * [marker.scale.x, marker.scale.y, marker.scale.z]
        elif marker.points:
            points = np.array([[point.x, point.y, point.z] for point in marker.points])
        return frame_from_marker.apply(points) @ self._turn.T

    def _width_pt(self, width_m: float) -> float:
        return float(np.clip(width_m * self._points_per_m, 1.0, 12.0))

    def _draw_strip(self, marker: Marker) -> None:
        points, colors = self._place(marker), _read_colors(marker)
        pairs = zip(points[:-1], points[1:], colors[1:], strict=True)
        self._draw_segments(marker, list(pairs))

    def _draw_list(self, marker: Marker) -> None:
        points, colors = self._place(marker), _read_colors(marker)
        pairs = zip(points[::2], points[1::2], colors[1::2], strict=True)
        self._draw_segments(marker, list(pairs))

    def _draw_segments(self, marker: Marker, segments: list[tuple[Any, Any, Any]]) -> None:
        from mpl_toolkits.mplot3d.art3d import Line3DCollection

        lines = Line3DCollection(
            [(start, end) for start, end, _ in segments],
            colors=[color for *_, color in segments],
            linewidths=self._width_pt(marker.scale.x),
            capstyle="round",
            zorder=3,
        )
        self._axes.add_collection3d(lines)

    def _draw_spheres(self, marker: Marker) -> None:
        size_pt = self._width_pt(0.0) + marker.scale.x * self._points_per_m
        self._axes.scatter(
            *self._place(marker).T,
            s=size_pt**2,
            c=_read_colors(marker),
            depthshade=False,
            edgecolors="none",
            zorder=4,
        )

    def _draw_cube(self, marker: Marker) -> None:
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection

        corners, color = self._place(marker), _read_color(marker.color)
        sides = Poly3DCollection(
            [corners[list(side)] for side in _SIDES],
            facecolors=(*color[:3], 0.45 * color[3]),
            edgecolors=color,
            linewidths=1.2,
            zorder=2,
        )
        self._axes.add_collection3d(sides)

    def _draw_text(self, marker: Marker) -> None:
        self._axes.text(
            *self._place(marker)[0],
            marker.text,
            color=_read_color(marker.color),
            ha="center",
            va="bottom",
            fontsize=_FONT_PT,
            linespacing=1.3,
            zorder=5,
            # A prompt may hold dollars; they are no formula.
            parse_math=False,
        )


def _read_color(color: ColorRGBA) -> tuple[float, float, float, float]:
    red, green, blue, alpha = (
        min(max(float(channel), 0.0), 1.0) for channel in (color.r, color.g, color.b, color.a)
    )
    return red, green, blue, alpha


def _read_colors(marker: Marker) -> list[tuple[float, float, float, float]]:
    num_points = max(1, len(marker.points))
    if len(marker.colors) == num_points:
        return [_read_color(color) for color in marker.colors]
    return [_read_color(marker.color)] * num_points


def wait_for_markers(node: Node, topic: str, timeout_sec: float) -> MarkerArray:
    """Wait until somebody draws a plan.

    Args:
        node: Any node that nobody spins.
        topic: Latched, as ~/markers of the planner.
        timeout_sec: Longest wait.

    Returns:
        The markers.

    Raises:
        NotReadyError: If none came, or only deletions.
    """
    deadline_sec = time.monotonic() + timeout_sec
    while (left_sec := deadline_sec - time.monotonic()) > 0:
        is_here, markers = wait_for_message(
            MarkerArray, node, topic, qos_profile=LATCHED_QOS, time_to_wait=left_sec
        )
        if is_here and any(marker.action == Marker.ADD for marker in markers.markers):
            return markers
        time.sleep(min(_POLL_SEC, max(0.0, deadline_sec - time.monotonic())))
    raise NotReadyError(
        f"markers must come on {node.resolve_topic_name(topic)} within {timeout_sec:g} s, got "
        "none. Ask the planner for a plan, or check the topic's name and ROS_DOMAIN_ID."
    )


def main(args: list[str] | None = None) -> int:
    """Draw the markers of a running planner.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0 with a picture, 1 without.
    """
    words = sys.argv[1:] if args is None else args
    parser = argparse.ArgumentParser(
        prog="python -m tavid_ros.marker_picture", description="Draw ~/markers into a PNG."
    )
    parser.add_argument("--topic", default="planner/markers", help="MarkerArray [planner/markers]")
    parser.add_argument("--out", type=Path, default=Path("markers.png"), help="[markers.png]")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SEC", help="[60]")
    options = parser.parse_args(remove_ros_args(["", *words])[1:])
    rclpy.init(args=words)
    node = rclpy.create_node("marker_picture")
    try:
        print(f"waiting for {node.resolve_topic_name(options.topic)} ...", flush=True)
        draw_markers(wait_for_markers(node, options.topic, options.timeout), options.out)
    except (TavidError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(f"drawn: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
