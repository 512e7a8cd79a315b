"""Plans on disk: one folder each, written at once or not at all, read back exactly.

`docs/plan_files.md` describes every file. Nothing here runs code that a file brings along.
"""

from __future__ import annotations

import json
import secrets
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.document import read_array, read_field, read_optional_array
from tavid_core.errors import InputError
from tavid_core.export_glb import render_glb
from tavid_core.lifting.body_model import BodyModel
from tavid_core.motion_parts import join_motion, motion_arrays
from tavid_core.page import render_page
from tavid_core.plan_json import parse_plan_json, plan_to_json, request_fields_from_json
from tavid_core.types import InteractionPlan, PlanRequest, Rollout
from tavid_core.video import encode_mp4, enlarge
from tavid_core.visualize import draw_overlay

__all__ = ["MESH_FILE", "PLAN_FILES", "check_plan_folder", "load_plan", "save_plan"]

PLAN_FILES = (
    "plan.json",
    "plan.html",
    "rollout.mp4",
    "overlay.png",
    "motion.npz",
    "rollout.npz",
    "request.npz",
)
# Only where a surface is wanted.
MESH_FILE = "motion.glb"
OVERLAY_HEIGHT_PX = 480
MAX_JSON_BYTES = 64 << 20


def save_plan(
    plan: InteractionPlan, folder: str | Path, *, body_model: BodyModel | None = None
) -> None:
    """Write a plan as a folder.

    A reader never sees half a plan: the files are written next to the folder and moved there
    together. A plan that is already there is replaced; any other folder or file is left alone.

    Args:
        plan: What to write.
        folder: Where; its parent must exist.
        body_model: The body that was fitted, to write its surface too, as `MESH_FILE`; nothing is
            written for a plan without a fitted body.

    Raises:
        InputError: If something else is there, the parent is missing, or the fit is of another
            body.
        OSError: If the disk refuses.
    """
    folder = Path(folder).expanduser().absolute()
    check_plan_folder(folder)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    partial.mkdir()
    try:
        _write_files(plan, partial, body_model)
        _move_into_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_plan_folder(folder: str | Path) -> None:
    """Refuse a place that `save_plan` would refuse; ask before planning, not after.

    Args:
        folder: Where a plan shall go.

    Raises:
        InputError: If something else is there, or the parent is missing.
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.parent.is_dir():
        raise InputError(
            f"folder must be in an existing directory, got {folder}. Create {folder.parent} first."
        )
    if not folder.exists() and not folder.is_symlink():
        return
    is_folder = folder.is_dir() and not folder.is_symlink()
    if is_folder and ((folder / "plan.json").is_file() or not any(folder.iterdir())):
        return
    raise InputError(
        f"folder must be new, empty, or an earlier plan, got {folder} with something else in it. "
        "Choose another name."
    )


def load_plan(folder: str | Path) -> InteractionPlan:
    """Read a plan back; every array is bit for bit what was saved.

    Args:
        folder: As given to `save_plan`.

    Returns:
        The plan.

    Raises:
        InputError: If the folder is no plan, or a file is missing or damaged; the message names it.
    """
    folder = Path(folder).expanduser()
    document = parse_plan_json(_read_text(folder / "plan.json"))
    try:
        rollout_arrays = _read_arrays(folder / "rollout.npz")
        rollout = Rollout(
            frames=read_array(rollout_arrays, "frames", np.uint8),
            fps=read_field(document, "rollout.fps", float),
            attention_map=read_optional_array(rollout_arrays, "attention_map", np.float32),
        )
        return InteractionPlan(
            request=_load_request(folder, document),
            rollout=rollout,
            motion=join_motion(
                read_field(document, "motion", dict),
                _read_arrays(folder / "motion.npz"),
                len(rollout.frames),
            ),
            provenance=read_field(document, "provenance", dict),
            planning_time_sec=read_field(document, "planning_time_sec", float),
        )
    except InputError as error:
        raise InputError(f"plan folder {folder} must be whole: {error}") from error


def _write_files(plan: InteractionPlan, folder: Path, body_model: BodyModel | None) -> None:
    request, rollout = plan.request, plan.rollout
    document = json.dumps(plan_to_json(plan), allow_nan=False, ensure_ascii=False, indent=1)
    (folder / "plan.json").write_text(document + "\n", encoding="utf-8")
    (folder / "plan.html").write_text(render_page(plan, body_model), encoding="utf-8")
    if body_model is not None and plan.motion.body_fit is not None:
        (folder / MESH_FILE).write_bytes(render_glb(plan, body_model))
    (folder / "rollout.mp4").write_bytes(encode_mp4(rollout))
    (folder / "overlay.png").write_bytes(_overlay_png(plan))
    depth_m = None if request.depth_m is None else request.depth_m.astype(np.float32)
    extra_masks = np.stack(request.extra_masks) if request.extra_masks else None
    optional = {
        "depth_m": depth_m,
        "actor_mask": request.actor_mask,
        "extra_masks": extra_masks,
    }
    np.savez_compressed(
        folder / "request.npz",
        image=request.image,
        target_mask=request.target_mask,
        **{name: array for name, array in optional.items() if array is not None},
    )
    attention = {} if rollout.attention_map is None else {"attention_map": rollout.attention_map}
    np.savez_compressed(folder / "rollout.npz", frames=rollout.frames, **attention)
    times_sec = np.arange(plan.motion.num_frames) / rollout.fps
    np.savez_compressed(folder / "motion.npz", time_sec=times_sec, **motion_arrays(plan.motion))


def _overlay_png(plan: InteractionPlan) -> bytes:
    image = enlarge(plan.request.image, OVERLAY_HEIGHT_PX)
    mask = plan.request.target_mask.astype(np.uint8)
    mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    overlay = draw_overlay(image, mask, plan.rollout.attention_map)
    is_encoded, png = cv2.imencode(".png", overlay[..., ::-1])
    assert is_encoded
    return png.tobytes()


def _move_into_place(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(
                f"{path} must be at most {MAX_JSON_BYTES} bytes, got {path.stat().st_size}. "
                "Make the plan again."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"plan folder must hold a readable {path.name}, got {error}. Check the path."
        ) from error


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    # A damaged npz may fail as a file, as a zip, or as an array header.
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, AttributeError) as error:
        raise InputError(
            f"{path.name} must be an npz file of plain arrays, got {error}. Make the plan again."
        ) from error


def _load_request(folder: Path, document: dict[str, Any]) -> PlanRequest:
    arrays = _read_arrays(folder / "request.npz")
    extra_masks = read_optional_array(arrays, "extra_masks", np.bool_)
    return PlanRequest(
        image=read_array(arrays, "image", np.uint8),
        target_mask=read_array(arrays, "target_mask", np.bool_),
        actor_mask=read_optional_array(arrays, "actor_mask", np.bool_),
        depth_m=read_optional_array(arrays, "depth_m", np.float32),
        extra_masks=() if extra_masks is None else tuple(np.atleast_1d(extra_masks)),
        **request_fields_from_json(document),
    )
