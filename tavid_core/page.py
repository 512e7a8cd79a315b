"""plan.html: one self-contained page with the video, the 3D motion, and how far to trust them."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_field_of_view, intrinsics_to_json, unproject
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.body_mesh import BodySurface
from tavid_core.lifting.body_model import STANDIN, BodyModel, load_body_model
from tavid_core.motion import BodyFit
from tavid_core.plan_json import plan_to_json
from tavid_core.summary import (
    describe_basis,
    describe_motion,
    describe_outcome,
    rate_outcome,
)
from tavid_core.target_box import estimate_target_size
from tavid_core.types import InteractionPlan
from tavid_core.video import encode_mp4, enlarge
from tavid_core.visualize import TRACK_COLORS, draw_overlay

__all__ = ["render_page"]

ASSETS = Path(__file__).parent / "assets" / "page"
PICTURE_HEIGHT_PX = 320
MAX_PICTURE_HEIGHT_PX = 720
MAX_CLOUD_POINTS = 9000
MAX_CLOUD_DEPTH_M = 8.0
BODY_CELL_M = 0.035
# What int16 millimetres can hold.
MAX_BODY_M = 32.0
FLAT_NOTE = " No depth was measured: the picture is laid flat at the assumed distance."


def render_page(plan: InteractionPlan, body_model: BodyModel | None = None) -> str:
    """Make the page of a plan.

    It loads nothing from anywhere: pictures, video, numbers and scripts are inside. Text of users
    is escaped wherever it stands.

    Args:
        plan: What to show.
        body_model: The body that was fitted, whose surface is shown; not needed for the stand-in.

    Returns:
        An HTML document.
    """
    request, rollout = plan.request, plan.rollout
    verdict = describe_outcome(plan)
    num_frames, fps = len(rollout.frames), rollout.fps
    story = describe_motion(plan)
    facts = (
        f"{num_frames} frames, {num_frames / fps:.1f} s",
        f"planned in {plan.planning_time_sec:.1f} s",
        *describe_basis(plan),
    )
    parts = {
        "TITLE": html.escape(f"{verdict} - tavid"),
        "PROMPT": html.escape(request.prompt),
        "VERDICT": html.escape(verdict[0].upper() + verdict[1:]),
        "VERDICT_CLASS": rate_outcome(plan),
        "STORY": html.escape(f"{story[:1].upper()}{story[1:]}." if story else ""),
        "FACTS": "".join(f"<span>{html.escape(fact)}</span>" for fact in facts),
        "CLOUD_NOTE": "" if plan.motion.scale_source == "sensor" else FLAT_NOTE,
        "VIDEO": base64.b64encode(encode_mp4(rollout)).decode("ascii"),
        "MASK_IMAGE": _picture(plan, None),
        "ATTENTION_FIGURE": _attention_figure(plan),
        "DATA": _embed_json(_page_data(plan, body_model)),
        "STYLE": _asset("page.css"),
        "SCENE_SCRIPT": _asset("scene.js"),
        "PAGE_SCRIPT": _asset("page.js"),
    }
    # One pass: what is filled in is never searched for further marks.
    return re.sub(r"@@([A-Z_]+)@@", lambda mark: parts[mark.group(1)], _asset("page.html"))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _embed_json(document: dict[str, Any]) -> str:
    """Write JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _page_data(plan: InteractionPlan, body_model: BodyModel | None) -> dict[str, Any]:
    request = plan.request
    height, width = request.image.shape[:2]
    camera = request.intrinsics or intrinsics_from_field_of_view(width, height)
    fit = FrameFit((height, width), plan.rollout.frames.shape[1:3])
    return {
        **plan_to_json(plan),
        "camera": intrinsics_to_json(camera),
        "window": list(fit.window),
        "colors": {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in TRACK_COLORS.items()},
        "cloud": _cloud(plan),
        "body": _body(plan.motion.body_fit, body_model),
        "target_size_m": _target_size(plan),
    }


