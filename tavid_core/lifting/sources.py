"""Where keypoints and bodies come from, by the names that a user gives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tavid_core.errors import ConfigError
from tavid_core.lifting.keypoints import KeypointDetector
from tavid_core.types import InteractionMotion

if TYPE_CHECKING:
    from tavid_core.lifting.body_model import BodyModel

__all__ = ["BODY_FITS", "load_detector", "load_lifter", "load_mesh_body"]

FILE_ENDINGS = (".json", ".npz")
BODY_FITS = ("none", "joints", "mesh")


def load_detector(source: str = "mini") -> KeypointDetector:
    """Make a detector.

    Args:
        source: "mini" (the shipped one, for the shipped world), "mediapipe" (people in real
            pictures, extra `pose`), or a .json or .npz file with keypoints of the rollout.

    Returns:
        The detector.

    Raises:
        ConfigError: If the source is none of these.
        InputError: If the file is unusable.
        MissingExtraError: If mediapipe is not installed.
        WeightsError: If the shipped detector is damaged.
    """
    if source == "mini":
        from tavid_core.lifting.detector import HeatmapDetector

        return HeatmapDetector.from_pretrained()
    if source == "mediapipe":
        from tavid_core.lifting.mediapipe_pose import MediapipeDetector

        return MediapipeDetector()
    if Path(source).suffix in FILE_ENDINGS:
        from tavid_core.lifting.keypoint_file import KeypointFile

        return KeypointFile(source)
    raise ConfigError(
        f"keypoints must be 'mini', 'mediapipe' or a .json or .npz file, got {source[:80]!r}. "
        "Use 'mediapipe' for real pictures."
    )


def load_lifter(
    body_fit: str = "none", body_model: str | Path | None = None
) -> Callable[..., InteractionMotion]:
    """Make what lifts a rollout; see `tavid_core.lifting.lift.lift`.

    Args:
        body_fit: One of `BODY_FITS`: all but "none" fit a body to the actor.
        body_model: A SMPL-X npz file, or None or "" for the shipped stand-in.

    Returns:
        The function.

    Raises:
        ConfigError: If `body_fit` is something else, or the file is no npz.
        WeightsError: If the body cannot be read.
    """
    from tavid_core.lifting.lift import lift

    if body_fit == "none":
        return lift
    if body_fit not in BODY_FITS:
        raise ConfigError(
            f"body_fit must be one of {', '.join(BODY_FITS)}, got {body_fit[:80]!r}. "
            "Use 'none' for speed."
        )
    from tavid_core.lifting.body_model import load_body_model

    return functools.partial(lift, body_model=load_body_model(body_model or None))


def load_mesh_body(
    body_fit: str = "none", body_model: str | Path | None = None
) -> BodyModel | None:
    """Read the body whose surface is to be saved with each plan; see `tavid_core.io.save_plan`.

    Args:
        body_fit: One of `BODY_FITS`.
        body_model: A SMPL-X npz file, or None or "" for the shipped stand-in.

    Returns:
        The body, or None unless `body_fit` is "mesh".

    Raises:
        ConfigError: If the file is no npz.
        WeightsError: If the body cannot be read, or holds no surface.
    """
    if body_fit != "mesh":
        return None
    from tavid_core.lifting.body_mesh import check_surface
    from tavid_core.lifting.body_model import load_body_model

    model = load_body_model(body_model or None)
    # Now, and not after minutes of planning.
    check_surface(model)
    return model
