"""Miniature copies of Ego-Exo4D as published: what the source reads, and what lies beside it."""

import numpy as np
from pycocotools import mask as coco

from tests.training.sources.drawn_touch import write_video
from tests.training.sources.published_behave import write_json

UID, TAKE = "0b5c2d6e-take", "fair_cooking_06_2"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-$"
HEADER = (
    "cam_uid,graph_uid,tx_world_cam,ty_world_cam,tz_world_cam,qx_world_cam,qy_world_cam,"
    "qz_world_cam,qw_world_cam,image_width,image_height,intrinsics_type,"
    + ",".join(f"intrinsics_{index}" for index in range(8))
    + ",start_frame_idx,end_frame_idx,quality"
)


def pack_text(text):
    """Pack as LZString does, but with every character spelt out."""
    bits: list[int] = []

    def put(number, count):
        bits.extend(number >> power & 1 for power in range(count))

    room, width = 4, 3
    for index, character in enumerate(text):
        put(0, 2 if index == 0 else width)
        put(ord(character), 8)
        for _ in range(0 if index == 0 else 2):
            room -= 1
            if room == 0:
                room, width = 1 << width, width + 1
    put(2, width if text else 2)
    bits += [0] * (-len(bits) % 6)
    groups = (bits[place : place + 6] for place in range(0, len(bits), 6))
    return "".join(ALPHABET[int("".join(map(str, group)), 2)] for group in groups)


def encode_mask(mask):
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    height, width = mask.shape
    encoded = pack_text(packed["counts"].decode("ascii"))
    return {"width": width, "height": height, "encodedMask": encoded}


def write_takes(root, *, best_exo="cam02", cameras=("cam01", "cam02"), relative_path=True):
    streams = {
        camera: {"0": {"relative_path": f"frame_aligned_videos/{camera}.mp4"}} for camera in cameras
    }
    streams["aria01"] = {"rgb": {"relative_path": "frame_aligned_videos/aria01_214-1.mp4"}}
    streams["best_exo"] = {"0": {"relative_path": None}}
    take = {
        "take_uid": UID,
        "take_name": TAKE,
        "root_dir": f"takes/{TAKE}",
        "best_exo": best_exo,
        "task_name": "Making tea",
        "parent_task_name": "Cooking",
        "duration_sec": 10.0,
        "task_start_sec": None,
        "task_end_sec": None,
        "capture": {"cameras": [{"cam_id": c, "is_ego": False} for c in cameras]},
        "frame_aligned_videos": streams if relative_path else {},
    }
    write_json(root / "takes.json", [take, {"take_uid": None}, "no take"])


def describe(text="C picks up the red disc with his hand.", timestamp=5.0, **fields):
    found = {"text": text, "timestamp": timestamp, "subject": "C", "unsure": False}
    return {**found, "best_exo": {"cam_id": "cam01"}, "ego_visible": True, **fields}


def write_descriptions(root, descriptions, split="train"):
    passes = [
        {"rejected": False, "descriptions": descriptions},
        {"rejected": True, "descriptions": [describe("C touches the moon.")]},
    ]
    write_json(
        root / f"annotations/atomic_descriptions_{split}.json",
        {"annotations": {UID: passes}, "take_cam_id_map": {}},
    )


def write_relations(root, drawn, *, name="red disc_0", camera="cam01", every=30, split="train"):
    masks = {
        str(index): encode_mask(drawn.target_masks[index])
        for index in range(0, len(drawn.frames), every)
    }
    objects = {name: {camera: {"annotation": masks}}, "table_1": {camera: {"annotation": masks}}}
    write_json(
        root / f"annotations/relations_{split}.json",
        {"annotations": {UID: {"take_name": TAKE, "object_masks": objects}}},
    )


