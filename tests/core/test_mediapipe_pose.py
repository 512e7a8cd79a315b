"""Landmarks of mediapipe into keypoints; mediapipe itself only where it is installed."""

import importlib.util
import os
import sys

import cv2
import numpy as np
import pytest

from tavid_core.camera import intrinsics_from_field_of_view, project
from tavid_core.errors import MissingExtraError
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.body import actor_confidence
from tavid_core.lifting.body_model import load_body_model
from tavid_core.lifting.lift import lift
from tavid_core.lifting.mediapipe_pose import MediapipeDetector, assemble_keypoints
from tavid_core.types import PlanRequest, Rollout


def landmarks(num_frames=2):
    bodies = np.zeros((num_frames, 33, 3))
    bodies[..., :2] = np.arange(33)[:, None] * [2.0, 3.0]
    bodies[:, 11, :2], bodies[:, 12, :2] = (200.0, 50.0), (100.0, 50.0)
    bodies[..., 2] = 0.9
    bodies_m = np.arange(num_frames * 99, dtype=float).reshape(num_frames, 33, 3)
    return bodies, bodies_m, np.full((num_frames, 2, 21, 2), np.nan)


def test_palm_is_the_middle_of_wrist_and_knuckles():
    bodies, bodies_m, hands = landmarks()
    keypoints = assemble_keypoints(bodies, bodies_m, hands)
    pixels, confidence = keypoints.track("left_hand")
    np.testing.assert_allclose(pixels[0], bodies[0, [15, 17, 19], :2].mean(axis=0))
    assert confidence.tolist() == pytest.approx([0.9, 0.9])
    index = keypoints.names.index("left_elbow")
    np.testing.assert_allclose(keypoints.relative_m[:, index], bodies_m[:, 13])
    assert not keypoints.track("left_thumb_tip")[1].any()


def test_hand_goes_to_the_nearer_wrist_whatever_its_number():
    bodies, bodies_m, hands = landmarks()
    hands[:, 0] = bodies[:, 16, None, :2] + np.arange(21)[:, None] * 0.1
    keypoints = assemble_keypoints(bodies, bodies_m, hands)
    tip, confidence = keypoints.track("right_index_tip")
    np.testing.assert_allclose(tip[0], bodies[0, 16, :2] + 0.8, atol=1e-4)
    assert (confidence > 0).all()


def test_hand_of_somebody_else_is_left_out():
    bodies, bodies_m, hands = landmarks()
    hands[:, 1] = 500.0
    keypoints = assemble_keypoints(bodies, bodies_m, hands)
    assert not keypoints.track("left_index_tip")[1].any()
    assert not keypoints.track("right_index_tip")[1].any()


def test_frames_without_a_person_are_not_seen():
    bodies, bodies_m, hands = landmarks()
    bodies[1], bodies_m[1] = np.nan, np.nan
    keypoints = assemble_keypoints(bodies, bodies_m, hands)
    assert np.isnan(keypoints.pixels[1]).all()
    assert not keypoints.confidence[1].any()


def test_missing_mediapipe_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tavid\[pose\]'"):
        MediapipeDetector()


needs_a_person = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None or "TAVID_PERSON_IMAGE" not in os.environ,
    reason="needs mediapipe (extra pose) and TAVID_PERSON_IMAGE, a picture of a person",
)


def moved_picture(num_frames=9):
    """The picture as a video in which everything sways by two pixels."""
    image = cv2.imread(os.environ["TAVID_PERSON_IMAGE"])[..., ::-1]
    height, width = image.shape[:2]
    moves = [np.float32([[1, 0, 2 * np.sin(t / 3)], [0, 1, 0]]) for t in range(num_frames)]
    return np.stack([cv2.warpAffine(image, move, (width, height)) for move in moves])


@needs_a_person
def test_person_in_a_real_picture_is_lifted():
    frames = moved_picture()
    height, width = frames.shape[1:3]
    mask = np.zeros((height, width), dtype=bool)
    mask[-60:-10, 10:60] = True
    keypoints = MediapipeDetector()(frames)
    assert keypoints.others == ()
    motion = lift(
        Rollout(frames=frames, fps=8.0),
        PlanRequest(image=frames[0], target_mask=mask, prompt="take it"),
        keypoints,
        fit=FrameFit((height, width), (height, width)),
        body_model=load_body_model(),
    )
    camera = intrinsics_from_field_of_view(width, height)
    points = {track.name: track for track in (*motion.hands, *motion.body)}
    assert motion.actor_kind == "person"
    assert motion.scale_source == "height_prior"
    for name in ("left_shoulder", "right_shoulder", "left_wrist", "right_wrist"):
        depth_m = points[name].positions_camera_m[:, 2]
        assert ((depth_m > 1.0) & (depth_m < 3.0)).all()
    # y points down: upright means that the head is above the hips.
    up_m = points["left_hip"].positions_camera_m - points["head"].positions_camera_m
    assert (up_m[:, 1] > 0.8 * np.linalg.norm(up_m, axis=-1)).all()
    assert motion.body_fit.residual_px.max() < 25
    for name in ("left_wrist", "right_wrist", "left_hand", "right_hand"):
        places_m = points[name].positions_camera_m
        off_px = project(places_m, camera) - keypoints.track(name)[0]
        off_m = np.linalg.norm(off_px, axis=-1) * places_m[:, 2] / camera.fx
        assert off_m.max() < 0.05


@needs_a_person
def test_both_people_of_a_doubled_picture_are_found():
    frames = moved_picture(3)
    (other,) = MediapipeDetector()(np.concatenate([frames, frames], axis=2)).others
    assert actor_confidence(other) > 0.7
