"""Two actors of the mini world in one picture, seen by the shipped detector."""

import cv2
import numpy as np
import pytest

from tavid_core.files import read_camera, read_depth, read_image, read_mask
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.lifting.lift import lift
from tavid_core.model_folder import ASSETS
from tavid_core.types import PlanRequest, Rollout

SCENE = ASSETS / "scenes" / "three_mugs"
NUM_FRAMES = 5
# Above the table, and not of the wall's colour.
TABLE_ROW, MIN_DIFFERENCE = 168, 60


@pytest.fixture(scope="module")
def detector():
    return HeatmapDetector.from_pretrained()


@pytest.fixture(scope="module")
def image():
    return read_image(SCENE / "image.png")


def crowded(image, shift):
    """The same person once more, further right, in front of the first."""
    is_person = np.abs(image.astype(int) - image[5, 5]).sum(axis=-1) > MIN_DIFFERENCE
    is_person[TABLE_ROW:] = False
    move, size_wh = np.float32([[1, 0, shift], [0, 1, 0]]), image.shape[1::-1]
    moved = cv2.warpAffine(image, move, size_wh)
    is_moved = cv2.warpAffine(is_person.astype(np.uint8), move, size_wh) > 0
    return np.where(is_moved[..., None], moved, image)


def lift_still(image, detector):
    size_hw = image.shape[:2]
    request = PlanRequest(
        image=image,
        target_mask=read_mask(SCENE / "mask.png", size_hw),
        prompt="lift the mug",
        depth_m=read_depth(SCENE / "depth.png"),
        intrinsics=read_camera(SCENE / "camera.json"),
    )
    frames = np.repeat(image[None], NUM_FRAMES, axis=0)
    rollout = Rollout(frames=frames, fps=8.0)
    return lift(rollout, request, detector(frames), fit=FrameFit(size_hw, size_hw))


def test_one_actor_is_no_crowd(image, detector):
    motion = lift_still(image, detector)
    assert motion.confidence["actor"] > 0.9
    assert "actor" not in motion.reasons


@pytest.mark.parametrize("shift", [-200, -160, -120, 120, 160])
def test_two_actors_that_overlap_are_never_sure(image, detector, shift):
    motion = lift_still(crowded(image, shift), detector)
    for name in ("actor", "hands", "contact"):
        assert motion.confidence[name] < 0.5, name
        assert motion.reasons[name], name
    assert "more than one person is seen" in motion.reasons["actor"]


def test_two_actors_side_by_side_are_nobody_it_knows(image, detector):
    frames = np.repeat(np.hstack([image, image])[None], NUM_FRAMES, axis=0)
    found = detector(frames)
    assert not found.others
    assert found.confidence[:, :3].mean() < 0.4
