"""Which takes of Ego-Exo4D have touches with masks, from its three kinds of annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tavid_core.errors import InputError
from training.sources.cut_rules import CutRules
from training.sources.egoexo4d.descriptions import Description, match_object, parse_descriptions
from training.sources.egoexo4d.take import Event, TakeJob
from training.sources.field_values import find_inside, pick
from training.sources.json_file import read_json_file
from training.sources.safe_names import safe_name

__all__ = ["list_take_jobs"]

DOWNSCALED = "frame_aligned_videos/downscaled/448"
SPLITS = ("train", "val", "test")


def list_take_jobs(
    root: Path,
    rules: CutRules,
    *,
    splits: Collection[str] = ("train",),
    only: Collection[str] | None = None,
    downscaled: bool = False,
) -> list[TakeJob]:
    """List the takes with descriptions of touches.

    Args:
        root: Of the data set, with `takes.json`, `annotations` and `takes`.
        rules: What makes a clip.
        splits: Whose annotations are read: train, val, test.
        only: Names of takes; None for all.
        downscaled: Whether the videos with 448 pixels on the short side are read.

    Returns:
        One job per take that has a description of a touch.

    Raises:
        InputError: If a file is missing or damaged, or no take is left.
    """
    takes = _read_takes(root)
    jobs = []
    descriptions = _read_annotations(root, "atomic_descriptions", splits)
    relations = _read_annotations(root, "relations", splits)
    for uid, passes in tqdm(sorted(descriptions.items()), desc="takes", disable=None):
        take = takes.get(uid)
        if take is None or (only is not None and take["take_name"] not in only):
            continue
        told = list(parse_descriptions(passes, default_camera=take.get("best_exo")))
        if not told:
            continue
        left_out: Counter[str] = Counter()
        events = tuple(_find_events(told, relations.get(uid), left_out))
        named = take.get("root_dir") or f"takes/{take['take_name']}"
        folder = find_inside(root, named, "root_dir of takes.json")
        cameras = {event.description.camera for event in events}
        found = (_find_video(folder, take, camera, downscaled) for camera in sorted(cameras))
        jobs.append(
            TakeJob(
                name=safe_name(take["take_name"]),
                folder=folder,
                videos={camera: path for camera, path in found if path is not None},
                events=events,
                hands=_find_pose(root, "hand", uid),
                body=_find_pose(root, "body", uid),
                left_out=dict(left_out),
                fps=rules.fps,
                size_hw=rules.size_hw,
                num_frames=rules.num_frames,
            )
        )
    if not jobs:
        raise InputError(
            f"{root} must hold takes with descriptions of touches, got none that is wanted. Check "
            "the folder, --splits and --only."
        )
    return jobs


def _read_takes(root: Path) -> dict[str, dict[str, Any]]:
    takes = read_json_file(root / "takes.json")
    if not isinstance(takes, list):
        raise InputError(f"takes.json must hold a list, got {type(takes).__name__}. Download it.")
    return {
        take["take_uid"]: take
        for take in takes
        if isinstance(take, dict)
        and isinstance(take.get("take_uid"), str)
        and isinstance(take.get("take_name"), str)
    }


def _read_annotations(root: Path, kind: str, splits: Collection[str]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    paths = [root / "annotations" / f"{kind}_{split}.json" for split in splits]
    present = [path for path in paths if path.is_file()]
    if not present:
        raise InputError(
            f"annotations must hold {paths[0].name}, got none in {root}. Download it: egoexo "
            "--parts annotations."
        )
    for path in present:
        document = read_json_file(path)
        annotations = document.get("annotations") if isinstance(document, Mapping) else None
        if not isinstance(annotations, Mapping):
            raise InputError(f"{path.name} must hold annotations, got none. Download it again.")
        merged.update(annotations)
    return merged


def _find_events(told: list[Description], relation: Any, left_out: Counter[str]) -> Iterator[Event]:
    objects = relation.get("object_masks") if isinstance(relation, Mapping) else None
    if not isinstance(objects, Mapping):
        left_out["take without masks"] += len(told)
        return
    for description in told:
        if description.camera is None:
            left_out["no best camera"] += 1
            continue
        seen = {
            name: masks
            for name, cameras in objects.items()
            if (masks := _masks_of(cameras, description.camera))
        }
        target = match_object(description.text, seen)
        if target is None:
            left_out["no mask of what the description names"] += 1
            continue
        yield Event(description, target, seen[target])


def _masks_of(cameras: Any, camera: str) -> Mapping[str, Any] | None:
    masks = cameras.get(camera) if isinstance(cameras, Mapping) else None
    masks = masks.get("annotation") if isinstance(masks, Mapping) else None
    return masks if isinstance(masks, Mapping) and masks else None


def _find_video(
    folder: Path, take: Mapping[str, Any], camera: str, downscaled: bool
) -> tuple[str, Path | None]:
    candidates = []
    if downscaled:
        candidates.append(f"{DOWNSCALED}/{camera}.mp4")
    else:
        listed = pick(take, "frame_aligned_videos", camera, "0", "relative_path")
        candidates += [listed] if isinstance(listed, str) else []
        candidates.append(f"frame_aligned_videos/{camera}.mp4")
    for candidate in candidates:
        path = find_inside(folder, candidate, "relative_path of takes.json")
        if path.is_file():
            return camera, path
    return camera, None


def _find_pose(root: Path, kind: str, uid: str) -> Path | None:
    for split in SPLITS:
        parent = root / "annotations" / "ego_pose" / split / kind / "annotation"
        path = find_inside(parent, f"{uid}.json", "take_uid of takes.json")
        if path.is_file():
            return path
    return None
