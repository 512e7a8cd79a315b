"""Landmarks of mediapipe into keypoints; mediapipe itself only where it is installed."""

import importlib.util
import os
import sys

import numpy as np
import pytest

from tavid_core.errors import MissingExtraError
from tavid_core.lifting.mediapipe_pose import MediapipeDetector, assemble_keypoints


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


@pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None or "TAVID_PERSON_IMAGE" not in os.environ,
    reason="needs mediapipe (extra pose) and TAVID_PERSON_IMAGE, a picture of a person",
)
def test_person_in_a_real_picture_is_lifted():
    import cv2

    from tavid_core.camera import intrinsics_from_field_of_view, project
    from tavid_core.frame_fit import FrameFit
    from tavid_core.lifting.lift import lift
    from tavid_core.types import PlanRequest, Rollout

    image = cv2.imread(os.environ["TAVID_PERSON_IMAGE"])[..., ::-1]
    height, width = image.shape[:2]
    moves = [np.float32([[1, 0, 2 * np.sin(t / 3)], [0, 1, 0]]) for t in range(9)]
    frames = np.stack([cv2.warpAffine(image, move, (width, height)) for move in moves])
    mask = np.zeros((height, width), dtype=bool)
    mask[-60:-10, 10:60] = True
    keypoints = MediapipeDetector()(frames)
    motion = lift(
        Rollout(frames=frames, fps=8.0),
        PlanRequest(image=frames[0], target_mask=mask, prompt="take it"),
        keypoints,
        fit=FrameFit((height, width), (height, width)),
    )
    camera = intrinsics_from_field_of_view(width, height)
    points = {track.name: track for track in (*motion.hands, *motion.body)}
    shoulders = points["left_shoulder"].positions_camera_m
    assert ((shoulders[:, 2] > 1.0) & (shoulders[:, 2] < 3.0)).all()
    # y points down: the head is above the hips.
    assert points["head"].positions_camera_m[0, 1] < points["left_hip"].positions_camera_m[0, 1]
    for hand in motion.hands:
        off_px = project(hand.positions_camera_m, camera) - keypoints.track(hand.name)[0]
        off_m = np.linalg.norm(off_px, axis=-1) * hand.positions_camera_m[:, 2] / camera.fx
        assert off_m.max() < 0.05
