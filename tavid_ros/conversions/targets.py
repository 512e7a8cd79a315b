"""Clicks, boxes and labels as messages, and what they ask."""

from __future__ import annotations

from geometry_msgs.msg import PointStamped, PolygonStamped
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import String
from tavid.srv import SegmentTarget

from tavid_core.errors import InputError
from tavid_core.segment_detect import clean_label
from tavid_core.segment_prompt import MAX_POINTS
from tavid_ros.segment_job import TargetQuery

__all__ = [
    "query_from_box",
    "query_from_label",
    "query_from_point",
    "query_from_points",
    "query_from_request",
]

# An image has no depth; RViz says where in the world a click is, within rounding.
_FLAT = 1e-6


def query_from_point(message: PointStamped) -> TargetQuery:
    """Read one click.

    Args:
        message: In pixels, so that z is 0.

    Returns:
        The query.

    Raises:
        InputError: If it lies in depth: a click on the world, in metres.
    """
    if abs(message.point.z) > _FLAT:
        raise InputError(
            f"point must be in pixels, with z 0, got z {message.point.z:g}. That is a click on the "
            "world, in metres: click on the image itself, or use `ros2 run tavid click X Y`."
        )
    return TargetQuery(points=((message.point.x, message.point.y),))


def query_from_points(message: PolygonStamped) -> TargetQuery:
    """Read several clicks on one target.

    Args:
        message: In pixels; z < 0 = beside the target.

    Returns:
        The query.

    Raises:
        InputError: If there are too many.
    """
    points = message.polygon.points
    _check_count("points", len(points))
    return TargetQuery(
        points=tuple((point.x, point.y) for point in points),
        labels=tuple(int(point.z >= 0) for point in points),
    )


def query_from_box(message: RegionOfInterest) -> TargetQuery:
    """Read a box around a target.

    Args:
        message: In pixels.

    Returns:
        The query.
    """
    left, top = float(message.x_offset), float(message.y_offset)
    return TargetQuery(box=(left, top, left + message.width, top + message.height))


def query_from_label(message: String) -> TargetQuery:
    """Read the name of a target.

    Args:
        message: One to a few words.

    Returns:
        The query.

    Raises:
        InputError: If it is empty, too long, or holds what does not print.
    """
    return TargetQuery(label=clean_label(message.data))


def query_from_request(request: SegmentTarget.Request) -> TargetQuery:
    """Read what a request of the service points at.

    Args:
        request: As received; a box of width 0 is none.

    Returns:
        The query.

    Raises:
        InputError: If something in it is too long.
    """
    _check_count("points", len(request.points))
    _check_count("labels", len(request.labels))
    return TargetQuery(
        points=tuple((point.x, point.y) for point in request.points),
        labels=tuple(int(label) for label in request.labels),
        box=query_from_box(request.box).box if request.box.width else None,
        label=clean_label(request.label) if request.label else "",
    )


def _check_count(name: str, count: int) -> None:
    # The worker checks everything else; this must not even be sent there.
    if count > MAX_POINTS:
        raise InputError(f"{name} must be at most {MAX_POINTS}, got {count}. Draw a box instead.")