def write_lenses(
    root, size_hw, cameras=("cam01", "cam02"), *, bend=(0.03, 0.01, 0.0, 0.0), portrait=None
):
    lines = [HEADER]
    for camera in (*cameras, *filter(None, [portrait])):
        height, width = size_hw[::-1] if camera == portrait else size_hw
        focal_px = max(size_hw) * 0.8
        numbers = [focal_px, focal_px, (width - 1) / 2, (height - 1) / 2, *bend]
        fields = [f" {camera}", "graph", 0, 0, 0, 0, 0, 0, 1, width, height, "KANNALABRANDTK3"]
        lines.append(",".join(map(str, [*fields, *numbers, -1, -1, 1])))
    path = root / "takes" / TAKE / "trajectory" / "gopro_calibs.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_poses(root, drawn, *, camera="cam01", every=10, person_rows=60):
    """Hands with a wrist and an index finger; a body that stands at the right edge."""
    hands, bodies = {}, {}
    for index in range(0, len(drawn.frames), every):
        column, row = drawn.hand_pixels[index]
        joints = {
            "right_index_4": {"x": column, "y": row, "placement": "manual"},
            "right_wrist": {"x": column + 12, "y": row, "placement": "auto"},
        }
        hands[str(index)] = [{"annotation2D": {camera: joints}, "annotation3D": {}}]
        body = {
            "nose": {"x": 110, "y": row - person_rows / 2},
            "left-ankle": {"x": 110, "y": row + person_rows / 2},
            "right-ankle": {"x": 120, "y": row + person_rows / 2},
            "right-wrist": {"x": min(column + 12, 120), "y": row},
        }
        bodies[str(index)] = [{"annotation2D": {camera: body}, "annotation3D": {}}]
    folder = root / "annotations" / "ego_pose" / "train"
    write_json(folder / "hand" / "annotation" / f"{UID}.json", hands)
    write_json(folder / "body" / "annotation" / f"{UID}.json", bodies)


def write_beside(root):
    """Keysteps, poses of cameras and the split of the correspondence benchmark; none is read."""
    annotations = root / "annotations"
    segment = {"start_time": 4.0, "end_time": 6.0, "step_id": 3, "step_name": "Pick up the disc"}
    for split in ("train", "val"):
        takes = {TAKE: {"take_uid": UID, "take_name": TAKE, "segments": [segment]}}
        write_json(annotations / f"keystep_{split}.json", {"annotations": takes, "taxonomy": {}})
        name = f"{split}/{TAKE}/start4.00_end6.00_cam01.mp4"
        segments = {"segments": [{"segment_name_list": [name], "label": 3}]}
        write_json(annotations / "keystep_benchmark" / f"keystep_segment_{split}.json", segments)
    pose = {"camera_intrinsics": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "camera_extrinsics": []}
    poses = annotations / "ego_pose" / "train" / "camera_pose" / f"{UID}.json"
    write_json(poses, {"metadata": {"take_uid": UID}, "cam01": pose})
    split = {"train": [UID], "val": [], "test": []}
    write_json(root / "correspondence" / "SegSwap" / "data" / "split.json", split)


def write_portrait(root, drawn, *, camera="cam03", **options):
    """A take whose best view is a portrait one."""
    size_hw = drawn.frames.shape[1:3]
    write_takes(root, best_exo=camera, cameras=("cam01", camera))
    write_descriptions(root, [describe(best_exo={"cam_id": camera}, **options)])
    write_relations(root, drawn, camera=camera)
    write_lenses(root, size_hw[::-1], ("cam01",), portrait=camera)
    write_video(root / "takes" / TAKE / "frame_aligned_videos" / f"{camera}.mp4", drawn.frames)


def write_egoexo4d(root, drawn, *, descriptions=None, poses=True, bend=(0.03, 0.01, 0.0, 0.0)):
    """The whole: one take, one still camera with the drawn touch."""
    write_takes(root)
    write_beside(root)
    write_descriptions(root, [describe()] if descriptions is None else descriptions)
    write_relations(root, drawn)
    write_lenses(root, drawn.frames.shape[1:3], bend=bend)
    write_video(root / "takes" / TAKE / "frame_aligned_videos" / "cam01.mp4", drawn.frames)
    if poses:
        write_poses(root, drawn)