def _target_size(plan: InteractionPlan) -> list[float] | None:
    size_m = estimate_target_size(plan)
    return None if size_m is None else [float(side) for side in size_m]


def _cloud(plan: InteractionPlan) -> dict[str, Any] | None:
    """Thin frame 0 to coloured points, int16 millimetres: at its depth, or flat without any."""
    request = plan.request
    is_flat = plan.motion.scale_source != "sensor" or request.depth_m is None
    height, width = request.image.shape[:2]
    camera = request.intrinsics or intrinsics_from_field_of_view(width, height)
    step = max(1, int(np.ceil(np.sqrt(height * width / MAX_CLOUD_POINTS))))
    rows, columns = (
        grid.ravel() for grid in np.mgrid[step // 2 : height : step, step // 2 : width : step]
    )
    flat_m = float(plan.motion.target.positions_camera_m[0, 2])
    depth_m = np.full(len(rows), flat_m)
    if request.depth_m is not None and not is_flat:
        depth_m = request.depth_m[rows, columns].astype(np.float64)
    points_m = unproject(np.stack([columns, rows], axis=-1), depth_m, camera)
    kept = np.isfinite(points_m).all(axis=-1) & (np.abs(points_m) < MAX_CLOUD_DEPTH_M).all(axis=-1)
    if not kept.any():
        return None
    points_mm = (points_m[kept] * 1000).round().astype("<i2")
    colors = request.image[rows, columns][kept]
    return {
        "points_mm": base64.b64encode(points_mm.tobytes()).decode("ascii"),
        "colors": base64.b64encode(np.ascontiguousarray(colors).tobytes()).decode("ascii"),
        "is_flat": is_flat,
        "size_m": float(np.median(depth_m[kept]) * step / camera.fx),
    }


def _body(fit: BodyFit | None, body_model: BodyModel | None) -> dict[str, Any] | None:
    """Thin the fitted body's surface: int16 millimetres per frame and vertex, uint16 triangles."""
    if fit is None or (body_model is None and fit.model != STANDIN):
        return None
    surface = BodySurface(fit, body_model or load_body_model()).thinned(BODY_CELL_M)
    frames_m = np.stack([surface.at(frame) for frame in range(len(fit.residual_px))])
    if not np.isfinite(frames_m).all() or np.abs(frames_m).max() > MAX_BODY_M:
        return None
    points_mm = (frames_m * 1000).round().astype("<i2")
    return {
        "num_vertices": frames_m.shape[1],
        "points_mm": base64.b64encode(points_mm.tobytes()).decode("ascii"),
        "triangles": base64.b64encode(surface.triangles.astype("<u2").tobytes()).decode("ascii"),
    }


def _attention_figure(plan: InteractionPlan) -> str:
    attention_map = plan.rollout.attention_map
    if attention_map is None:
        return ""
    picture = _picture(plan, attention_map)
    return (
        f'<figure><img alt="Where the target token looked" src="{picture}">'
        "<figcaption>Attention of the target token</figcaption></figure>"
    )


def _picture(plan: InteractionPlan, attention_map: NDArray[np.float32] | None) -> str:
    """Draw mask or attention on the input, as a data URI."""
    image, mask = _fit_for_page(plan.request.image, plan.request.target_mask)
    overlay = draw_overlay(image, mask, attention_map)
    is_encoded, jpeg = cv2.imencode(".jpg", overlay[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert is_encoded
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def _fit_for_page(
    image: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    shown = enlarge(image, PICTURE_HEIGHT_PX)
    if shown.shape[0] > MAX_PICTURE_HEIGHT_PX:
        width = max(1, round(shown.shape[1] * MAX_PICTURE_HEIGHT_PX / shown.shape[0]))
        size_wh = (width, MAX_PICTURE_HEIGHT_PX)
        shown = cv2.resize(shown, size_wh, interpolation=cv2.INTER_AREA)
    shown_mask = cv2.resize(
        mask.astype(np.uint8), shown.shape[1::-1], interpolation=cv2.INTER_NEAREST
    )
    return shown, shown_mask > 0
