"""Miniature copies of BEHAVE as it is published: what the source reads, and what lies beside it."""

import json
import pickle

import cv2
import numpy as np
import trimesh

from tests.training.sources.drawn_touch import (
    write_mask,
    write_mask_video,
    write_picture,
    write_video,
)

SEQUENCE = "Date03_Sub04_chairwood_lift"
CAMERA = {"fx": 120.0, "fy": 120.0, "cx": 63.5, "cy": 47.5, "width": 128, "height": 96}


def write_json(path, fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))


def write_pickle(path, fields, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(fields, protocol=protocol))


def write_calibration(root, kinects=(0, 1, 2, 3), size_hw=(96, 128)):
    height, width = size_hw
    for kinect in kinects:
        color = {**CAMERA, "width": width, "height": height}
        color |= {"fx": width * 0.9, "fy": width * 0.9}
        color |= {"cx": (width - 1) / 2, "cy": (height - 1) / 2}
        bend = [0.05, -0.02, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        color["opencv"] = [color["fx"], color["fy"], color["cx"], color["cy"], *bend]
        write_json(root / f"calibs/intrinsics/{kinect}/calibration.json", {"color": color})
        turn = trimesh.transformations.rotation_matrix((kinect - 1) * np.pi / 2, [0, 1, 0])
        pose = {"rotation": turn[:3, :3].ravel().tolist(), "translation": [kinect - 1.0, 0, 0]}
        write_json(root / f"calibs/Date03/config/{kinect}/config.json", pose)
        empty = np.full((height, width, 3), 90, np.uint8)
        write_picture(root / f"calibs/Date03/background/t0001.000/k{kinect}.color.jpg", empty)
        write_depth(root / f"calibs/Date03/background/t0001.000/k{kinect}.depth.png", size_hw)


def write_depth(path, size_hw):
    """Millimetres, aligned to the colour picture; not read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(size_hw, 2000, np.uint16))


def write_info(folder, kinects=(0, 1, 2, 3), **fields):
    info = {
        "config": "../../calibs/Date03/config",
        "intrinsic": "../../calibs/intrinsics",
        "empty": "../../calibs/Date03/background",
        "cat": "chairwood",
        "gender": "male",
        "kinects": list(kinects),
        "beta": "betas",
    }
    write_json(folder / "info.json", {**info, **fields})


def write_objects(root):
    folder = root / "objects" / "chairwood"
    folder.mkdir(parents=True, exist_ok=True)
    box = trimesh.creation.box((0.4, 0.4, 0.4))
    box.apply_translation((5.0, 0, 0))  # templates are not centred; poses are about their mean
    box.export(folder / "chairwood_f2500.ply")
    # The scan itself, which is not the mesh that poses are about.
    box.apply_translation((1.0, 0, 0))
    box.export(folder / "chairwood.obj")


def write_registration(folder, gap_m, *, name="chair", form="meshes"):
    """A body and an object `gap_m` apart, as meshes, or as joints and a pose of the template."""
    if form == "meshes":
        body = trimesh.creation.icosphere(radius=0.3)
        body.apply_translation((-0.3 - gap_m, 0, 2.0))
        (folder / "person" / "fit02").mkdir(parents=True, exist_ok=True)
        body.export(folder / "person/fit02/person_fit.ply")
        box = trimesh.creation.box((0.4, 0.4, 0.4))
        box.apply_translation((0.2, 0, 2.0))
        (folder / name / "fit01").mkdir(parents=True, exist_ok=True)
        box.export(folder / name / "fit01" / f"{name}_fit.ply")
    else:
        joints = np.full((25, 4), 0.9)
        joints[[4, 7], :3] = [(-gap_m, 0, 2.0), (-1.0, 0, 2.0)]
        write_json(folder / "person/person_J3d.json", {"body_joints3d": joints.ravel().tolist()})
        pose = {"angle": np.zeros(3), "trans": np.array([0.2, 0.0, 2.0])}
        write_pickle(folder / name / "fit01" / f"{name}_fit.pkl", pose)
    write_pickle(
        folder / "person/fit02/person_fit.pkl",
        {"pose": np.zeros(156), "betas": np.zeros(10), "trans": np.zeros(3)},
    )


def write_frame_folders(root, drawn, *, times_sec, fps=30, kinects=(0, 1, 2, 3), **options):
    """`sequences/SEQ/tSSSS.SSS`: pictures, JPEG masks, keypoints, registrations."""
    sequence = root / "sequences" / options.pop("sequence", SEQUENCE)
    write_info(sequence, kinects)
    for time in times_sec:
        folder = sequence / f"t{time:08.3f}"
        index = min(round(time * fps), len(drawn.frames) - 1)
        for kinect in kinects:
            write_picture(folder / f"k{kinect}.color.jpg", drawn.frames[index])
            write_depth(folder / f"k{kinect}.depth.png", drawn.frames[index].shape[:2])
            write_mask(folder / f"k{kinect}.person_mask.jpg", drawn.actor_masks[index])
            write_mask(folder / f"k{kinect}.obj_rend_mask.jpg", drawn.target_masks[index])
            hand = np.zeros((21, 3))
            hand[8] = [*drawn.hand_pixels[index], 0.9]
            keypoints = {
                "body_joints": np.zeros(75).tolist(),
                "face_joints": np.zeros(210).tolist(),
                "left_hand_joints": np.zeros(63).tolist(),
                "right_hand_joints": hand.ravel().tolist(),
            }
            write_json(folder / f"k{kinect}.color.json", keypoints)
        if options.get("form") is not None:
            gap_m = 0.3 if index < drawn.contact else 0.0
            write_registration(folder, gap_m, **options)
    return sequence


def write_videos(folder, drawn, *, fps=30, start_sec=0.0, kinects=(0, 1, 2, 3), sequence=SEQUENCE):
    """`SEQ.K.color.mp4`, `SEQ.K.depth-reg.mp4` and `SEQ.K.time.json`."""
    for kinect in kinects:
        write_video(folder / f"{sequence}.{kinect}.color.mp4", drawn.frames, fps)
        write_video(folder / f"{sequence}.{kinect}.depth-reg.mp4", drawn.frames[:2], fps)
        stamps = [round((start_sec + i / fps) * 1e6) for i in range(len(drawn.frames))]
        write_json(
            folder / f"{sequence}.{kinect}.time.json", {"color": stamps, "depth": stamps[:-2]}
        )


def write_masks_30(folder, drawn, *, fps=30, kinects=(0, 1, 2, 3), every=1, sequence=SEQUENCE):
    """`SEQ/tSSSS.SSS-kK.person_mask.png` and `-kK.obj_rend_mask.png`."""
    for index in range(0, len(drawn.frames), every):
        for kinect in kinects:
            stem = f"t{index / fps:08.3f}-k{kinect}"
            write_mask(folder / sequence / f"{stem}.person_mask.png", drawn.actor_masks[index])
            write_mask(folder / sequence / f"{stem}.obj_rend_mask.png", drawn.target_masks[index])


def write_params(folder, indices, *, fps=30, sequence=SEQUENCE):
    """`SEQ/smpl_fit_all.npz` and `object_fit_all.npz`; the object moves along x with the index."""
    target = folder / sequence
    target.mkdir(parents=True, exist_ok=True)
    count = len(indices)
    times = np.array([f"t{index / fps:08.3f}" for index in indices])
    np.savez(
        target / "smpl_fit_all.npz",
        poses=np.zeros((count, 156)),
        betas=np.zeros((count, 10)),
        trans=np.zeros((count, 3)),
        frame_times=times,
        gender="male",
    )
    np.savez(
        target / "object_fit_all.npz",
        angles=np.zeros((count, 3)),
        trans=np.stack([np.array(indices) / 100, np.zeros(count), np.full(count, 2.0)], axis=1),
        frame_times=times,
    )
    write_info(target)
    # As compute_contacts.py saves them: a dictionary, which NumPy would have to unpickle.
    contacts = {"t0003.000": {"contacts": np.zeros(5), "is_contact": np.zeros(5, bool)}}
    np.savez(target / "contacts.npz", contacts)


def write_error_list(path, wrong, good=()):
    """`behave-30fps-error_frames.json`."""
    write_json(path, {"error_seqs": wrong, "good_quality": list(good)})


def write_pack(folder, drawn, name="v001", *, fps=30, truth_frames=None):
    """`ID.mp4`, `ID_hum_mask.mp4`, `ID_obj_mask.mp4`, `ID_metadata.pkl`, `ID_gt.pkl`."""
    write_video(folder / f"{name}.mp4", drawn.frames, fps)
    write_mask_video(folder / f"{name}_hum_mask.mp4", drawn.actor_masks, fps)
    write_mask_video(folder / f"{name}_obj_mask.mp4", drawn.target_masks, fps)
    write_pickle(folder / f"{name}_metadata.pkl", {"gender": "male", "obj_name": "boxlarge"})
    count = len(drawn.frames) if truth_frames is None else truth_frames
    shift = np.stack([np.arange(count) / 100, np.zeros(count), np.full(count, 2.0)], axis=1)
    write_pickle(
        folder / f"{name}_gt.pkl",
        {
            "smplh_poses": np.zeros((count, 156)),
            "smplh_betas": np.zeros((count, 10)),
            "smplh_trans": np.zeros((count, 3)),
            "obj_rot": np.broadcast_to(np.eye(3), (count, 3, 3)).copy(),
            "obj_trans": shift,
        },
        protocol=4,
    )
